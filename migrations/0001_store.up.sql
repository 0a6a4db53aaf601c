-- The store: jobs, leases and cursors. Everything that has no author of its own.

-- Trusted since Postgres 13, so the owner role may create it. Derived ids are UUIDv5 in SQL too.
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" SCHEMA public;

CREATE SCHEMA store;

-- Our own work. One row per piece of work that is not done; a done job is deleted.
CREATE TABLE store.jobs (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text        NOT NULL,
    -- What the work is about; a second request for the same work is the same job.
    key         text        NOT NULL,
    run_at      timestamptz NOT NULL,
    attempts    integer     NOT NULL DEFAULT 0,
    -- Set while a worker has it; past it, the worker is taken for dead.
    leased_until timestamptz,
    lease_token bigint      NOT NULL DEFAULT 0,
    last_error  text,
    CONSTRAINT jobs_kind_key_unique UNIQUE (kind, key)
);
CREATE INDEX jobs_due ON store.jobs (kind, run_at);

-- Leadership by row, with a fencing token that rises with each holder (no session locks: PgBouncer).
CREATE TABLE store.leases (
    name    text        PRIMARY KEY,
    holder  uuid        NOT NULL,
    token   bigint      NOT NULL,
    until   timestamptz NOT NULL
);

-- How far a follower has come.
CREATE TABLE store.cursors (
    name     text   PRIMARY KEY,
    position bigint NOT NULL
);
