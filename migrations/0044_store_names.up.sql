-- Nothing builds the foreign key again that migration 43 took away, also where a first backfill left it out.
DELETE FROM store.deferred WHERE name = 'agent_identifiers_agent_id_fkey';
