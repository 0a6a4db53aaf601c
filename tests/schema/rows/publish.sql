INSERT INTO publish.anchors
       (chain_id, contract, keeper, size, root, prepared, hashes, cost_gwei, written_at, priced_at)
VALUES (1, decode(repeat('01', 20), 'hex'), decode(repeat('02', 20), 'hex'), 1, sha256('a'), '{}', ARRAY['0x'], 1, now(), now());
INSERT INTO publish.anchoring (chain_id, contract, keeper, journal, state, looked_at)
VALUES (1, decode(repeat('01', 20), 'hex'), decode(repeat('02', 20), 'hex'), sha256('a'), 'empty', now());
INSERT INTO publish.layout (size, root, agents_root, agents_size, record, valid_until)
VALUES (1, 'bafyroot', 'bafyagents', 1, '\x01', now());
INSERT INTO publish.damages (store, thing, what, told_at) VALUES ('a', 'b', 'c', now());
