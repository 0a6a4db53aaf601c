DROP INDEX access.idx_api_keys_made_with;
ALTER TABLE access.api_keys DROP COLUMN made_with;
