DROP FUNCTION identity.latest_beat(uuid, timestamptz);
ALTER TABLE identity.heartbeats RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE identity.heartbeats
    DROP COLUMN alive,
    DROP COLUMN shown;
DROP TABLE identity.watches;
