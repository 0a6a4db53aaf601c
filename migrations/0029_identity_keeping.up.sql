-- Keeping and watching: whose changes somebody wants to hear of, and who counts as alive.

-- A watch is a name with targets: an owner, or an agent. Alerts are the head feed's changes of these.
CREATE TABLE identity.watches (
    principal  text        NOT NULL,         -- whose it is, as a principal is printed
    name       text        NOT NULL CHECK (name ~ '^[A-Za-z0-9._-]{1,64}$'),
    target     text        NOT NULL,         -- as it was given
    owner      text        CHECK (owner ~ '^0x[0-9a-f]{40}$'),
    agent_id   uuid,
    created_at timestamptz NOT NULL,
    CHECK ((owner IS NULL) <> (agent_id IS NULL)),
    CONSTRAINT watches_target_unique UNIQUE NULLS NOT DISTINCT (principal, name, owner, agent_id)
);
CREATE INDEX watches_owner ON identity.watches (owner) WHERE owner IS NOT NULL;
CREATE INDEX watches_agent ON identity.watches (agent_id) WHERE agent_id IS NOT NULL;

-- Beats are written thousands of times per second: room in the page lets Postgres replace a row where it stands,
-- and no index may name what changes. The sweep reads the table from end to end.
ALTER TABLE identity.heartbeats
    -- Whether its agent was told to be alive; the sweep takes it back.
    ADD COLUMN alive boolean NOT NULL DEFAULT false,
    -- The last beat that the agent's row shows.
    ADD COLUMN shown timestamptz;
ALTER TABLE identity.heartbeats SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.5);

-- What a row of agents shows beside its facts: the last beat that was written into it. The projection keeps it.
CREATE FUNCTION identity.latest_beat(agent uuid, said timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT greatest(said, (SELECT h.shown FROM identity.heartbeats h WHERE h.agent_id = agent));
$$;
