-- Nobody keeps them up any more. With a cause, or the triggers would refuse it as a person's change.
DO $$ BEGIN
    PERFORM set_config('chancery.cause', 'job:migrate', true);
    DELETE FROM identity.agent_identifiers WHERE standing = 'claimed';
    PERFORM set_config('chancery.cause', '', true);
END $$;
