-- What the simulation adds to its database: writes that fail or wait on demand, and what followers did.
CREATE SCHEMA sim;

-- Whose n-th write (statement or commit, counted from when the row was written) fails, and how: an SQLSTATE, or the
-- connection dies, or it waits until the simulation lets go of the lock.
CREATE SEQUENCE sim.writes;
CREATE TABLE sim.fault (who text NOT NULL, at bigint NOT NULL, code text NOT NULL);
CREATE FUNCTION sim.may_fail() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fault sim.fault;
BEGIN
    SELECT * INTO fault FROM sim.fault;
    IF NOT FOUND OR current_setting('application_name') <> fault.who
       OR (fault.code = 'commits') <> (TG_WHEN = 'AFTER') OR nextval('sim.writes') <> fault.at THEN
        RETURN NULL;
    END IF;
    IF fault.code IN ('waits', 'commits') THEN
        PERFORM pg_advisory_lock(77);
        PERFORM pg_advisory_unlock(77);
        RETURN NULL;
    END IF;
    IF fault.code = 'dies' THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
        PERFORM pg_sleep(60);
    END IF;
    RAISE EXCEPTION USING ERRCODE = fault.code, MESSAGE = 'simulated: ' || fault.code;
END $$;

-- Which transactions of writers and followers were committed: they say so themselves.
CREATE TABLE sim.commits (id bigint NOT NULL);
-- What followers did with what they were given. No key: twice must show.
CREATE TABLE sim.followed (follower text NOT NULL, leaf_index bigint NOT NULL, cid text NOT NULL);

DO $$
DECLARE
    name regclass;
BEGIN
    FOR name IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind = 'r' AND n.nspname IN ('journal', 'store') LOOP
        EXECUTE format('CREATE TRIGGER a_simulated_fault BEFORE INSERT OR UPDATE OR DELETE ON %s
                            FOR EACH STATEMENT EXECUTE FUNCTION sim.may_fail()', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['journal.checkpoints', 'sim.commits']::regclass[] LOOP
        EXECUTE format('CREATE CONSTRAINT TRIGGER a_simulated_commit AFTER INSERT ON %s
                            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sim.may_fail()', name);
    END LOOP;
END $$;

-- Empties everything, quickly: there are few rows, and no trigger fires for a replica.
CREATE FUNCTION sim.reset() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR one IN SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind = 'r' AND n.nspname IN ('journal', 'store', 'sim')
                  AND c.oid <> 'store.deferred'::regclass LOOP
        EXECUTE format('DELETE FROM %I.%I', one.nspname, one.relname);
    END LOOP;
    FOR one IN SELECT schemaname, sequencename FROM pg_sequences WHERE schemaname = 'journal' LOOP
        PERFORM setval(format('%I.%I', one.schemaname, one.sequencename), 1, false);
    END LOOP;
END $$;
