-- What a registration writes besides, of each agent that `agents.sql` made of a key: the rows are as large as those of the
-- first one here that was real, and what it signed stands in all of them.
CREATE TEMPORARY TABLE one AS
SELECT s.bytes, s.signature, s.changes, f.through_block, f.state, h.columns, h.values
  FROM identity.statements s
  JOIN identity.folds f USING (agent_id)
  JOIN identity.head_steps h USING (agent_id)
 ORDER BY s.serial LIMIT 1;

CREATE TEMPORARY TABLE registered AS
SELECT n, id, did, key, hash, nextval('identity.fact_serial') AS serial FROM made WHERE NOT token ORDER BY n;

INSERT INTO identity.keys (public_key, agent_id, since) SELECT key, id, now() FROM registered;

INSERT INTO identity.statements (serial, agent_id, kind, at, bytes, signature, signer, nonce, changes, sequence)
SELECT r.serial, r.id, 'register', now(), one.bytes, one.signature, r.did, substr(r.hash, 1, 16), one.changes, 1
  FROM registered r CROSS JOIN one;

INSERT INTO identity.agent_status_history (id, agent_id, new_status, changed_at, reason, seq, cause, who)
SELECT public.uuid_generate_v5(id, 'agent_status_history/statement:' || serial), id, 'ACTIVE', now(),
       'Agent registered', 0, 'statement:' || serial, did
  FROM registered;

INSERT INTO identity.folds (agent_id, through_block, through_serial, state)
SELECT r.id, one.through_block, r.serial, one.state FROM registered r CROSS JOIN one;

-- The feed goes on behind them.
WITH moved AS (
    INSERT INTO store.cursors AS c (name, position)
    SELECT 'identity/feed', (SELECT sum(cardinality(one.columns)) FROM registered CROSS JOIN one)
        ON CONFLICT (name) DO UPDATE SET position = c.position + EXCLUDED.position
    RETURNING position)
INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, undone, position)
SELECT now(), r.id, one.columns, one.values, 'statement:' || r.serial, false,
       moved.position - cardinality(one.columns) * (row_number() OVER (ORDER BY r.n DESC) - 1)
  FROM registered r CROSS JOIN one CROSS JOIN moved
 ORDER BY r.n;

INSERT INTO access.audit_logs (event_type, client_id, action, resource_type, resource_id, ip_address, success)
SELECT 'agent_registered', did, 'POST /v1/agents', 'agent', id, '127.0.0.1', true FROM registered;
