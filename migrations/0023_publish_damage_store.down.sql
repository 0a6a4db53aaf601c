DELETE FROM publish.damages AS one USING publish.damages AS other
 WHERE one.what = other.what AND (one.store, one.thing) > (other.store, other.thing);
ALTER TABLE publish.damages
    DROP CONSTRAINT damages_pkey,
    DROP COLUMN store,
    DROP COLUMN thing,
    ADD PRIMARY KEY (what);
