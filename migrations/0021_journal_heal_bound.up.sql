-- A leaf takes its hash from the tile above it only where the log really has that tile whole. The last tile of a log has
-- no row, and whoever may insert could make one up for it: the leaf of an archived entry would follow it.
CREATE OR REPLACE FUNCTION journal.leaf_of(leaf bigint) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT sha256('\x00'::bytea || e.body)
           FROM journal.leaves l JOIN journal.entries e ON e.seq = l.entry_seq
          WHERE l.leaf_index = leaf AND journal.cid_of(e.body) = e.cid),
        (SELECT substring(hashes FROM (leaf % 256)::int * 32 + 1 FOR 32) FROM journal.tiles
          WHERE level = 0 AND n = leaf / 256 AND journal.tile_root(hashes) = root
            AND (n + 1) * 256 <= (SELECT max(size) FROM journal.checkpoints)))
$$;
