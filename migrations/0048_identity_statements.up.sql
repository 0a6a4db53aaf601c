-- The statements of an agent are in its own order, which is that of their serials: statements_sequence_unique finds them.
DROP INDEX identity.statements_agent;
