DROP TABLE chain.watched_tokens;
DROP TABLE chain.watched_owners;
ALTER TABLE chain.chains DROP COLUMN scope;
