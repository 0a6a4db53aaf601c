SELECT store.build_deferred(name) FROM (SELECT name FROM store.deferred ORDER BY ordinal) AS missing;
DROP FUNCTION store.build_deferred(text);
DROP FUNCTION store.defer_indexes();
DROP TABLE store.deferred;
