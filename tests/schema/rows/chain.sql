INSERT INTO chain.chains (chain_id, name, origin, anchor_number, anchor_hash, start_block, head_number, settled_number, ground_number)
VALUES (31337, 'dev', 'started', 0, sha256('0'), 0, 1, 1, 1);
INSERT INTO chain.contracts (chain_id, address, kind, ordinal)
VALUES (31337, decode(repeat('80', 20), 'hex'), 'identity', 0);
INSERT INTO chain.blocks (chain_id, number, hash, time) VALUES (31337, 1, sha256('1'), now());
INSERT INTO chain.tips (chain_id, number, hash) VALUES (31337, 1, sha256('1'));
INSERT INTO chain.logs (chain_id, block_number, log_index, tx_index, tx_hash, address, data, subject)
VALUES (31337, 1, 0, 0, sha256('t'), decode(repeat('80', 20), 'hex'), '', '00000000-0000-4000-8000-000000000002');
INSERT INTO chain.receipts (chain_id, block_number, block_hash, header, receipts)
VALUES (31337, 1, sha256('1'), '{}', '[]');
INSERT INTO chain.ranges (chain_id, from_block, to_block, level) VALUES (31337, 0, 1, 'reported');
INSERT INTO chain.incidents (chain_id, block_number, block_hash, log_index, kind, provider, found_at)
VALUES (31337, 1, sha256('1'), 0, 'lost_log', 'http://localhost', now());
INSERT INTO chain.census (chain_id, registry, through_block) VALUES (31337, decode(repeat('80', 20), 'hex'), 1);
INSERT INTO chain.census_again (chain_id, agent_id) VALUES (31337, '00000000-0000-4000-8000-000000000002');
INSERT INTO chain.mismatches (chain_id, registry, what, rule, ours, theirs, level, block_number, block_hash, found_at)
VALUES (31337, decode(repeat('80', 20), 'hex'), 'agents', 'agents = mints', '1', '2', 'proven', 1, sha256('1'), now());
INSERT INTO chain.watched_owners (chain_id, owner) VALUES (31337, decode(repeat('0a', 20), 'hex'));
INSERT INTO chain.watched_tokens (chain_id, registry, token_id, whole)
VALUES (31337, decode(repeat('80', 20), 'hex'), 1, true);
