-- Whoever deletes an agent deletes its names himself: our own code does, and identity.record_delete() for plain SQL. A
-- foreign key looked an agent up once more for each of them, and an agent that registers has four: that was a tenth of
-- what its registration costs.
ALTER TABLE identity.agent_identifiers DROP CONSTRAINT IF EXISTS agent_identifiers_agent_id_fkey;
