DELETE FROM identity.agent_identifiers i WHERE NOT EXISTS (SELECT FROM identity.agents a WHERE a.id = i.agent_id);
ALTER TABLE identity.agent_identifiers ADD CONSTRAINT agent_identifiers_agent_id_fkey
    FOREIGN KEY (agent_id) REFERENCES identity.agents (id) ON DELETE CASCADE;
