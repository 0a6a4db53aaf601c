-- Content: which CIDs should be kept, and where it is confirmed that they are.

CREATE SCHEMA content;

CREATE TABLE content.pins (
    cid        text        NOT NULL,
    -- local: the built-in blockstore; kubo: the configured Kubo.
    store      text        NOT NULL CHECK (store IN ('local', 'kubo')),
    -- queued: wanted; stored: in the blockstore; pinned: Kubo said so when asked afterwards;
    -- failed: the last attempt failed (Kubo is tried again); lost: was there once and is not.
    state      text        NOT NULL CHECK (state IN ('queued', 'stored', 'pinned', 'failed', 'lost')),
    attempts   integer     NOT NULL DEFAULT 0,
    last_error text,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (cid, store)
);
-- The oldest confirmations are confirmed again first.
CREATE INDEX pins_by_age ON content.pins (store, updated_at) WHERE state IN ('stored', 'pinned');
