DO $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT tgname, tgrelid::regclass AS relation FROM pg_trigger
               JOIN pg_proc p ON p.oid = tgfoid
              WHERE p.pronamespace = 'identity'::regnamespace AND NOT tgisinternal LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', t.tgname, t.relation);
    END LOOP;
END $$;
DROP FUNCTION identity.refuse_rewrite, identity.refuse_write, identity.record_capability, identity.record_capability_update, identity.touch_capability,
    identity.fill_capability, identity.restore_agent, identity.record_delete, identity.record_update,
    identity.record_insert, identity.check_agent_delete, identity.update_updated_at,
    identity.update_last_active, identity.check_agent_update, identity.check_agent_insert,
    identity.refuse, identity.act_time;
