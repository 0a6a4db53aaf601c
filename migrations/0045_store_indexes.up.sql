-- Nothing builds the index again that migration 46 takes away, also where a first backfill left it out. Who builds it just
-- now holds this line until it is there.
DELETE FROM store.deferred WHERE name = 'identity.idx_agents_did';
