-- What is said of an agent is found by its entries (entries_agent_seq): one index less that each entry writes.
-- A backfill that put the index off before may still build it once: it is read by nobody then.

DROP INDEX IF EXISTS journal.said_agent;
