-- A disk may flip bits. What the journal holds twice is put right from the other copy, by functions that compute it; bytes
-- that are not what leaf, tile or CID say are refused by triggers, to everybody. So the tables stay insert-only in
-- all that they say.

-- The CID of an entry with these bytes: CIDv1, dag-cbor, sha2-256, in base32.
CREATE FUNCTION journal.cid_of(body bytea) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'b' || string_agg(
               substr('abcdefghijklmnopqrstuvwxyz234567', substring(bits FROM i * 5 + 1 FOR 5)::bit(5)::int + 1, 1),
               '' ORDER BY i)
      FROM (SELECT ('x' || encode('\x01711220'::bytea || sha256(body), 'hex'))::varbit::bit(290) AS bits) AS b,
           generate_series(0, 57) AS i
$$;

-- The hash over the hashes of a full tile (RFC 6962).
CREATE FUNCTION journal.tile_root(hashes bytea) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    line bytea := hashes;
BEGIN
    WHILE octet_length(line) > 32 LOOP
        line := (SELECT string_agg(sha256('\x01'::bytea || substring(line FROM i * 64 + 1 FOR 64)), ''::bytea ORDER BY i)
                   FROM generate_series(0, octet_length(line) / 64 - 1) AS i);
    END LOOP;
    RETURN line;
END
$$;

-- The hashes that a tile is over, as the leaves or the tiles below have them.
CREATE FUNCTION journal.below(tile_level smallint, tile bigint) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE tile_level
        WHEN 0 THEN (SELECT string_agg(leaf_hash, ''::bytea ORDER BY leaf_index) FROM journal.leaves
                      WHERE leaf_index >= tile * 256 AND leaf_index < (tile + 1) * 256)
        ELSE (SELECT string_agg(root, ''::bytea ORDER BY n) FROM journal.tiles
               WHERE level = tile_level - 1 AND n >= tile * 256 AND n < (tile + 1) * 256)
    END
$$;

-- The hash of a leaf as two others have it: the entry's bytes and its CID, or a sound tile. NULL where neither does.
CREATE FUNCTION journal.leaf_of(leaf bigint) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(
        (SELECT sha256('\x00'::bytea || e.body)
           FROM journal.leaves l JOIN journal.entries e ON e.seq = l.entry_seq
          WHERE l.leaf_index = leaf AND journal.cid_of(e.body) = e.cid),
        (SELECT substring(hashes FROM (leaf % 256)::int * 32 + 1 FOR 32) FROM journal.tiles
          WHERE level = 0 AND n = leaf / 256 AND journal.tile_root(hashes) = root))
$$;

CREATE FUNCTION journal.check_leaf() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.leaf_index <> OLD.leaf_index OR NEW.entry_seq <> OLD.entry_seq OR NEW.leaf_hash = OLD.leaf_hash
       OR NEW.leaf_hash IS DISTINCT FROM journal.leaf_of(OLD.leaf_index) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'CH001',
            MESSAGE = 'UPDATE on journal.leaves is refused: the journal is insert-only; a leaf whose bits flipped takes '
                      'the hash of its entry again (SELECT journal.heal_leaf(...)), and nothing else';
    END IF;
    RETURN NEW;
END
$$;

-- One of the two may have flipped: the other, and what lies below, say what it was.
CREATE FUNCTION journal.check_tile() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.level <> OLD.level OR NEW.n <> OLD.n
       OR (NEW.hashes <> OLD.hashes) = (NEW.root <> OLD.root)
       OR NEW.root <> journal.tile_root(NEW.hashes)
       OR NEW.hashes IS DISTINCT FROM journal.below(OLD.level, OLD.n) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'CH001',
            MESSAGE = 'UPDATE on journal.tiles is refused: the journal is insert-only; a tile whose bits flipped takes '
                      'the hashes below it again (SELECT journal.heal_tile(...)), and nothing else';
    END IF;
    RETURN NEW;
END
$$;

DROP TRIGGER insert_only ON journal.leaves;
CREATE TRIGGER insert_only BEFORE DELETE OR TRUNCATE ON journal.leaves
    FOR EACH STATEMENT EXECUTE FUNCTION journal.refuse_change();
CREATE TRIGGER check_leaf BEFORE UPDATE ON journal.leaves
    FOR EACH ROW EXECUTE FUNCTION journal.check_leaf();
DROP TRIGGER insert_only ON journal.tiles;
CREATE TRIGGER insert_only BEFORE DELETE OR TRUNCATE ON journal.tiles
    FOR EACH STATEMENT EXECUTE FUNCTION journal.refuse_change();
CREATE TRIGGER check_tile BEFORE UPDATE ON journal.tiles
    FOR EACH ROW EXECUTE FUNCTION journal.check_tile();

-- What the application may do, whose role has no UPDATE here. Each gives whether something was put right, and changes
-- nothing that is right.

CREATE FUNCTION journal.heal_body(leaf bigint, bytes bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE journal.entries SET body = bytes
     WHERE seq = (SELECT entry_seq FROM journal.leaves WHERE leaf_index = leaf)
       -- Archived bodies stay away.
       AND body IS NOT NULL AND body <> bytes
       AND sha256('\x00'::bytea || bytes) = (SELECT leaf_hash FROM journal.leaves WHERE leaf_index = leaf);
    RETURN FOUND;
END
$$;

CREATE FUNCTION journal.heal_leaf(leaf bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE journal.leaves SET leaf_hash = journal.leaf_of(leaf)
     WHERE leaf_index = leaf AND leaf_hash <> journal.leaf_of(leaf);
    RETURN FOUND;
END
$$;

CREATE FUNCTION journal.heal_tile(tile_level smallint, tile bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    right_hashes CONSTANT bytea := journal.below(tile_level, tile);
    right_root   CONSTANT bytea := journal.tile_root(right_hashes);
BEGIN
    UPDATE journal.tiles SET hashes = right_hashes, root = right_root
     WHERE level = tile_level AND n = tile AND octet_length(right_hashes) = 8192
       AND (hashes = right_hashes) <> (root = right_root);
    RETURN FOUND;
END
$$;

-- The leaves under a tile of level 0 whose hash is not that of their entry, and the tiles above it whose two copies differ.
-- What is served does not show them: of a full tile only its hashes are.
CREATE FUNCTION journal.unlike(tile bigint) RETURNS TABLE (level smallint, place bigint)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (-1)::smallint, l.leaf_index
      FROM journal.leaves l JOIN journal.entries e ON e.seq = l.entry_seq
     WHERE l.leaf_index >= tile * 256 AND l.leaf_index < (tile + 1) * 256
       AND l.leaf_hash <> sha256('\x00'::bytea || e.body)
    UNION ALL
    SELECT t.level, t.n
      FROM generate_series(0, 7) AS up JOIN journal.tiles t ON t.level = up AND t.n = tile >> (8 * up)
     WHERE t.root <> journal.tile_root(t.hashes)
$$;
