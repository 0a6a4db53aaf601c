INSERT INTO journal.entries (cid, kind, agent_id, prev, appended_at, body)
VALUES ('bafy1', 'agent', '00000000-0000-4000-8000-000000000001', NULL, now(), '\xa0');
INSERT INTO journal.said (entry_seq, agent_id, sign, digests)
VALUES (1, '00000000-0000-4000-8000-000000000001', 1, ARRAY['\x01'::bytea]);
INSERT INTO journal.leaves (leaf_index, entry_seq, leaf_hash) VALUES (0, 1, sha256('a'));
INSERT INTO journal.tiles (level, n, hashes, root) VALUES (0, 0, decode(repeat('00', 8192), 'hex'), sha256('a'));
INSERT INTO journal.checkpoints (size, prev_size, root, note, signed_at) VALUES (1, NULL, sha256('a'), 'note', now());
INSERT INTO journal.publications (size, state, reference, at) VALUES (1, 'stored', 'bafy2', now());
INSERT INTO journal.identity (origin, vkey, fixed_at) VALUES ('chancery.local/0', 'key', now());
