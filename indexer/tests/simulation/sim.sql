-- What the simulation adds to its database: a clock that psql sees too, and writes that fail on demand.
-- The database's search_path has this schema before pg_catalog, so that triggers find this clock.
CREATE SCHEMA sim;

CREATE TABLE sim.clock (now timestamptz NOT NULL);
INSERT INTO sim.clock VALUES ('epoch');
CREATE FUNCTION sim.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    'SELECT now FROM sim.clock';

-- The statement or commit that is to fail, counted from when the row was written, and how: an SQLSTATE, or the
-- connection dies, or it waits to be killed.
CREATE SEQUENCE sim.writes;
CREATE TABLE sim.fault (at bigint NOT NULL, code text NOT NULL);
CREATE FUNCTION sim.may_fail() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    fault sim.fault;
BEGIN
    SELECT * INTO fault FROM sim.fault;
    IF NOT FOUND OR current_setting('application_name') <> 'engine'
       OR (fault.code = 'commits') <> (TG_WHEN = 'AFTER') OR nextval('sim.writes') <> fault.at THEN
        RETURN NULL;
    END IF;
    IF fault.code IN ('waits', 'commits') THEN
        PERFORM pg_sleep(60);
    END IF;
    IF fault.code = 'dies' THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
        PERFORM pg_sleep(60);
    END IF;
    RAISE EXCEPTION USING ERRCODE = fault.code, MESSAGE = 'simulated: ' || fault.code;
END $$;

DO $$
DECLARE
    name regclass;
BEGIN
    FOR name IN SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relkind = 'r' AND n.nspname IN ('identity', 'chain', 'journal', 'store') LOOP
        EXECUTE format('CREATE TRIGGER a_simulated_fault BEFORE INSERT OR UPDATE OR DELETE ON %s
                            FOR EACH STATEMENT EXECUTE FUNCTION sim.may_fail()', name);
    END LOOP;
END $$;

-- The commit that moves what is projected, and not a statement before it: where a window is written by two
-- connections, the other one has committed by then.
CREATE CONSTRAINT TRIGGER a_simulated_commit AFTER UPDATE ON chain.chains DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.head_number <> OLD.head_number) EXECUTE FUNCTION sim.may_fail();

-- Empties everything, quickly: there are few rows, and no trigger fires for a replica.
CREATE FUNCTION sim.reset() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR one IN SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind = 'r' AND n.nspname IN ('identity', 'chain', 'journal', 'store')
                  AND c.oid <> 'store.deferred'::regclass LOOP
        EXECUTE format('DELETE FROM %I.%I', one.nspname, one.relname);
    END LOOP;
    FOR one IN SELECT schemaname, sequencename FROM pg_sequences
                WHERE schemaname IN ('identity', 'chain', 'journal', 'store') LOOP
        PERFORM setval(format('%I.%I', one.schemaname, one.sequencename), 1, false);
    END LOOP;
    DELETE FROM sim.fault;
    -- A backfill that was broken off left indexes to be built.
    PERFORM store.build_deferred(name) FROM (SELECT name FROM store.deferred ORDER BY ordinal) AS missing;
END $$;
