-- The journal: what was said, in the order in which it was sealed, and the proof of it.
-- Every table is insert-only: for the application by its rights (SELECT, INSERT; store::migrate), for
-- everybody, the owner included, by a trigger. Row locks need the right to UPDATE, so nothing here is
-- locked by row: unique constraints are the compare-and-swap.
-- Archiving (removing the bodies of published entries) comes with its own migration; until then the
-- trigger has no door.

CREATE SCHEMA journal;

CREATE FUNCTION journal.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'CH001',
        MESSAGE = format(
            '%s on journal.%s is refused: the journal is insert-only. What was said is taken back '
            'by appending a retraction (change the agent, and the journal follows); to drop the whole '
            'journal, run `chancery migrate down --drop-journal`',
            TG_OP, TG_TABLE_NAME);
END
$$;

-- One row per entry. `body` is canonical DAG-CBOR, `cid` its CIDv1 (dag-cbor, sha2-256).
CREATE TABLE journal.entries (
    seq         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Compared byte by byte, whatever the database's collation.
    cid         text        COLLATE "C" NOT NULL,
    kind        text        NOT NULL,
    -- NULL in entries that speak of no agent (act, incident); those form one chain of their own.
    agent_id    uuid,
    -- The CID of the previous entry of the same chain; NULL in its first.
    prev        text        COLLATE "C",
    appended_at timestamptz NOT NULL,
    -- Who wrote it, so that the sealer finds what was committed late (pg_snapshot_xmin).
    xid         xid8        NOT NULL DEFAULT pg_current_xact_id(),
    body        bytea       NOT NULL,
    CONSTRAINT entries_cid_unique UNIQUE (cid),
    -- A chain has no branches; who loses the race appends again.
    CONSTRAINT entries_chain_unique UNIQUE NULLS NOT DISTINCT (agent_id, prev),
    -- An entry bundle gives the length in 16 bits (c2sp.org/tlog-tiles).
    CONSTRAINT entries_body_size CHECK (octet_length(body) BETWEEN 1 AND 65535)
);
CREATE INDEX entries_agent_seq ON journal.entries (agent_id, seq);
CREATE INDEX entries_xid ON journal.entries (xid);

-- Digests of the changes that an agent's entry says (+1) or retracts (-1). It outlives archiving.
CREATE TABLE journal.said (
    entry_seq bigint   PRIMARY KEY,
    agent_id  uuid     NOT NULL,
    sign      smallint NOT NULL CHECK (sign IN (-1, 1)),
    digests   bytea[]  NOT NULL
);
CREATE INDEX said_agent ON journal.said (agent_id, entry_seq);

-- A sealed entry's place in the Merkle tree. `leaf_hash` = sha256(0x00 || body) (RFC 6962).
CREATE TABLE journal.leaves (
    leaf_index bigint PRIMARY KEY CHECK (leaf_index >= 0),
    entry_seq  bigint NOT NULL CONSTRAINT leaves_entry_unique UNIQUE,
    leaf_hash  bytea  NOT NULL CHECK (octet_length(leaf_hash) = 32)
);

-- Full tiles of 256 hashes (c2sp.org/tlog-tiles). `root` is the tile's own hash: one hash of the tile above.
-- Partial tiles are read from `leaves` (level 0) and from the roots of the level below.
CREATE TABLE journal.tiles (
    level  smallint NOT NULL CHECK (level BETWEEN 0 AND 63),
    n      bigint   NOT NULL CHECK (n >= 0),
    hashes bytea    NOT NULL CHECK (octet_length(hashes) = 8192),
    root   bytea    NOT NULL CHECK (octet_length(root) = 32),
    PRIMARY KEY (level, n)
);

-- Signed tree heads. Each follows exactly one other, so two sealers cannot fork the log.
CREATE TABLE journal.checkpoints (
    size      bigint      PRIMARY KEY CHECK (size > 0),
    prev_size bigint      REFERENCES journal.checkpoints (size),
    root      bytea       NOT NULL CHECK (octet_length(root) = 32),
    -- The signed note, as it is served.
    note      text        NOT NULL,
    signed_at timestamptz NOT NULL,
    CONSTRAINT checkpoints_prev_unique UNIQUE NULLS NOT DISTINCT (prev_size),
    CONSTRAINT checkpoints_grow CHECK (prev_size < size)
);

-- How far a checkpoint, and with it every entry below its size, was published.
CREATE TABLE journal.publications (
    size      bigint      NOT NULL REFERENCES journal.checkpoints (size),
    state     text        NOT NULL CHECK (state IN ('stored', 'pinned', 'anchored')),
    -- The manifest's CID, or the anchoring transaction.
    reference text        NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (size, state)
);
CREATE INDEX publications_state ON journal.publications (state, size);

-- Origin and verifier key, fixed at the first seal.
CREATE TABLE journal.identity (
    only_row boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    origin   text        NOT NULL,
    vkey     text        NOT NULL,
    fixed_at timestamptz NOT NULL
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY
        ARRAY['entries', 'said', 'leaves', 'tiles', 'checkpoints', 'publications', 'identity']
    LOOP
        EXECUTE format(
            'CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal.%I '
            'FOR EACH STATEMENT EXECUTE FUNCTION journal.refuse_change()', name);
    END LOOP;
END
$$;

-- Published to other rooms: each entry with its place and how far it is published.
CREATE VIEW journal.v_entries AS
SELECT e.seq, e.cid, e.kind, e.agent_id, e.appended_at, l.leaf_index,
       CASE
           WHEN l.leaf_index IS NULL THEN 'queued'
           WHEN l.leaf_index < (SELECT max(size) FROM journal.publications WHERE state = 'anchored') THEN 'anchored'
           WHEN l.leaf_index < (SELECT max(size) FROM journal.publications WHERE state = 'pinned') THEN 'pinned'
           WHEN l.leaf_index < (SELECT max(size) FROM journal.publications WHERE state = 'stored') THEN 'stored'
           ELSE 'sealed'
       END AS state
  FROM journal.entries e LEFT JOIN journal.leaves l ON l.entry_seq = e.seq;
