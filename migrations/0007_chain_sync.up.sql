-- Two cursors, proofs of ranges, incidents.

-- In a backfill ground (blocks, logs) runs ahead in its own commits and the projection trails it: what
-- people are told is head_number, what is stored is ground_number. At the head both are the same.
ALTER TABLE chain.chains
    ADD COLUMN ground_number bigint,
    ADD COLUMN ground_hash bytea,
    -- What consensus calls final, where a provider says it; never above head_number when it is used.
    ADD COLUMN finalized_number bigint;
UPDATE chain.chains SET ground_number = head_number, ground_hash = head_hash;
ALTER TABLE chain.chains
    ALTER COLUMN ground_number SET NOT NULL,
    ADD CONSTRAINT chains_ground_leads CHECK (ground_number >= head_number);

-- A range whose headers were hashed and linked knows the hashes at its ends: its top's own, and the one
-- that its first block names as parent. Neighbours whose ends meet are one range.
ALTER TABLE chain.ranges
    ADD COLUMN below_hash bytea CHECK (octet_length(below_hash) = 32),
    ADD COLUMN top_hash   bytea CHECK (octet_length(top_hash) = 32);

-- What a provider told wrongly, each once, however often it was found.
CREATE TABLE chain.incidents (
    serial       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id     bigint      NOT NULL,
    block_number bigint      NOT NULL,
    block_hash   bytea       NOT NULL CHECK (octet_length(block_hash) = 32),
    log_index    integer     NOT NULL,
    kind         text        NOT NULL
        CHECK (kind IN ('lost_log', 'extra_log', 'altered_log', 'reordered_log')),
    -- Who told it, without secrets.
    provider     text        NOT NULL,
    found_at     timestamptz NOT NULL,
    CONSTRAINT incidents_once UNIQUE (chain_id, block_hash, log_index, kind)
);

-- Other rooms see ground as far as it is projected.
CREATE OR REPLACE VIEW chain.v_chains AS
SELECT chain_id, name, origin, start_block, has_transfer, has_metadata_update, has_metadata_set,
       head_number, head_hash, head_time, settled_number, ground_number, finalized_number
  FROM chain.chains;

CREATE OR REPLACE VIEW chain.v_logs AS
SELECT l.chain_id, l.block_number, l.log_index, b.hash AS block_hash, b.time AS block_time,
       l.tx_index, l.tx_hash, l.address, l.topic0, l.topic1, l.topic2, l.topic3, l.data, l.subject
  FROM chain.logs l
  JOIN chain.blocks b ON b.chain_id = l.chain_id AND b.number = l.block_number
  JOIN chain.chains c ON c.chain_id = l.chain_id AND l.block_number <= c.head_number;

-- What is proven and below the finalized head is finalized; a range that reaches above it is shown as two.
CREATE OR REPLACE VIEW chain.v_ranges AS
SELECT r.chain_id, part.from_block, part.to_block, part.level
  FROM chain.ranges r
  JOIN chain.chains c ON c.chain_id = r.chain_id
 CROSS JOIN LATERAL (
        SELECT r.from_block, least(r.to_block, c.finalized_number) AS to_block, 'finalized' AS level
         WHERE r.level = 'proven' AND r.from_block <= c.finalized_number
        UNION ALL
        SELECT CASE WHEN r.level = 'proven'
                    THEN greatest(r.from_block, coalesce(c.finalized_number + 1, r.from_block))
                    ELSE r.from_block END, r.to_block, r.level
         WHERE r.level <> 'proven' OR r.to_block > coalesce(c.finalized_number, r.from_block - 1)
       ) AS part (from_block, to_block, level);
