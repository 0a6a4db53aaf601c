INSERT INTO content.pins (cid, store, state, updated_at) VALUES ('bafk1', 'local', 'stored', now());
