-- Agents: the facts that do not stand on a chain, and the rows projected from all facts.
-- VEXEL's tables, columns, indexes, constraints, enum, triggers and views keep their names;
-- docs/decisions/0006-departures-from-vexel.md lists where and why they differ.

CREATE SCHEMA identity;

CREATE TYPE identity.runtime_status AS ENUM ('ACTIVE', 'SLEEP', 'TERMINATED');

---------------------------------------------------------------------------------------------------
-- Subjects: one row per agent ever named, never deleted; its lock guards projection and settling.
CREATE TABLE identity.subjects (
    id       uuid PRIMARY KEY,
    kind     text NOT NULL CHECK (kind IN ('token', 'key', 'did')),
    chain_id bigint,
    registry bytea,
    token_id numeric(78, 0),
    did      text NOT NULL
);

---------------------------------------------------------------------------------------------------
-- Facts. None holds a foreign key to agents: a reorg of a mint must not delete what people said.

-- Order of off-chain facts of one time.
CREATE SEQUENCE identity.fact_serial;

-- Every URI that an agent ever named, once. A step locks its row FOR SHARE, the judge FOR UPDATE.
CREATE TABLE identity.uris (
    hash            bytea PRIMARY KEY,       -- sha2-256 of the raw bytes
    uri             text,                    -- cleaned text; NULL where it is over 256 KiB
    raw             bytea,                   -- the bytes, where the text is not exactly they
    size            bigint      NOT NULL,    -- bytes
    state           text        NOT NULL DEFAULT 'pending',
    verification    text,
    last_error      text,
    attempts        integer     NOT NULL DEFAULT 0,
    checked_at      timestamptz,
    next_attempt_at timestamptz
);

-- What a URI was found to hold. A version is written when the content or its judgement differs.
CREATE TABLE identity.documents (
    uri_hash     bytea       NOT NULL REFERENCES identity.uris (hash),
    version      integer     NOT NULL,
    serial       bigint      NOT NULL DEFAULT nextval('identity.fact_serial'),
    judged_at    timestamptz NOT NULL,
    -- Newest block time per chain that was ahead of the clock: {"31337": microseconds}.
    chain_times  jsonb       NOT NULL DEFAULT '{}',
    state        text        NOT NULL,
    verification text,
    sha256       bytea,                      -- of the bytes; NULL where there are none
    cid          text,
    size         bigint      NOT NULL,
    raw          jsonb,                      -- the document, where it is JSON
    whole        jsonb       NOT NULL,       -- fields by our names
    says         jsonb       NOT NULL,       -- those that differ from the version before
    warnings     jsonb       NOT NULL DEFAULT '[]',
    PRIMARY KEY (uri_hash, version)
);

-- What an operator did, plain SQL included.
CREATE TABLE identity.acts (
    serial   bigint PRIMARY KEY DEFAULT nextval('identity.fact_serial'),
    agent_id uuid        NOT NULL,
    kind     text        NOT NULL CHECK (kind IN ('update', 'insert', 'delete', 'restore', 'capability')),
    at       timestamptz NOT NULL,
    who      text        NOT NULL,
    changes  jsonb       NOT NULL,
    reason   text,
    -- The founding that it speaks about; NULL where none was known.
    founding text
);
CREATE INDEX acts_agent ON identity.acts (agent_id, serial);

-- What owners and keys signed.
CREATE TABLE identity.statements (
    serial    bigint PRIMARY KEY DEFAULT nextval('identity.fact_serial'),
    agent_id  uuid        NOT NULL,
    kind      text        NOT NULL,
    at        timestamptz NOT NULL,
    bytes     bytea       NOT NULL,
    signature bytea       NOT NULL,
    signer    text        NOT NULL,
    nonce     bytea       NOT NULL,
    changes   jsonb       NOT NULL,
    founding  text,
    transfer  text,
    CONSTRAINT statements_nonce_unique UNIQUE (signer, nonce)
);
CREATE INDEX statements_agent ON identity.statements (agent_id, serial);

-- Every key ever used, once: one that was rotated away can never found an agent.
CREATE TABLE identity.keys (
    public_key bytea PRIMARY KEY CHECK (octet_length(public_key) = 32),
    agent_id   uuid        NOT NULL,
    since      timestamptz NOT NULL,
    until      timestamptz
);

-- Links between a key's agent and a token's, signed by both.
CREATE TABLE identity.claims (
    serial        bigint PRIMARY KEY DEFAULT nextval('identity.fact_serial'),
    key_agent     uuid        NOT NULL,
    token_agent   uuid        NOT NULL,
    at            timestamptz NOT NULL,
    founding      text        NOT NULL,
    owner         bytea       NOT NULL,
    key_statement bytea       NOT NULL,
    owner_statement bytea     NOT NULL
);

-- keccak-256 of a DID's forms, for contracts that name agents by hash.
CREATE TABLE identity.did_hashes (
    hash     bytea PRIMARY KEY,
    agent_id uuid
);

-- ApprovalForAll speaks of no token; one row per log, the latest of a pair counts.
CREATE TABLE identity.operators (
    chain_id     bigint  NOT NULL,
    block_number bigint  NOT NULL,
    log_index    integer NOT NULL,
    registry     bytea   NOT NULL,
    owner        bytea   NOT NULL,
    operator     bytea   NOT NULL,
    approved     boolean NOT NULL,
    PRIMARY KEY (chain_id, block_number, log_index)
);
CREATE INDEX operators_pair ON identity.operators (chain_id, registry, owner, operator);

CREATE TABLE identity.heartbeats (
    agent_id uuid PRIMARY KEY,
    last     timestamptz NOT NULL,
    next_due timestamptz NOT NULL
);

---------------------------------------------------------------------------------------------------
-- Work of the projection.

-- Agents to project again. Append-only and without a unique key: it must never wait for anybody.
CREATE TABLE identity.dirty (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id uuid    NOT NULL,
    -- Whether a fact came that may stand before others: fold from the first one.
    refold   boolean NOT NULL DEFAULT false
);

-- State of the fold over an agent's facts on settled ground.
CREATE TABLE identity.folds (
    agent_id       uuid PRIMARY KEY,
    through_block  bigint NOT NULL,
    through_serial bigint NOT NULL,
    state          bytea  NOT NULL
);

-- Who ever named a URI: whom a judged document touches.
CREATE TABLE identity.uri_agents (
    uri_hash bytea   NOT NULL,
    agent_id uuid    NOT NULL,
    -- The log that named it first, and whether another one did again.
    block    bigint  NOT NULL,
    log      integer NOT NULL,
    again    boolean NOT NULL,
    PRIMARY KEY (uri_hash, agent_id)
);
CREATE INDEX uri_agents_agent ON identity.uri_agents (agent_id);

-- The head feed: what changed at the head, and what was undone. Kept for some days.
CREATE TABLE identity.head_changes (
    seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL,
    agent_id uuid        NOT NULL,
    what     text        NOT NULL,
    value    jsonb,
    cause    text        NOT NULL,
    undone   boolean     NOT NULL
);
CREATE INDEX head_changes_agent ON identity.head_changes (agent_id, cause);

---------------------------------------------------------------------------------------------------
-- Projected rows.

-- The latest word of the chain on a token, by kind, with where it was said.
CREATE TABLE identity.tokens (
    agent_id    uuid PRIMARY KEY,
    chain_id    bigint         NOT NULL,
    registry    bytea          NOT NULL,
    token_id    numeric(78, 0) NOT NULL,
    owner       bytea,
    approved    bytea,
    wallet      bytea,
    uri_hash    bytea,
    -- Version of the document in force; NULL while the current URI is not judged.
    document_version integer,
    founding    text,
    complete    boolean NOT NULL,
    burned      boolean NOT NULL,
    -- Whether a value rests on an event that a better one could contradict.
    claimed     boolean NOT NULL,
    onchain     jsonb   NOT NULL DEFAULT '{}',
    owner_block bigint, owner_log integer,
    wallet_block bigint, wallet_log integer,
    uri_block   bigint, uri_log integer,
    first_block bigint NOT NULL,
    last_block  bigint NOT NULL,
    last_log    integer NOT NULL,
    last_tx     bytea  NOT NULL,
    CONSTRAINT tokens_name_unique UNIQUE (chain_id, registry, token_id)
);
CREATE INDEX tokens_uri ON identity.tokens (uri_hash) WHERE uri_hash IS NOT NULL;

CREATE TABLE identity.agents (
    id                 uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    did                varchar(255) NOT NULL,
    name               varchar(255) NOT NULL,
    description        text,
    owner_address      varchar(42),
    ipfs_metadata_hash varchar(64),
    created_at         timestamptz DEFAULT now(),
    updated_at         timestamptz DEFAULT now(),
    runtime_status     identity.runtime_status DEFAULT 'ACTIVE',
    last_active_at     timestamptz DEFAULT now(),
    -- What the other seeds add.
    name_source        text NOT NULL DEFAULT 'act' CHECK (name_source IN ('none', 'document', 'act', 'statement')),
    public_key         text,
    endpoint_url       text,
    avatar_url         text,
    category           text,
    summary            text,
    version            text,
    metadata           jsonb NOT NULL DEFAULT '{}',
    codebase_hash      text,
    ttl                integer,
    last_heartbeat     timestamptz,
    liveness           text NOT NULL DEFAULT 'unknown' CHECK (liveness IN ('unknown', 'active', 'inactive')),
    admin_status       text NOT NULL DEFAULT 'ACTIVE' CHECK (admin_status IN ('ACTIVE', 'INACTIVE', 'SUSPENDED')),
    load               text NOT NULL DEFAULT 'AVAILABLE' CHECK (load IN ('AVAILABLE', 'BUSY')),
    trust_score        double precision CHECK (trust_score BETWEEN 0 AND 1),
    tasks_total        bigint NOT NULL DEFAULT 0,
    tasks_completed    bigint NOT NULL DEFAULT 0,
    tasks_failed       bigint NOT NULL DEFAULT 0,
    -- Nothing lifts this status but a reset (a new mint).
    status_final       boolean NOT NULL DEFAULT false,
    CONSTRAINT agents_did_key UNIQUE (did),
    CONSTRAINT agents_owner_address_check CHECK (owner_address ~* '^0x[a-f0-9]{40}$')
);
CREATE INDEX idx_agents_did ON identity.agents (did);
CREATE INDEX idx_agents_owner_address ON identity.agents (owner_address);
CREATE INDEX idx_agents_runtime_status ON identity.agents (runtime_status);
CREATE INDEX idx_agents_created_at ON identity.agents (created_at);

CREATE TABLE identity.capability_vectors (
    id               uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    agent_id         uuid NOT NULL REFERENCES identity.agents (id) ON DELETE CASCADE,
    capability_name  varchar(255) NOT NULL,
    capability_value jsonb NOT NULL,
    version          integer DEFAULT 1,
    created_at       timestamptz DEFAULT now(),
    updated_at       timestamptz DEFAULT now(),
    source           text NOT NULL DEFAULT 'act',
    CONSTRAINT unique_agent_capability UNIQUE (agent_id, capability_name)
);
CREATE INDEX idx_capability_vectors_agent_id ON identity.capability_vectors (agent_id);
CREATE INDEX idx_capability_vectors_capability_name ON identity.capability_vectors (capability_name);
CREATE INDEX idx_capability_vectors_value ON identity.capability_vectors USING gin (capability_value);

CREATE TABLE identity.agent_status_history (
    id              uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    agent_id        uuid NOT NULL REFERENCES identity.agents (id) ON DELETE CASCADE,
    previous_status identity.runtime_status,
    new_status      identity.runtime_status NOT NULL,
    changed_at      timestamptz DEFAULT now(),
    reason          text,
    metadata        jsonb,
    seq             integer NOT NULL,
    cause           text NOT NULL,
    who             text NOT NULL
);
CREATE INDEX idx_agent_status_history_agent_id ON identity.agent_status_history (agent_id);
CREATE INDEX idx_agent_status_history_changed_at ON identity.agent_status_history (changed_at);

CREATE TABLE identity.status_changes (
    id         uuid PRIMARY KEY,
    agent_id   uuid NOT NULL REFERENCES identity.agents (id) ON DELETE CASCADE,
    dimension  text NOT NULL CHECK (dimension IN ('liveness', 'admin_status', 'load')),
    previous   text,
    new        text NOT NULL,
    changed_at timestamptz NOT NULL,
    reason     text,
    seq        integer NOT NULL,
    cause      text NOT NULL,
    who        text NOT NULL
);
CREATE INDEX status_changes_agent ON identity.status_changes (agent_id, dimension, seq);

CREATE TABLE identity.ipfs_metadata (
    id         uuid PRIMARY KEY DEFAULT public.uuid_generate_v4(),
    agent_id   uuid NOT NULL REFERENCES identity.agents (id) ON DELETE CASCADE,
    ipfs_hash  varchar(64) NOT NULL,
    metadata   jsonb NOT NULL,
    created_at timestamptz DEFAULT now(),
    cause      text NOT NULL,
    CONSTRAINT unique_agent_current_metadata UNIQUE (agent_id)
);
CREATE INDEX idx_ipfs_metadata_agent_id ON identity.ipfs_metadata (agent_id);
CREATE INDEX idx_ipfs_metadata_hash ON identity.ipfs_metadata (ipfs_hash);
CREATE INDEX idx_ipfs_metadata_content ON identity.ipfs_metadata USING gin (metadata);

-- Names that find an agent (verified), or only filter lists (claimed), or did once (former).
CREATE TABLE identity.agent_identifiers (
    agent_id uuid NOT NULL REFERENCES identity.agents (id) ON DELETE CASCADE,
    kind     text NOT NULL,
    value    text NOT NULL,
    standing text NOT NULL CHECK (standing IN ('verified', 'claimed', 'former')),
    PRIMARY KEY (agent_id, kind, value)
);
-- By value first: a name is looked up without its kind.
CREATE UNIQUE INDEX agent_identifiers_verified ON identity.agent_identifiers (value, kind)
    WHERE standing = 'verified';
CREATE INDEX agent_identifiers_other ON identity.agent_identifiers (value) WHERE standing <> 'verified';

---------------------------------------------------------------------------------------------------
-- VEXEL's views, as its document prints them.
CREATE VIEW identity.active_agents AS
SELECT
    a.id,
    a.did,
    a.name,
    a.description,
    a.owner_address,
    a.ipfs_metadata_hash,
    a.created_at,
    a.updated_at,
    a.last_active_at,
    COUNT(cv.id) as capability_count
FROM identity.agents a
LEFT JOIN identity.capability_vectors cv ON a.id = cv.agent_id
WHERE a.runtime_status = 'ACTIVE'
GROUP BY a.id;

CREATE VIEW identity.agent_summary AS
SELECT
    a.id,
    a.did,
    a.name,
    a.owner_address,
    a.runtime_status,
    a.created_at,
    a.last_active_at,
    COUNT(DISTINCT cv.id) as capability_count,
    COUNT(DISTINCT ash.id) as status_change_count
FROM identity.agents a
LEFT JOIN identity.capability_vectors cv ON a.id = cv.agent_id
LEFT JOIN identity.agent_status_history ash ON a.id = ash.agent_id
GROUP BY a.id;

-- Operators in force.
CREATE VIEW identity.v_operators AS
SELECT DISTINCT ON (chain_id, registry, owner, operator)
       chain_id, registry, owner, operator, approved, block_number, log_index
  FROM identity.operators
 ORDER BY chain_id, registry, owner, operator, block_number DESC, log_index DESC;

-- The chain's part of an agent, with its metadata's state and its proof level: the lowest level of
-- the blocks that set owner, wallet and URI. What other rooms may read of tokens.
CREATE VIEW identity.v_tokens AS
SELECT t.agent_id, t.chain_id, t.registry, t.token_id, t.owner, t.approved, t.wallet, t.uri_hash, u.uri,
       t.document_version, t.founding, t.complete, t.burned, t.onchain, t.first_block, t.last_block,
       t.last_log, t.last_tx, t.uri_block, t.uri_log,
       CASE WHEN t.uri_hash IS NULL THEN 'none' ELSE coalesce(d.state, u.state) END AS metadata_state,
       coalesce(d.verification, u.verification) AS metadata_verification,
       u.last_error AS metadata_error, u.checked_at AS metadata_checked_at,
       u.next_attempt_at AS metadata_next_attempt_at, d.cid AS metadata_cid,
       coalesce(d.warnings, '[]') AS metadata_warnings,
       CASE WHEN t.claimed THEN 'claimed' ELSE
           (SELECT r.level FROM chain.v_ranges r
             WHERE r.chain_id = t.chain_id
               AND (t.owner_block BETWEEN r.from_block AND r.to_block
                 OR t.wallet_block BETWEEN r.from_block AND r.to_block
                 OR t.uri_block BETWEEN r.from_block AND r.to_block)
             ORDER BY array_position(
                 ARRAY['claimed', 'reported', 'agreed', 'bloom', 'proven', 'finalized'], r.level)
             LIMIT 1)
       END AS level
  FROM identity.tokens t
  LEFT JOIN identity.uris u ON u.hash = t.uri_hash
  LEFT JOIN identity.documents d ON d.uri_hash = t.uri_hash AND d.version = t.document_version;
