-- Of a large table, each index that is not in the order of time is another page that a registration writes. What this one
-- finds, agents_did_key finds as well.
DROP INDEX IF EXISTS identity.idx_agents_did;

-- Causes come in an order, agents do not. Steps that wait for their position are found with their agent's others.
CREATE INDEX head_steps_cause ON identity.head_steps (cause, agent_id);
DROP INDEX identity.head_steps_agent;
CREATE INDEX head_steps_all_of_agent ON identity.head_steps (agent_id, position);
DROP INDEX identity.head_steps_of_agent;
ALTER INDEX identity.head_steps_all_of_agent RENAME TO head_steps_of_agent;
