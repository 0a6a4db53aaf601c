ALTER TABLE identity.agent_identifiers ALTER COLUMN value TYPE text COLLATE "default";
DO $$ BEGIN
    PERFORM set_config('chancery.cause', 'job:migrate', true);
    INSERT INTO identity.agent_identifiers (agent_id, kind, value, standing)
    SELECT i.agent_id, k.kind, k.kind || ':' || left(i.value, 32), i.standing
      FROM identity.agent_identifiers i CROSS JOIN (VALUES ('agdns'), ('zns')) AS k(kind)
     WHERE i.kind = 'key_hash';
    PERFORM set_config('chancery.cause', '', true);
END $$;
