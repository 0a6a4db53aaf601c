-- A client that is nobody else is the first of its keys, by the name of that (0031). Clients that were made before have
-- no name yet: they are given that of the key that they have, so that they see and rotate it themselves.
UPDATE access.api_keys SET principal = key_id WHERE principal IS NULL;
