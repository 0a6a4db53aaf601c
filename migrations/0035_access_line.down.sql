ALTER TABLE access.api_keys DROP COLUMN line;
