-- :count agents, as if a chain had been read: those with a row in `keys` have a key alone, the others are tokens of one
-- registry.
SET session_replication_role = replica;
SET synchronous_commit = off;

INSERT INTO chain.chains (chain_id, name, origin, start_block, anchor_number, anchor_hash, head_number,
    settled_number, finalized_number, ground_number)
VALUES (1, 'bench', 'rpc', 0, 0, sha256('0'), 1000000, 1000000, 1000000, 1000000);
INSERT INTO chain.ranges (chain_id, from_block, to_block, level) VALUES (1, 0, 1000000, 'proven');

CREATE TEMPORARY TABLE made AS
SELECT n, key IS NULL AS token, key, sha256(int8send(n)) AS hash, encode(sha256(key), 'hex') AS key_hash,
       coalesce(did, 'eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/' || n) AS name,
       coalesce(did, 'did:nft:eip155:1_erc721:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432_' || n) AS did
  FROM generate_series(1::bigint, :count) AS n LEFT JOIN keys USING (n);
ALTER TABLE made ADD id uuid;
UPDATE made SET id = public.uuid_generate_v5(public.uuid_ns_url(), name);

INSERT INTO identity.subjects (id, kind, chain_id, registry, token_id, did)
SELECT id, CASE WHEN token THEN 'token' ELSE 'key' END, CASE WHEN token THEN 1 END,
       CASE WHEN token THEN '\x8004a169fb4a3325136eb29fa0ceb6d2e539a432'::bytea END, CASE WHEN token THEN n END, did
  FROM made;

INSERT INTO identity.agents (id, did, name, description, owner_address, ipfs_metadata_hash, created_at, updated_at,
    last_active_at, name_source, public_key, endpoint_url, category, summary, version, metadata)
SELECT id, did, 'Agent ' || n, 'Reconciles the invoices of ' || encode(hash, 'hex') || ' every night',
       CASE WHEN token THEN '0x' || encode(substr(hash, 1, 20), 'hex') END, 'bafkrei' || left(encode(hash, 'hex'), 52),
       timestamptz '2026-01-01' + n * interval '1 second', timestamptz '2026-01-01' + n * interval '1 second',
       timestamptz '2026-01-01' + n * interval '1 second', 'document',
       'ed25519:' || encode(key, 'base64'), 'https://agents.example/' || n, 'finance', 'Invoices', '1.0.0',
       jsonb_build_object('supportedTrust', jsonb_build_array('reputation'), 'x402Support', true,
                          'services', jsonb_build_array(jsonb_build_object('name', 'A2A', 'endpoint',
                              'https://agents.example/' || n || '/.well-known/agent-card.json', 'version', '0.3.0')))
  FROM made;

INSERT INTO identity.tokens (agent_id, chain_id, registry, token_id, owner, wallet, founding, complete, burned,
    claimed, owner_block, owner_log, first_block, last_block, last_log, last_tx)
SELECT id, 1, '\x8004a169fb4a3325136eb29fa0ceb6d2e539a432', n, substr(hash, 1, 20), substr(hash, 1, 20),
       encode(hash, 'hex'), true, false, false, n, 0, n, n, 0, hash
  FROM made WHERE token;

INSERT INTO identity.agent_identifiers (agent_id, kind, value, standing)
SELECT id, 'did', did, 'verified' FROM made
 UNION ALL SELECT id, 'caip', name, 'verified' FROM made WHERE token
 UNION ALL SELECT id, 'short', '1:' || n, 'verified' FROM made WHERE token
 UNION ALL SELECT id, 'key_hash', key_hash, 'verified' FROM made WHERE NOT token;

VACUUM (ANALYZE) identity.subjects, identity.agents, identity.tokens, identity.agent_identifiers;
