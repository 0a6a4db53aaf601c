DROP INDEX identity.head_changes_position;
DROP INDEX identity.head_changes_of_agent;
DROP INDEX identity.head_changes_of_column;
DROP INDEX identity.head_changes_of_owner;
DROP INDEX identity.head_changes_of_former_owner;
CREATE UNIQUE INDEX head_changes_position ON identity.head_changes (position);
CREATE INDEX head_changes_of_agent ON identity.head_changes (agent_id, position);
CREATE INDEX head_changes_of_column ON identity.head_changes (what, position);
CREATE INDEX head_changes_of_owner ON identity.head_changes (owner, position) WHERE owner IS NOT NULL;
CREATE INDEX head_changes_of_former_owner ON identity.head_changes (former_owner, position)
    WHERE former_owner IS NOT NULL;
