-- With a cause, or the triggers would refuse it as a person's change.
DO $$ BEGIN
    PERFORM set_config('chancery.cause', 'job:migrate', true);
    DELETE FROM identity.agent_identifiers i
     WHERE NOT EXISTS (SELECT FROM identity.agents a WHERE a.id = i.agent_id);
    PERFORM set_config('chancery.cause', '', true);
END $$;
ALTER TABLE identity.agent_identifiers ADD CONSTRAINT agent_identifiers_agent_id_fkey
    FOREIGN KEY (agent_id) REFERENCES identity.agents (id) ON DELETE CASCADE;
