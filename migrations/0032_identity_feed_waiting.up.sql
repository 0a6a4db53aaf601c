-- A change of the head feed waits without a position until it is ordered, and whoever reads asks for positions alone. So
-- the indexes by which it is read begin with the position: a row that waits is in none of them, and writing it costs half.
DROP INDEX identity.head_changes_position;
DROP INDEX identity.head_changes_of_agent;
DROP INDEX identity.head_changes_of_column;
DROP INDEX identity.head_changes_of_owner;
DROP INDEX identity.head_changes_of_former_owner;
CREATE UNIQUE INDEX head_changes_position ON identity.head_changes (position) WHERE position IS NOT NULL;
CREATE INDEX head_changes_of_agent ON identity.head_changes (agent_id, position) WHERE position IS NOT NULL;
CREATE INDEX head_changes_of_column ON identity.head_changes (what, position) WHERE position IS NOT NULL;
CREATE INDEX head_changes_of_owner ON identity.head_changes (owner, position)
    WHERE owner IS NOT NULL AND position IS NOT NULL;
CREATE INDEX head_changes_of_former_owner ON identity.head_changes (former_owner, position)
    WHERE former_owner IS NOT NULL AND position IS NOT NULL;
