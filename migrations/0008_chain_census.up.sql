-- The census: rows held against the registries' own state.

-- How far each registry's agents were compared, and how many the registry counts.
CREATE TABLE chain.census (
    chain_id       bigint NOT NULL REFERENCES chain.chains ON DELETE CASCADE,
    registry       bytea  NOT NULL CHECK (octet_length(registry) = 20),
    -- The pass over all agents goes on with this token; NULL: all were compared.
    next_token     numeric(78, 0),
    -- Everybody of whom logs up to here speak was compared since, those before the pass aside.
    through_block  bigint NOT NULL,
    -- Counts rewinds of the chain, so that no page goes on where the chain is another one.
    rewinds        bigint NOT NULL DEFAULT 0,
    -- When and at which block something was compared last.
    taken_at       timestamptz,
    block_number   bigint,
    block_hash     bytea,
    -- Our count, and the registry's own where it could be read.
    agents         bigint,
    counted        numeric(78, 0),
    -- How far the count is shown, and the least of what was compared:
    -- 'proven' against the header's state root, 'reported' by one provider, 'unavailable'.
    count_level    text NOT NULL DEFAULT 'unavailable'
        CHECK (count_level IN ('unavailable', 'reported', 'proven')),
    values_level   text CHECK (values_level IN ('unavailable', 'reported', 'proven')),
    -- Whether this implementation keeps its values in the known slots, or has to be called.
    implementation bytea,
    layout         text CHECK (layout IN ('slots', 'calls')),
    -- What is in the way, for people.
    obstacle       text,
    PRIMARY KEY (chain_id, registry)
);

-- Agents to compare again: touched by a reorg, put right, or not clear at the first look.
CREATE TABLE chain.census_again (
    chain_id bigint NOT NULL REFERENCES chain.chains ON DELETE CASCADE,
    agent_id uuid   NOT NULL,
    PRIMARY KEY (chain_id, agent_id)
);

-- Values that are not the contract's. Agreement later on is noted, the row stays.
CREATE TABLE chain.mismatches (
    serial         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain_id       bigint NOT NULL REFERENCES chain.chains ON DELETE CASCADE,
    registry       bytea  NOT NULL,
    -- NULL: the count of all agents.
    agent_id       uuid,
    token_id       numeric(78, 0),
    -- 'agents', 'owner', 'wallet', 'uri' or 'metadata:<key>'.
    what           text   NOT NULL,
    -- The event rule that made our value, and the log that it read last.
    rule           text   NOT NULL,
    rule_block     bigint,
    rule_log       integer,
    ours           text,
    theirs         text,
    level          text   NOT NULL CHECK (level IN ('reported', 'proven')),
    block_number   bigint NOT NULL,
    block_hash     bytea  NOT NULL,
    found_at       timestamptz NOT NULL,
    -- The block at which it was seen to be gone.
    gone_block     bigint,
    CONSTRAINT mismatches_once UNIQUE NULLS NOT DISTINCT (chain_id, registry, agent_id, what)
);
CREATE INDEX mismatches_open ON chain.mismatches (chain_id) WHERE gone_block IS NULL;
