CREATE INDEX head_steps_agent ON identity.head_steps (agent_id, cause);
DROP INDEX identity.head_steps_cause;
CREATE INDEX head_steps_ordered_of_agent ON identity.head_steps (agent_id, position) WHERE position IS NOT NULL;
DROP INDEX identity.head_steps_of_agent;
ALTER INDEX identity.head_steps_ordered_of_agent RENAME TO head_steps_of_agent;

CREATE INDEX idx_agents_did ON identity.agents (did);
