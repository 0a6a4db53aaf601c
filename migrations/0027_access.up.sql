-- Who asks: API keys, what they were used for, and what was seen of those who proved themselves or did not.
-- Names, types and defaults are those of the seed (AINS); what is Chancery's own stands at each table's end.

CREATE SCHEMA access;

CREATE TABLE access.api_keys (
    id                    bigint       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id                varchar(64)  NOT NULL,
    -- SHA-256 of the whole key, hex. The key itself is shown once and kept nowhere.
    key_hash              varchar(128) NOT NULL CHECK (key_hash ~ '^[0-9a-f]{64}$'),
    client_id             varchar(64)  NOT NULL,
    name                  varchar(255) NOT NULL,
    scopes                jsonb        NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(scopes) = 'array'),
    active                boolean      NOT NULL DEFAULT true,
    created_at            timestamptz  NOT NULL DEFAULT now(),
    expires_at            timestamptz,
    last_used_at          timestamptz,
    rate_limit_per_minute integer      NOT NULL DEFAULT 60 CHECK (rate_limit_per_minute > 0),
    rate_limit_per_hour   integer      NOT NULL DEFAULT 1000 CHECK (rate_limit_per_hour > 0),
    created_by            varchar(64),
    description           varchar(512),
    -- For whom it acts: 'operator', an address in lower case, a did:key. NULL: a client that is nobody else.
    principal             text,
    -- The key that it took the place of.
    replaces              varchar(64),
    revoked_at            timestamptz
);
CREATE UNIQUE INDEX idx_api_keys_key_id ON access.api_keys (key_id);
CREATE UNIQUE INDEX idx_api_keys_hash ON access.api_keys (key_hash);
CREATE INDEX idx_api_keys_client_active ON access.api_keys (client_id, active);
CREATE INDEX idx_api_keys_principal ON access.api_keys (principal, id);

-- Rises with every change of a key, also by plain SQL, in the order of the commits, for the row is locked until then:
-- processes hold the keys in memory and look at this one number.
CREATE TABLE access.revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint  NOT NULL
);
INSERT INTO access.revision (revision) VALUES (0);

CREATE FUNCTION access.raise_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE access.revision SET revision = revision + 1;
    RETURN NULL;
END $$;
-- Not when a key is used: that is written often, and nobody has to know.
CREATE TRIGGER keys_changed AFTER INSERT OR DELETE OR TRUNCATE
    OR UPDATE OF key_id, key_hash, client_id, scopes, active, expires_at, rate_limit_per_minute,
                 rate_limit_per_hour, created_by, principal ON access.api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION access.raise_revision();

CREATE TABLE access.rate_limit_tracker (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id        varchar(64) NOT NULL REFERENCES access.api_keys (key_id) ON DELETE CASCADE,
    window_start  timestamptz NOT NULL,
    window_type   varchar(20) NOT NULL CHECK (window_type IN ('minute', 'hour')),
    request_count integer     NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX idx_rate_limit_unique ON access.rate_limit_tracker (key_id, window_start, window_type);
CREATE INDEX idx_rate_limit_expire ON access.rate_limit_tracker (window_type, window_start);

CREATE TABLE access.audit_logs (
    id             bigint       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_type     varchar(64)  NOT NULL,
    client_id      varchar(64),
    key_id         varchar(64),
    action         varchar(128) NOT NULL,
    resource_type  varchar(64),
    resource_id    varchar(128),
    -- Of a person, perhaps: both go after some days (access.ip_days).
    ip_address     varchar(45),
    user_agent     varchar(512),
    success        boolean      NOT NULL,
    error_message  varchar(512),
    extra_metadata jsonb        NOT NULL DEFAULT '{}',
    created_at     timestamptz  NOT NULL DEFAULT now()
);
CREATE INDEX idx_audit_logs_created ON access.audit_logs (created_at DESC);
CREATE INDEX idx_audit_logs_client_event ON access.audit_logs (client_id, event_type);
CREATE INDEX idx_audit_logs_event_type ON access.audit_logs (event_type);
CREATE INDEX idx_audit_logs_key ON access.audit_logs (key_id, id) WHERE key_id IS NOT NULL;
CREATE INDEX idx_audit_logs_personal ON access.audit_logs (created_at)
    WHERE ip_address IS NOT NULL OR user_agent IS NOT NULL;
