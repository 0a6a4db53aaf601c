-- Ground: what the chains said, as it was said. Written by the indexer alone; the only undo is to
-- delete what stands above a fork.

CREATE SCHEMA chain;

CREATE TABLE chain.chains (
    chain_id     bigint PRIMARY KEY CHECK (chain_id > 0),
    name         text   NOT NULL,
    -- 'started': a dev chain of ours; 'rpc': somebody's node; 'replay': a recorded file.
    origin       text   NOT NULL CHECK (origin IN ('started', 'rpc', 'replay')),
    -- Tells this chain from another one under the same id: a block that can never change.
    anchor_number bigint NOT NULL,
    anchor_hash  bytea  NOT NULL,
    start_block  bigint NOT NULL,
    -- Which topics the source holds at all: without some of them other events are believed.
    has_transfer        boolean NOT NULL DEFAULT true,
    has_metadata_update boolean NOT NULL DEFAULT true,
    has_metadata_set    boolean NOT NULL DEFAULT true,
    -- The cursor: everything up to and including this block is stored and projected.
    head_number  bigint NOT NULL,
    head_hash    bytea,
    head_time    timestamptz,
    -- Up to here the journal has been told (never above head_number).
    settled_number bigint NOT NULL
);

-- The contracts that are read. Short names (`<chain>:<agentId>`) belong to the first registry.
CREATE TABLE chain.contracts (
    chain_id bigint  NOT NULL REFERENCES chain.chains ON DELETE CASCADE,
    address  bytea   NOT NULL CHECK (octet_length(address) = 20),
    kind     text    NOT NULL CHECK (kind IN ('identity', 'status')),
    ordinal  integer NOT NULL,
    PRIMARY KEY (chain_id, address)
);

-- Blocks that hold logs of ours.
CREATE TABLE chain.blocks (
    chain_id    bigint      NOT NULL,
    number      bigint      NOT NULL,
    hash        bytea       NOT NULL CHECK (octet_length(hash) = 32),
    -- The block's own time, or where the source does not tell it, the time of first storing.
    time        timestamptz NOT NULL,
    PRIMARY KEY (chain_id, number)
);

-- Ends of recent steps, also where the block holds nothing of ours: where a fork is looked for.
CREATE TABLE chain.tips (
    chain_id bigint NOT NULL,
    number   bigint NOT NULL,
    hash     bytea  NOT NULL,
    PRIMARY KEY (chain_id, number)
);

-- An event is identified by (chain, block hash, log index); the hash stands in chain.blocks.
CREATE TABLE chain.logs (
    chain_id     bigint  NOT NULL,
    block_number bigint  NOT NULL,
    log_index    integer NOT NULL,
    tx_index     integer NOT NULL,
    tx_hash      bytea   NOT NULL,
    address      bytea   NOT NULL,
    topic0       bytea,
    topic1       bytea,
    topic2       bytea,
    topic3       bytea,
    data         bytea   NOT NULL,
    -- The agent that the log speaks of (identity.subjects), where it speaks of one.
    subject      uuid,
    PRIMARY KEY (chain_id, block_number, log_index)
);
CREATE INDEX logs_subject ON chain.logs (subject, block_number, log_index) WHERE subject IS NOT NULL;

-- Headers and receipts of touched blocks, as the provider gave them (JSON), for proofs.
CREATE TABLE chain.receipts (
    chain_id     bigint NOT NULL,
    block_number bigint NOT NULL,
    block_hash   bytea  NOT NULL,
    header       jsonb  NOT NULL,
    receipts     jsonb  NOT NULL,
    PRIMARY KEY (chain_id, block_number)
);

-- What is proven of a range of blocks. Ranges of a chain do not overlap.
CREATE TABLE chain.ranges (
    chain_id   bigint NOT NULL,
    from_block bigint NOT NULL,
    to_block   bigint NOT NULL,
    level      text   NOT NULL
        CHECK (level IN ('claimed', 'reported', 'agreed', 'bloom', 'proven', 'finalized')),
    PRIMARY KEY (chain_id, from_block)
);

-- Published to other rooms.
CREATE VIEW chain.v_chains AS
SELECT chain_id, name, origin, start_block, has_transfer, has_metadata_update, has_metadata_set,
       head_number, head_hash, head_time, settled_number
  FROM chain.chains;

CREATE VIEW chain.v_contracts AS SELECT chain_id, address, kind, ordinal FROM chain.contracts;

CREATE VIEW chain.v_blocks AS SELECT chain_id, number, hash, time FROM chain.blocks;

CREATE VIEW chain.v_logs AS
SELECT l.chain_id, l.block_number, l.log_index, b.hash AS block_hash, b.time AS block_time,
       l.tx_index, l.tx_hash, l.address, l.topic0, l.topic1, l.topic2, l.topic3, l.data, l.subject
  FROM chain.logs l JOIN chain.blocks b ON b.chain_id = l.chain_id AND b.number = l.block_number;

CREATE VIEW chain.v_ranges AS SELECT chain_id, from_block, to_block, level FROM chain.ranges;
