-- A token's agent, with everything that a projection writes; run with a cause.
INSERT INTO identity.subjects (id, kind, chain_id, registry, token_id, did)
VALUES ('00000000-0000-4000-8000-000000000002', 'token', 31337, decode(repeat('80', 20), 'hex'), 0, 'did:nft:x');
INSERT INTO identity.uris (hash, uri, size) VALUES (sha256('u'), 'data:,', 6);
INSERT INTO identity.documents (uri_hash, version, judged_at, state, size, whole, says)
VALUES (sha256('u'), 1, now(), 'fetched', 0, '{}', '{}');
INSERT INTO identity.acts (agent_id, kind, at, who, changes)
VALUES ('00000000-0000-4000-8000-000000000002', 'update', now(), 'test', '{}');
INSERT INTO identity.statements (agent_id, kind, at, bytes, signature, signer, nonce, changes, sequence)
VALUES ('00000000-0000-4000-8000-000000000002', 'status', now(), '', '', 'test', '\x01', '{}', 1);
INSERT INTO identity.requests (principal, key, body, begun_at) VALUES ('test', 'k', sha256('b'), now());
INSERT INTO identity.keys (public_key, agent_id, since)
VALUES (sha256('k'), '00000000-0000-4000-8000-000000000003', now());
INSERT INTO identity.claims (key_agent, token_agent, at, founding, owner, statement)
VALUES ('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-000000000002', now(), 'f', '', 1);
INSERT INTO identity.did_hashes (hash, agent_id) VALUES (sha256('d'), '00000000-0000-4000-8000-000000000002');
INSERT INTO identity.operators (chain_id, block_number, log_index, registry, owner, operator, approved)
VALUES (31337, 1, 1, '', '', '', true);
INSERT INTO identity.heartbeats (agent_id, last, next_due)
VALUES ('00000000-0000-4000-8000-000000000002', now(), now());
INSERT INTO identity.dirty (agent_id) VALUES ('00000000-0000-4000-8000-000000000002');
INSERT INTO identity.folds (agent_id, through_block, through_serial, state)
VALUES ('00000000-0000-4000-8000-000000000002', 1, 1, '');
INSERT INTO identity.uri_agents (uri_hash, agent_id, block, log, again)
VALUES (sha256('u'), '00000000-0000-4000-8000-000000000002', 1, 0, false);
INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, undone)
VALUES (now(), '00000000-0000-4000-8000-000000000002', '{registered,name}', '{1,2}', 'log', false);
INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, undone, position)
VALUES (now(), '00000000-0000-4000-8000-000000000002', '{registered,name}', '{1,2}', 'other', false, 2);
INSERT INTO identity.tokens (agent_id, chain_id, registry, token_id, uri_hash, complete, burned, claimed,
                             first_block, last_block, last_log, last_tx)
VALUES ('00000000-0000-4000-8000-000000000002', 31337, decode(repeat('80', 20), 'hex'), 0, sha256('u'), true, false,
        false, 1, 1, 0, sha256('t'));
INSERT INTO identity.agents (id, did, name, owner_address)
VALUES ('00000000-0000-4000-8000-000000000002', 'did:nft:x', 'Token', '0x' || repeat('ab', 20));
INSERT INTO identity.capability_vectors (agent_id, capability_name, capability_value)
VALUES ('00000000-0000-4000-8000-000000000002', 'chat', '{"level": 1}');
INSERT INTO identity.agent_status_history (agent_id, new_status, seq, cause, who)
VALUES ('00000000-0000-4000-8000-000000000002', 'ACTIVE', 0, 'log', 'owner');
INSERT INTO identity.status_changes (id, agent_id, dimension, new, changed_at, seq, cause, who)
VALUES ('00000000-0000-4000-8000-000000000004', '00000000-0000-4000-8000-000000000002', 'liveness', 'active', now(), 0,
        'act', 'liveness');
INSERT INTO identity.ipfs_metadata (agent_id, ipfs_hash, metadata, cause)
VALUES ('00000000-0000-4000-8000-000000000002', 'bafk1', '{}', 'document');
INSERT INTO identity.agent_identifiers (agent_id, kind, value, standing)
VALUES ('00000000-0000-4000-8000-000000000002', 'short', '31337:0', 'verified');
INSERT INTO identity.did_logs (chain_id, block_number, log_index, hash) VALUES (31337, 1, 2, sha256('d'));
INSERT INTO identity.watches (principal, name, target, owner, created_at)
VALUES ('operator', 'mine', '0x' || repeat('ab', 20), '0x' || repeat('ab', 20), now());
INSERT INTO identity.ahead (chain_id, to_block) VALUES (31337, 1);
