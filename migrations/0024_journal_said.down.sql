CREATE INDEX said_agent ON journal.said (agent_id, entry_seq);
