ALTER TABLE identity.head_changes
    DROP COLUMN position,
    DROP COLUMN owner,
    DROP COLUMN former_owner;
