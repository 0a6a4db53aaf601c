DROP INDEX identity.statements_rotated, identity.acts_named;

CREATE OR REPLACE FUNCTION identity.record_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH acted AS (
        INSERT INTO identity.acts (agent_id, kind, at, who, changes, founding)
        SELECT o.id, 'delete', identity.act_time(o.id), session_user, '{}', t.founding
          FROM old_rows o LEFT JOIN identity.tokens t ON t.agent_id = o.id ORDER BY o.id
        RETURNING agent_id
    )
    INSERT INTO identity.dirty (agent_id) SELECT agent_id FROM acted;
    RETURN NULL;
END $$;
