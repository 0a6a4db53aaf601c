-- What publishing has to find again: the transactions that anchor checkpoints of the journal on chain.
-- What came of them for entries stands in journal.publications.

CREATE SCHEMA publish;

-- One row per transaction, written before it leaves: who dies in between goes on with the same one.
CREATE TABLE publish.anchors (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id   bigint NOT NULL CHECK (chain_id > 0),
    contract   bytea  NOT NULL CHECK (octet_length(contract) = 20),
    -- The account that sends and pays.
    keeper     bytea  NOT NULL CHECK (octet_length(keeper) = 20),
    -- The checkpoint.
    size       bigint NOT NULL CHECK (size > 0),
    root       bytea  NOT NULL CHECK (octet_length(root) = 32),
    -- As it was signed last, but for the signature (the JSON of eth_sendTransaction).
    prepared   jsonb  NOT NULL,
    -- Every version, the newest last: each pays more than the one before, and one of them is mined.
    hashes     text[] NOT NULL CHECK (cardinality(hashes) > 0),
    -- 'anchored': mined in a settled block; 'reverted': mined, and refused by the contract; 'lost': never mined.
    state      text   NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'anchored', 'reverted', 'lost')),
    -- The most that it may cost while it is open, what it did cost afterwards; in gwei, rounded up.
    cost_gwei  bigint NOT NULL CHECK (cost_gwei >= 0),
    written_at timestamptz NOT NULL,
    -- When the newest version was written.
    priced_at  timestamptz NOT NULL
);
-- One at a time: the next one's proof begins where this one ends.
CREATE UNIQUE INDEX anchors_open ON publish.anchors (chain_id, contract, keeper) WHERE state = 'open';
CREATE INDEX anchors_written ON publish.anchors (written_at);

-- How anchoring stands, as whoever does it last said.
CREATE TABLE publish.anchoring (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    chain_id  bigint NOT NULL,
    contract  bytea  NOT NULL CHECK (octet_length(contract) = 20),
    keeper    bytea  NOT NULL CHECK (octet_length(keeper) = 20),
    journal   bytea  NOT NULL CHECK (octet_length(journal) = 32),
    -- The contract's head when it was read last; NULL: never.
    head_size bigint,
    head_root bytea CHECK (octet_length(head_root) = 32),
    head_time timestamptz,
    state     text   NOT NULL,
    -- What a person should know of the state.
    why       text,
    looked_at timestamptz NOT NULL
);
