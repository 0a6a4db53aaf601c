DROP VIEW identity.head_changes;
ALTER TABLE identity.head_steps RENAME TO head_changes;
DROP INDEX identity.head_steps_position;
ALTER TABLE identity.head_changes
    DROP CONSTRAINT head_steps_values,
    ALTER COLUMN columns DROP NOT NULL,
    ALTER COLUMN values DROP NOT NULL,
    ADD COLUMN what text,
    ADD COLUMN value jsonb;
INSERT INTO identity.head_changes (at, agent_id, what, value, cause, undone, position, owner, former_owner)
SELECT s.at, s.agent_id, c.what, c.value, s.cause, s.undone, s.position - cardinality(s.columns) + c.nth, s.owner,
       s.former_owner
  FROM identity.head_changes s
 CROSS JOIN LATERAL unnest(s.columns, s.values) WITH ORDINALITY AS c(what, value, nth)
 ORDER BY s.seq, c.nth;
DELETE FROM identity.head_changes WHERE columns IS NOT NULL;
ALTER TABLE identity.head_changes ALTER COLUMN what SET NOT NULL, DROP COLUMN columns, DROP COLUMN values;
COMMENT ON COLUMN identity.head_changes.position IS NULL;
ALTER INDEX identity.head_steps_pkey RENAME TO head_changes_pkey;
ALTER INDEX identity.head_steps_agent RENAME TO head_changes_agent;
ALTER INDEX identity.head_steps_waiting RENAME TO head_changes_waiting;
ALTER INDEX identity.head_steps_undone RENAME TO head_changes_undone;
ALTER INDEX identity.head_steps_of_agent RENAME TO head_changes_of_agent;
ALTER INDEX identity.head_steps_of_owner RENAME TO head_changes_of_owner;
ALTER INDEX identity.head_steps_of_former_owner RENAME TO head_changes_of_former_owner;
CREATE UNIQUE INDEX head_changes_position ON identity.head_changes (position) WHERE position IS NOT NULL;
CREATE INDEX head_changes_of_column ON identity.head_changes (what, position) WHERE position IS NOT NULL;
