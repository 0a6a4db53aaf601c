INSERT INTO store.jobs (kind, key, run_at) VALUES ('fetch', 'k', now());
INSERT INTO store.leases (name, holder, token, until) VALUES ('seal', '00000000-0000-4000-8000-000000000001', 1, now());
INSERT INTO store.cursors (name, position) VALUES ('publish', 1);
