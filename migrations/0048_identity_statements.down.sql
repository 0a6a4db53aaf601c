CREATE INDEX statements_agent ON identity.statements (agent_id, serial);
