-- The head feed is kept by the step: what one cause changed of one agent is one row, told at as many places as it
-- has changes. To write a founding that sets nine columns costs a ninth, and its place is given once. Who reads by SQL
-- finds each change in `identity.head_changes`, which is a view now.
DROP INDEX identity.head_changes_of_column;
ALTER TABLE identity.head_changes RENAME TO head_steps;
ALTER INDEX identity.head_changes_pkey RENAME TO head_steps_pkey;
ALTER INDEX identity.head_changes_agent RENAME TO head_steps_agent;
ALTER INDEX identity.head_changes_waiting RENAME TO head_steps_waiting;
ALTER INDEX identity.head_changes_undone RENAME TO head_steps_undone;
ALTER INDEX identity.head_changes_position RENAME TO head_steps_position;
ALTER INDEX identity.head_changes_of_agent RENAME TO head_steps_of_agent;
ALTER INDEX identity.head_changes_of_owner RENAME TO head_steps_of_owner;
ALTER INDEX identity.head_changes_of_former_owner RENAME TO head_steps_of_former_owner;
ALTER TABLE identity.head_steps RENAME COLUMN what TO columns;
ALTER TABLE identity.head_steps RENAME COLUMN value TO values;
ALTER TABLE identity.head_steps
    -- The columns that it set, in fold order, and what to.
    ALTER COLUMN columns TYPE text[] USING ARRAY[columns],
    ALTER COLUMN values TYPE jsonb[] USING ARRAY[values],
    ALTER COLUMN values SET NOT NULL,
    ADD CONSTRAINT head_steps_values CHECK (cardinality(columns) > 0 AND cardinality(values) = cardinality(columns));
-- The place of its last change; the others have those right before.
COMMENT ON COLUMN identity.head_steps.position IS 'the place of its last change';

CREATE VIEW identity.head_changes AS
    SELECT s.seq, s.position - cardinality(s.columns) + c.nth AS position, s.at, s.agent_id, c.what, c.value, s.cause,
           s.owner, s.former_owner, s.undone
      FROM identity.head_steps s
     CROSS JOIN LATERAL unnest(s.columns, s.values) WITH ORDINALITY AS c(what, value, nth);
