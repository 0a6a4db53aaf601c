-- What is said of an agent is found by its entries (entries_agent_seq): one index less that each entry writes.
-- Where indexes are built late, it is not built any more.

DROP INDEX IF EXISTS journal.said_agent;
DELETE FROM store.deferred WHERE name = 'journal.said_agent';
