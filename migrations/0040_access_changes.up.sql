-- Processes read the keys that changed, and no others again. Keys that the operator did not make have an end.

-- Types of columns that a trigger names do not change.
DROP TRIGGER keys_changed ON access.api_keys;

-- The longest name of a principal is that of a contract on a chain with a long id: 70 characters.
ALTER TABLE access.api_keys
    ALTER COLUMN client_id TYPE varchar(80),
    ALTER COLUMN created_by TYPE varchar(80),
    -- The number that access.revision had when this key was changed last.
    ADD COLUMN revision bigint NOT NULL DEFAULT 0;
ALTER TABLE access.audit_logs ALTER COLUMN client_id TYPE varchar(80);
-- What processes hold in memory.
CREATE INDEX idx_api_keys_operators ON access.api_keys (revision) WHERE created_by = 'operator';

-- Who has not read the keys since this number reads all of them: one is gone, or is not known by its names any more.
ALTER TABLE access.revision ADD COLUMN whole bigint NOT NULL DEFAULT 0;

CREATE FUNCTION access.stamp_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.revision := (SELECT r.revision FROM access.revision r);
    RETURN NEW;
END $$;

CREATE FUNCTION access.read_anew() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE access.revision SET whole = revision WHERE whole <> revision;
    RETURN NULL;
END $$;

-- Before the rows, as whoever makes keys does it: so nobody holds a key's row and waits for the number. The columns of
-- both triggers are the same. Not when a key is used: that is written often, and nobody has to know.
CREATE TRIGGER keys_changed BEFORE INSERT OR DELETE OR TRUNCATE
    OR UPDATE OF key_id, key_hash, client_id, scopes, active, expires_at, rate_limit_per_minute,
                 rate_limit_per_hour, created_by, principal, line ON access.api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION access.raise_revision();
CREATE TRIGGER key_stamped BEFORE INSERT
    OR UPDATE OF key_id, key_hash, client_id, scopes, active, expires_at, rate_limit_per_minute,
                 rate_limit_per_hour, created_by, principal, line ON access.api_keys
    FOR EACH ROW EXECUTE FUNCTION access.stamp_key();
CREATE TRIGGER key_renamed AFTER UPDATE OF key_id, key_hash, created_by ON access.api_keys
    FOR EACH ROW
    WHEN ((OLD.key_id, OLD.key_hash, OLD.created_by) IS DISTINCT FROM (NEW.key_id, NEW.key_hash, NEW.created_by))
    EXECUTE FUNCTION access.read_anew();
-- Also of a key that was revoked: somebody may not have read that yet, and there is no row to read it in.
CREATE TRIGGER key_gone AFTER DELETE ON access.api_keys
    FOR EACH ROW WHEN (OLD.created_by = 'operator') EXECUTE FUNCTION access.read_anew();
CREATE TRIGGER keys_gone AFTER TRUNCATE ON access.api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION access.read_anew();

-- Whoever proves that he is somebody makes keys at no cost, so they do not last for ever.
UPDATE access.api_keys SET expires_at = now() + interval '90 days'
 WHERE created_by <> 'operator' AND active AND (expires_at IS NULL OR expires_at > now() + interval '90 days');
