-- Nothing builds the index again that migration 45 took away, also where a first backfill left it out.
DELETE FROM store.deferred WHERE name = 'identity.idx_agents_did';
