-- With a cause, or the triggers would refuse it as a person's change.
DO $$ BEGIN
    PERFORM set_config('chancery.cause', 'job:migrate', true);
    UPDATE identity.agents SET name_source = 'act' WHERE name_source = 'chain';
    PERFORM set_config('chancery.cause', '', true);
END $$;
ALTER TABLE identity.agents
    DROP CONSTRAINT agents_name_source_check,
    ADD CONSTRAINT agents_name_source_check CHECK (name_source IN ('none', 'document', 'act', 'statement'));
DROP INDEX identity.did_hashes_agent;
DROP TABLE identity.did_logs;
DELETE FROM chain.contracts WHERE kind = 'vexel';
ALTER TABLE chain.contracts
    DROP CONSTRAINT contracts_kind_check,
    ADD CONSTRAINT contracts_kind_check CHECK (kind IN ('identity', 'status'));
