-- Requests that carried an Idempotency-Key: the same one again gets the same answer. Kept for a day.
CREATE TABLE identity.requests (
    -- Who signed; a key of one signer says nothing about another's.
    principal text        NOT NULL,
    key       text        NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    -- sha2-256 of the body.
    body      bytea       NOT NULL,
    begun_at  timestamptz NOT NULL,
    -- NULL while the first one is under way.
    status    smallint,
    answer    bytea,
    PRIMARY KEY (principal, key)
);
CREATE INDEX requests_begun ON identity.requests (begun_at);
