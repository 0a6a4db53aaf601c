-- A deleted agent's names and history go with its row, also while a first backfill leaves out the foreign keys whose
-- cascade does it else (store.deferred): they would be in the way of the rows that a restored one gets.
CREATE OR REPLACE FUNCTION identity.record_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM identity.agent_identifiers WHERE agent_id IN (SELECT id FROM old_rows);
    DELETE FROM identity.agent_status_history WHERE agent_id IN (SELECT id FROM old_rows);
    WITH acted AS (
        INSERT INTO identity.acts (agent_id, kind, at, who, changes, founding)
        SELECT o.id, 'delete', identity.act_time(o.id), session_user, '{}', t.founding
          FROM old_rows o LEFT JOIN identity.tokens t ON t.agent_id = o.id ORDER BY o.id
        RETURNING agent_id
    )
    INSERT INTO identity.dirty (agent_id) SELECT agent_id FROM acted;
    RETURN NULL;
END $$;

-- What agents were ever called is asked each time that they are projected, where VEXEL's contracts are read.
CREATE INDEX acts_named ON identity.acts (agent_id) WHERE changes ? 'did';
CREATE INDEX statements_rotated ON identity.statements (agent_id) WHERE kind = 'rotate';
