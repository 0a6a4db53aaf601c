-- The feed of settled changes finds what is rare by its kind; nearly all entries are of the kind `agent`.
CREATE INDEX entries_kind ON journal.entries (kind, seq) WHERE kind <> 'agent';
