-- Indexes and foreign keys that a backfill from nothing adds at its end, because Postgres builds them from rows
-- several times faster than row by row. What is missing meanwhile is listed in store.deferred, in the transaction
-- that drops or builds it: whenever a process dies, an index is there, or its line here is.
--
-- What may be missing protects nothing that the tables' other keys do not:
--   * primary keys and every key of an ON CONFLICT stay;
--   * tokens_name_unique and agent_identifiers_verified follow from agents.id and agents.did, and only the
--     projection writes there; the DIDs of tokens follow from agents.id too, and plain SQL may not give one;
--   * for all other DIDs a smaller key stands in for agents_did_key;
--   * entries are appended under the lock of their agent, which keeps their chains whole;
--   * a foreign key's cascade is made up for when it is built, before it is checked.
-- The owner role does it; the application's role may call the two functions and read the table (store::migrate).

CREATE TABLE store.deferred (
    name       text    PRIMARY KEY,
    -- Built in this order; foreign keys last.
    ordinal    integer NOT NULL,
    definition text    NOT NULL,
    -- What goes before: what a foreign key would have done, deletes rows whose agent is gone.
    before     text,
    -- What goes behind: drops what stood in for it.
    behind     text
);

-- Drops what may be built late and remembers its definition; only where nothing is indexed yet, and nobody holds
-- one of the tables. Gives how many are missing now.
CREATE FUNCTION store.defer_indexes() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    -- In the order in which transactions of ours write them.
    tables CONSTANT text[] := ARRAY['chain.logs', 'identity.agents', 'identity.tokens',
        'identity.agent_identifiers', 'identity.agent_status_history', 'identity.uri_agents', 'store.jobs',
        'journal.entries', 'journal.said'];
    late CONSTANT text[] := ARRAY['chain.logs_subject',
        'identity.idx_agents_did', 'identity.idx_agents_owner_address', 'identity.idx_agents_runtime_status',
        'identity.idx_agents_created_at', 'identity.tokens_uri', 'identity.agent_identifiers_verified',
        'identity.idx_agent_status_history_agent_id', 'identity.idx_agent_status_history_changed_at',
        'identity.uri_agents_agent', 'store.jobs_due', 'journal.entries_xid', 'journal.said_agent'];
    late_constraints CONSTANT text[] := ARRAY['agents_did_key', 'tokens_name_unique', 'entries_cid_unique',
        'entries_chain_unique', 'agent_identifiers_agent_id_fkey', 'agent_status_history_agent_id_fkey'];
    target text;
    there boolean;
    made   record;
BEGIN
    -- Mostly there is something; nobody should have to wait for that answer.
    FOREACH target IN ARRAY ARRAY['identity.agents', 'chain.logs', 'journal.entries'] LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', target) INTO there;
        IF there THEN
            RETURN (SELECT count(*) FROM store.deferred);
        END IF;
    END LOOP;
    BEGIN
        FOREACH target IN ARRAY tables LOOP
            EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', target);
        END LOOP;
    EXCEPTION WHEN lock_not_available THEN
        RETURN (SELECT count(*) FROM store.deferred);
    END;
    -- Now that nobody can write any more.
    FOREACH target IN ARRAY ARRAY['identity.agents', 'chain.logs', 'journal.entries'] LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', target) INTO there;
        IF there THEN
            RETURN (SELECT count(*) FROM store.deferred);
        END IF;
    END LOOP;
    FOR made IN
        SELECT n.name, n.ordinal, pg_get_indexdef(to_regclass(n.name)) AS definition
          FROM unnest(late) WITH ORDINALITY AS n(name, ordinal) WHERE to_regclass(n.name) IS NOT NULL
    LOOP
        INSERT INTO store.deferred (name, ordinal, definition) VALUES (made.name, made.ordinal, made.definition);
        EXECUTE format('DROP INDEX %s', made.name);
    END LOOP;
    FOR made IN
        SELECT c.conname AS name, 100 + n.ordinal AS ordinal, c.conrelid::regclass::text AS child,
               pg_get_constraintdef(c.oid) AS definition,
               CASE WHEN c.confdeltype = 'c' THEN
                   format('LOCK TABLE %2$s IN SHARE ROW EXCLUSIVE MODE; DELETE FROM %1$s child'
                          ' WHERE NOT EXISTS (SELECT FROM %2$s parent WHERE parent.%4$I = child.%3$I)',
                          c.conrelid::regclass, c.confrelid::regclass,
                          (SELECT attname FROM pg_attribute WHERE attrelid = c.conrelid AND attnum = c.conkey[1]),
                          (SELECT attname FROM pg_attribute WHERE attrelid = c.confrelid AND attnum = c.confkey[1]))
               END AS before
          FROM unnest(late_constraints) WITH ORDINALITY AS n(name, ordinal)
          JOIN pg_constraint c ON c.conname = n.name
           AND c.connamespace = ANY (ARRAY['identity', 'journal']::regnamespace[])
    LOOP
        INSERT INTO store.deferred (name, ordinal, definition, before, behind)
        VALUES (made.name, made.ordinal,
                format('ALTER TABLE %s ADD CONSTRAINT %I %s', made.child, made.name, made.definition), made.before,
                CASE made.name WHEN 'agents_did_key' THEN 'DROP INDEX identity.agents_did_key_meanwhile' END);
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', made.child, made.name);
        IF made.name = 'agents_did_key' THEN
            EXECUTE $sql$CREATE UNIQUE INDEX agents_did_key_meanwhile ON identity.agents (did)
                          WHERE did NOT LIKE 'did:nft:%'$sql$;
        END IF;
    END LOOP;
    RETURN (SELECT count(*) FROM store.deferred);
END $$;

-- Builds one and forgets it; false where it is there already. Two callers may build at once.
CREATE FUNCTION store.build_deferred(wanted text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET maintenance_work_mem = '128MB' AS $$
DECLARE
    missing store.deferred;
BEGIN
    SELECT * INTO missing FROM store.deferred WHERE name = wanted FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF missing.before IS NOT NULL THEN
        EXECUTE missing.before;
    END IF;
    EXECUTE missing.definition;
    IF missing.behind IS NOT NULL THEN
        EXECUTE missing.behind;
    END IF;
    DELETE FROM store.deferred WHERE name = wanted;
    RETURN true;
END $$;

REVOKE ALL ON FUNCTION store.defer_indexes(), store.build_deferred(text) FROM PUBLIC;
