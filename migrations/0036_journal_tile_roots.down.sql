ALTER TABLE journal.tiles DROP CONSTRAINT tiles_pkey;
ALTER TABLE journal.tiles ADD CONSTRAINT tiles_pkey PRIMARY KEY (level, n);
