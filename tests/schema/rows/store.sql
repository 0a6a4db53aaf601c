INSERT INTO store.jobs (kind, key, run_at) VALUES ('fetch', 'k', now());
INSERT INTO store.leases (name, holder, token, until) VALUES ('seal', '00000000-0000-4000-8000-000000000001', 1, now());
INSERT INTO store.cursors (name, position) VALUES ('publish', 1);
-- Nothing is missing: going down builds what is.
INSERT INTO store.deferred (name, ordinal, definition)
VALUES ('store.jobs_due', 1, 'CREATE INDEX IF NOT EXISTS jobs_due ON store.jobs (kind, run_at)');
