-- What happens when a person changes agents with plain SQL, that is without a cause (model.md §3):
-- the change takes effect at once, VEXEL's triggers keep updated_at, last_active_at and the history,
-- the change is recorded as an act, and the projection, which is told by identity.dirty, confirms it.
-- Chancery's own transactions set `chancery.cause`; none of these triggers fires for them.

-- Time of an act: the clock, or the newest block of the agent's chain where that is later, so that
-- an edit made now wins over everything that was seen before.
CREATE FUNCTION identity.act_time(agent uuid) RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT greatest(clock_timestamp(), (SELECT c.head_time
                                          FROM identity.subjects s JOIN chain.v_chains c USING (chain_id)
                                         WHERE s.id = agent));
$$;

CREATE FUNCTION identity.refuse(message text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CH001', MESSAGE = message;
END $$;

---------------------------------------------------------------------------------------------------
-- agents, before the row is written.

CREATE FUNCTION identity.check_agent_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.did ~* '^did:(nft|key):' THEN
        PERFORM identity.refuse(format(
            'an agent with %s comes from its token or key, not from SQL: use `chancery agent register`, or for one that was deleted SELECT identity.restore_agent(id)', NEW.did));
    END IF;
    -- One account is one agent, however its address was spelled.
    NEW.did := coalesce(replace(NEW.did, substring(NEW.did FROM '0[xX][0-9a-fA-F]{40}'),
                                lower(substring(NEW.did FROM '0[xX][0-9a-fA-F]{40}'))), NEW.did);
    IF EXISTS (SELECT FROM identity.subjects WHERE id = NEW.id AND did <> NEW.did) THEN
        PERFORM identity.refuse(format('the id %s belongs to another agent: leave it out', NEW.id));
    END IF;
    NEW.owner_address  := lower(NEW.owner_address);
    NEW.runtime_status := coalesce(NEW.runtime_status, 'ACTIVE');
    NEW.created_at     := coalesce(NEW.created_at, clock_timestamp());
    NEW.updated_at     := coalesce(NEW.updated_at, NEW.created_at);
    NEW.last_active_at := coalesce(NEW.last_active_at, NEW.created_at);
    NEW.name_source    := 'act';
    NEW.status_final   := false;
    RETURN NEW;
END $$;

CREATE TRIGGER check_agent_insert BEFORE INSERT ON identity.agents
    FOR EACH ROW WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL)
    EXECUTE FUNCTION identity.check_agent_insert();

CREATE FUNCTION identity.check_agent_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.owner_address  := lower(NEW.owner_address);
    NEW.runtime_status := coalesce(NEW.runtime_status, OLD.runtime_status);
    IF NEW.id <> OLD.id THEN
        PERFORM identity.refuse('an agent keeps its id: delete it and insert another one');
    END IF;
    IF (NEW.name_source, NEW.status_final, NEW.last_heartbeat, NEW.liveness)
       IS DISTINCT FROM (OLD.name_source, OLD.status_final, OLD.last_heartbeat, OLD.liveness) THEN
        PERFORM identity.refuse('name_source, status_final, last_heartbeat and liveness follow from facts: change name or runtime_status, or send a heartbeat');
    END IF;
    IF OLD.did LIKE 'did:nft:%' AND
       (NEW.did, NEW.owner_address, NEW.public_key, NEW.ipfs_metadata_hash, NEW.created_at)
       IS DISTINCT FROM (OLD.did, OLD.owner_address, OLD.public_key, OLD.ipfs_metadata_hash, OLD.created_at) THEN
        PERFORM identity.refuse('did, owner_address, public_key, ipfs_metadata_hash and created_at of a token''s agent come from its chain: transfer the token or set its URI there');
    END IF;
    IF OLD.did LIKE 'did:key:%' AND (NEW.did, NEW.public_key) IS DISTINCT FROM (OLD.did, OLD.public_key) THEN
        PERFORM identity.refuse('did and public_key of a key''s agent change by a signed rotation');
    END IF;
    IF NEW.did <> OLD.did AND NEW.did ~* '^did:(nft|key):' THEN
        PERFORM identity.refuse(format('%s comes from its token or key, not from SQL: use `chancery agent register`', NEW.did));
    END IF;
    -- Two times follow from what else is changed; by themselves they change nothing.
    NEW.updated_at     := OLD.updated_at;
    NEW.last_active_at := OLD.last_active_at;
    IF NEW.name IS DISTINCT FROM OLD.name THEN
        NEW.name_source := 'act';
    END IF;
    IF OLD.status_final AND NEW.runtime_status <> OLD.runtime_status THEN
        PERFORM identity.refuse('TERMINATED is final for a burned token: only a new mint lifts it');
    END IF;
    RETURN NEW;
END $$;

-- Fires before the next two, because Postgres orders triggers by name.
CREATE TRIGGER check_agent_update BEFORE UPDATE ON identity.agents
    FOR EACH ROW WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL)
    EXECUTE FUNCTION identity.check_agent_update();

CREATE FUNCTION identity.update_last_active() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.last_active_at := identity.act_time(NEW.id);
    RETURN NEW;
END $$;

CREATE TRIGGER update_agent_last_active BEFORE UPDATE ON identity.agents
    FOR EACH ROW WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL
                       AND NEW.runtime_status = 'ACTIVE' AND OLD.runtime_status IS DISTINCT FROM NEW.runtime_status)
    EXECUTE FUNCTION identity.update_last_active();

CREATE FUNCTION identity.update_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A change to ACTIVE has one time, taken by the trigger above.
    NEW.updated_at := CASE WHEN NEW.last_active_at IS DISTINCT FROM OLD.last_active_at
                           THEN NEW.last_active_at ELSE identity.act_time(NEW.id) END;
    RETURN NEW;
END $$;

CREATE TRIGGER update_agents_updated_at BEFORE UPDATE ON identity.agents
    FOR EACH ROW WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL AND OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION identity.update_updated_at();

CREATE FUNCTION identity.check_agent_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = 'identity.agents'::regclass), 'MEMBER') THEN
        PERFORM identity.refuse('only the owner role deletes agents: use `chancery psql`');
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER check_agent_delete BEFORE DELETE ON identity.agents
    FOR EACH ROW WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL)
    EXECUTE FUNCTION identity.check_agent_delete();

---------------------------------------------------------------------------------------------------
-- agents, after the statement: acts, history, dirty.

CREATE FUNCTION identity.record_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO identity.subjects (id, kind, did) SELECT id, 'did', did FROM new_rows ORDER BY id
        ON CONFLICT (id) DO NOTHING;
    WITH acted AS (
        INSERT INTO identity.acts (agent_id, kind, at, who, changes)
        SELECT id, 'insert', identity.act_time(id), session_user,
               to_jsonb(n) - ARRAY['id', 'name_source', 'status_final', 'liveness', 'last_heartbeat']
          FROM new_rows n ORDER BY id
        RETURNING serial, agent_id, at
    ), history AS (
        INSERT INTO identity.agent_status_history
               (id, agent_id, previous_status, new_status, changed_at, reason, seq, cause, who)
        SELECT public.uuid_generate_v5(a.agent_id, 'agent_status_history/act:' || a.serial), a.agent_id, NULL,
               n.runtime_status, a.at, 'Agent registered',
               (SELECT count(*) FROM identity.agent_status_history h WHERE h.agent_id = a.agent_id),
               'act:' || a.serial, session_user
          FROM acted a JOIN new_rows n ON n.id = a.agent_id
    )
    INSERT INTO identity.dirty (agent_id) SELECT agent_id FROM acted;
    RETURN NULL;
END $$;

CREATE TRIGGER record_agent_insert AFTER INSERT ON identity.agents
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL)
    EXECUTE FUNCTION identity.record_insert();

CREATE FUNCTION identity.record_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH changed AS (
        SELECT n.id, n.updated_at, o.runtime_status AS before, n.runtime_status AS after,
               (SELECT jsonb_object_agg(e.key, e.value) FROM jsonb_each(to_jsonb(n)) e
                 WHERE e.value IS DISTINCT FROM to_jsonb(o) -> e.key
                   AND e.key NOT IN ('updated_at', 'last_active_at', 'name_source')) AS changes
          FROM old_rows o JOIN new_rows n ON n.id = o.id
    ), acted AS (
        INSERT INTO identity.acts (agent_id, kind, at, who, changes, founding)
        SELECT c.id, 'update', c.updated_at, session_user, c.changes, t.founding
          FROM changed c LEFT JOIN identity.tokens t ON t.agent_id = c.id
         WHERE c.changes IS NOT NULL ORDER BY c.id
        RETURNING serial, agent_id, at
    ), history AS (
        INSERT INTO identity.agent_status_history
               (id, agent_id, previous_status, new_status, changed_at, reason, seq, cause, who)
        SELECT public.uuid_generate_v5(a.agent_id, 'agent_status_history/act:' || a.serial), a.agent_id,
               c.before, c.after, a.at, 'Status changed',
               (SELECT count(*) FROM identity.agent_status_history h WHERE h.agent_id = a.agent_id),
               'act:' || a.serial, session_user
          FROM acted a JOIN changed c ON c.id = a.agent_id
         WHERE c.before IS DISTINCT FROM c.after
    )
    INSERT INTO identity.dirty (agent_id) SELECT agent_id FROM acted;
    RETURN NULL;
END $$;

CREATE TRIGGER track_agent_status_changes AFTER UPDATE ON identity.agents
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL)
    EXECUTE FUNCTION identity.record_update();

CREATE FUNCTION identity.record_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH acted AS (
        INSERT INTO identity.acts (agent_id, kind, at, who, changes, founding)
        SELECT o.id, 'delete', identity.act_time(o.id), session_user, '{}', t.founding
          FROM old_rows o LEFT JOIN identity.tokens t ON t.agent_id = o.id ORDER BY o.id
        RETURNING agent_id
    )
    INSERT INTO identity.dirty (agent_id) SELECT agent_id FROM acted;
    RETURN NULL;
END $$;

CREATE TRIGGER record_agent_delete AFTER DELETE ON identity.agents
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT
    WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL)
    EXECUTE FUNCTION identity.record_delete();

-- Brings back the rows of an agent that somebody deleted; its token was there all the time.
CREATE FUNCTION identity.restore_agent(agent uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM identity.subjects WHERE id = agent) THEN
        PERFORM identity.refuse(format('no agent ever had the id %s', agent));
    END IF;
    INSERT INTO identity.acts (agent_id, kind, at, who, changes, founding)
    SELECT agent, 'restore', identity.act_time(agent), session_user, '{}',
           (SELECT founding FROM identity.tokens WHERE agent_id = agent);
    -- Its histories went with its rows: they are folded anew.
    INSERT INTO identity.dirty (agent_id, refold) VALUES (agent, true);
END $$;

---------------------------------------------------------------------------------------------------
-- capability_vectors.

-- Also for the projection: the id is the same, whoever writes.
CREATE FUNCTION identity.fill_capability() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.id := public.uuid_generate_v5(NEW.agent_id, 'capability/' || NEW.capability_name);
    RETURN NEW;
END $$;

CREATE TRIGGER fill_capability BEFORE INSERT ON identity.capability_vectors
    FOR EACH ROW EXECUTE FUNCTION identity.fill_capability();

CREATE FUNCTION identity.touch_capability() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.source := 'act';
    IF TG_OP = 'INSERT' THEN
        NEW.version    := coalesce(NEW.version, 1);
        NEW.updated_at := identity.act_time(NEW.agent_id);
        NEW.created_at := NEW.updated_at;
    ELSE
        IF (NEW.agent_id, NEW.capability_name) IS DISTINCT FROM (OLD.agent_id, OLD.capability_name) THEN
            PERFORM identity.refuse('a capability keeps its agent and its name: delete it and insert another one');
        END IF;
        IF NEW.capability_value IS DISTINCT FROM OLD.capability_value AND NEW.version IS NOT DISTINCT FROM OLD.version THEN
            NEW.version := OLD.version + 1;
        END IF;
        NEW.id         := OLD.id;
        NEW.version    := coalesce(NEW.version, OLD.version);
        NEW.created_at := OLD.created_at;
        IF (NEW.capability_value, NEW.version) IS NOT DISTINCT FROM (OLD.capability_value, OLD.version) THEN
            RETURN OLD;
        END IF;
        NEW.updated_at := identity.act_time(NEW.agent_id);
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER touch_capability_insert BEFORE INSERT ON identity.capability_vectors
    FOR EACH ROW WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL)
    EXECUTE FUNCTION identity.touch_capability();

CREATE TRIGGER update_capability_vectors_updated_at BEFORE UPDATE ON identity.capability_vectors
    FOR EACH ROW WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL AND OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION identity.touch_capability();

CREATE FUNCTION identity.record_capability() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        INSERT INTO identity.acts (agent_id, kind, at, who, changes, founding)
        SELECT r.agent_id, 'capability', identity.act_time(r.agent_id), session_user,
               jsonb_object_agg(r.capability_name, NULL::text), max(t.founding)
          FROM changed_rows r LEFT JOIN identity.tokens t ON t.agent_id = r.agent_id
         GROUP BY r.agent_id ORDER BY r.agent_id;
        INSERT INTO identity.dirty (agent_id) SELECT DISTINCT agent_id FROM changed_rows;
        RETURN NULL;
    END IF;
    -- One act for each row, with the row's time.
    WITH acted AS (
        INSERT INTO identity.acts (agent_id, kind, at, who, changes, founding)
        SELECT r.agent_id, 'capability', r.updated_at, session_user,
               jsonb_build_object(r.capability_name,
                   jsonb_build_object('value', r.capability_value, 'version', r.version)), t.founding
          FROM changed_rows r LEFT JOIN identity.tokens t ON t.agent_id = r.agent_id
         ORDER BY r.agent_id, r.capability_name
        RETURNING agent_id
    )
    INSERT INTO identity.dirty (agent_id) SELECT DISTINCT agent_id FROM acted;
    RETURN NULL;
END $$;

-- An UPDATE that left a row as it was is no act.
CREATE FUNCTION identity.record_capability_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH acted AS (
        INSERT INTO identity.acts (agent_id, kind, at, who, changes, founding)
        SELECT r.agent_id, 'capability', r.updated_at, session_user,
               jsonb_build_object(r.capability_name,
                   jsonb_build_object('value', r.capability_value, 'version', r.version)), t.founding
          FROM changed_rows r JOIN old_rows o ON o.id = r.id
          LEFT JOIN identity.tokens t ON t.agent_id = r.agent_id
         WHERE (r.capability_value, r.version) IS DISTINCT FROM (o.capability_value, o.version)
         ORDER BY r.agent_id, r.capability_name
        RETURNING agent_id
    )
    INSERT INTO identity.dirty (agent_id) SELECT DISTINCT agent_id FROM acted;
    RETURN NULL;
END $$;

CREATE TRIGGER record_capability_insert AFTER INSERT ON identity.capability_vectors
    REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT
    WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL)
    EXECUTE FUNCTION identity.record_capability();
CREATE TRIGGER record_capability_update AFTER UPDATE ON identity.capability_vectors
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS changed_rows FOR EACH STATEMENT
    WHEN (nullif(current_setting('chancery.cause', true), '') IS NULL)
    EXECUTE FUNCTION identity.record_capability_update();
-- Not for the cascade of a deleted agent, which comes from a trigger of Postgres itself.
CREATE TRIGGER record_capability_delete AFTER DELETE ON identity.capability_vectors
    REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT
    WHEN (pg_trigger_depth() = 0 AND nullif(current_setting('chancery.cause', true), '') IS NULL)
    EXECUTE FUNCTION identity.record_capability();

---------------------------------------------------------------------------------------------------
-- Tables that follow from facts are not written by hand, and nothing is truncated.

CREATE FUNCTION identity.refuse_write() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM identity.refuse(format(
        '%s of %I follows from facts: change identity.agents or identity.capability_vectors instead',
        TG_OP, TG_TABLE_NAME));
    RETURN NULL;
END $$;

DO $$
DECLARE
    derived text;
BEGIN
    FOREACH derived IN ARRAY ARRAY['agent_status_history', 'status_changes', 'ipfs_metadata',
                                   'agent_identifiers', 'tokens', 'folds', 'uri_agents'] LOOP
        EXECUTE format(
            'CREATE TRIGGER refuse_write BEFORE INSERT OR UPDATE OR DELETE ON identity.%I
                 FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0
                     AND nullif(current_setting(''chancery.cause'', true), '''') IS NULL)
                 EXECUTE FUNCTION identity.refuse_write()', derived);
    END LOOP;
    FOREACH derived IN ARRAY ARRAY['agents', 'capability_vectors', 'agent_status_history', 'status_changes',
                                   'ipfs_metadata', 'agent_identifiers', 'tokens', 'folds', 'uri_agents',
                                   'subjects', 'uris', 'documents', 'acts', 'statements', 'keys', 'claims'] LOOP
        EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON identity.%I
                            FOR EACH STATEMENT EXECUTE FUNCTION identity.refuse_write()', derived);
    END LOOP;
END $$;

-- Facts are added to, never rewritten: everything else would follow the rewriting without a trace.
CREATE FUNCTION identity.refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM identity.refuse(format(
        '%s of %I.%I would rewrite facts: change identity.agents, which records what you do',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME));
    RETURN NULL;
END $$;

DO $$
DECLARE
    fact text;
BEGIN
    FOREACH fact IN ARRAY ARRAY['identity.subjects', 'identity.documents', 'identity.acts',
                                'identity.statements', 'identity.keys', 'identity.claims',
                                'identity.operators', 'chain.blocks', 'chain.logs'] LOOP
        EXECUTE format(
            'CREATE TRIGGER refuse_rewrite BEFORE UPDATE OR DELETE ON %s
                 FOR EACH STATEMENT WHEN (nullif(current_setting(''chancery.cause'', true), '''') IS NULL)
                 EXECUTE FUNCTION identity.refuse_rewrite()', fact);
    END LOOP;
END $$;
