-- Entries are text and hashes, mostly of one to four kilobytes: compressing those over two, which is what Postgres
-- does unless told otherwise, takes longer than everything else about them. They stay in their rows as they are.
ALTER TABLE journal.entries SET (toast_tuple_target = 8160);
