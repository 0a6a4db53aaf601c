-- Facts are not rewritten without a cause.
SELECT set_config('chancery.cause', 'job:migrate', true);

CREATE OR REPLACE VIEW chain.v_ranges AS SELECT chain_id, from_block, to_block, level FROM chain.ranges;

CREATE OR REPLACE VIEW chain.v_logs AS
SELECT l.chain_id, l.block_number, l.log_index, b.hash AS block_hash, b.time AS block_time,
       l.tx_index, l.tx_hash, l.address, l.topic0, l.topic1, l.topic2, l.topic3, l.data, l.subject
  FROM chain.logs l JOIN chain.blocks b ON b.chain_id = l.chain_id AND b.number = l.block_number;

-- A view does not lose columns by replacing it.
DROP VIEW chain.v_chains;
CREATE VIEW chain.v_chains AS
SELECT chain_id, name, origin, start_block, has_transfer, has_metadata_update, has_metadata_set,
       head_number, head_hash, head_time, settled_number
  FROM chain.chains;

DROP TABLE chain.incidents;
ALTER TABLE chain.ranges DROP COLUMN top_hash, DROP COLUMN below_hash;

-- Ground above the projection is read again.
DELETE FROM chain.logs l USING chain.chains c
 WHERE c.chain_id = l.chain_id AND l.block_number > c.head_number;
DELETE FROM chain.blocks b USING chain.chains c
 WHERE c.chain_id = b.chain_id AND b.number > c.head_number;
DELETE FROM chain.tips t USING chain.chains c
 WHERE c.chain_id = t.chain_id AND t.number > c.head_number;
DELETE FROM chain.ranges r USING chain.chains c
 WHERE c.chain_id = r.chain_id AND r.from_block > c.head_number;
UPDATE chain.ranges r SET to_block = least(r.to_block, c.head_number)
  FROM chain.chains c WHERE c.chain_id = r.chain_id;
ALTER TABLE chain.chains
    DROP CONSTRAINT chains_ground_leads,
    DROP COLUMN ground_number, DROP COLUMN ground_hash, DROP COLUMN finalized_number;
