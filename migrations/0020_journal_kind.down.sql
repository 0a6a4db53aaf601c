DROP INDEX journal.entries_kind;
