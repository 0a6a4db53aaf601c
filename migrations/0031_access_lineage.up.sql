-- A key ends with the key that it was made with: who revokes a key that somebody stole ends what the thief made of it.

-- The key that asked for it, or that one's successor. NULL: another proof did. No foreign key: the row of a key that is
-- over goes, and what it made stays.
ALTER TABLE access.api_keys ADD COLUMN made_with varchar(64);
CREATE INDEX idx_api_keys_made_with ON access.api_keys (made_with) WHERE made_with IS NOT NULL;
