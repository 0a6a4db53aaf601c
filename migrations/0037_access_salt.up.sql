-- The journal says of an act on keys its sort, who did it and a digest of its record here. The salt keeps strangers from
-- guessing what the record says; whoever has both shows that it is the one.
ALTER TABLE access.audit_logs ADD COLUMN salt bytea CHECK (octet_length(salt) = 16);
