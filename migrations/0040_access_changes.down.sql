-- The ends that keys were given stay.
DROP TRIGGER keys_gone ON access.api_keys;
DROP TRIGGER key_gone ON access.api_keys;
DROP TRIGGER key_renamed ON access.api_keys;
DROP TRIGGER key_stamped ON access.api_keys;
DROP TRIGGER keys_changed ON access.api_keys;
DROP FUNCTION access.read_anew();
DROP FUNCTION access.stamp_key();
ALTER TABLE access.revision DROP COLUMN whole;
DROP INDEX access.idx_api_keys_operators;
ALTER TABLE access.api_keys
    DROP COLUMN revision,
    ALTER COLUMN client_id TYPE varchar(64) USING left(client_id, 64),
    ALTER COLUMN created_by TYPE varchar(64) USING left(created_by, 64);
ALTER TABLE access.audit_logs ALTER COLUMN client_id TYPE varchar(64) USING left(client_id, 64);
CREATE TRIGGER keys_changed AFTER INSERT OR DELETE OR TRUNCATE
    OR UPDATE OF key_id, key_hash, client_id, scopes, active, expires_at, rate_limit_per_minute,
                 rate_limit_per_hour, created_by, principal ON access.api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION access.raise_revision();
