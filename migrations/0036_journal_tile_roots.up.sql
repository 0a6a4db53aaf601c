-- The right edge of a level is the roots of the tiles below it. Tiles of one level lie far apart in the table, as many of
-- the level below fill between two of them: with the roots in the index a proof reads a page of it and not a page for
-- each of up to 255 tiles.
ALTER TABLE journal.tiles DROP CONSTRAINT tiles_pkey;
ALTER TABLE journal.tiles ADD CONSTRAINT tiles_pkey PRIMARY KEY (level, n) INCLUDE (root);
