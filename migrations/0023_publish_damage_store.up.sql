-- Each blockstore is one process's own, and whatever came back is found by its name and place. Of what was told before,
-- nobody knows the place.
ALTER TABLE publish.damages
    DROP CONSTRAINT damages_pkey,
    ADD COLUMN store text NOT NULL DEFAULT '',
    ADD COLUMN thing text;
UPDATE publish.damages SET thing = what;
ALTER TABLE publish.damages
    ALTER COLUMN store DROP DEFAULT,
    ADD PRIMARY KEY (store, thing);
COMMENT ON COLUMN publish.damages.store IS 'The process whose blockstore it is, or `journal/` and a bundle of its entries.';
COMMENT ON COLUMN publish.damages.thing IS 'The CID of a block; else as in `what`.';
