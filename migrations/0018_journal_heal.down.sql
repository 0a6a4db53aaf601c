DROP FUNCTION journal.unlike(bigint);
DROP FUNCTION journal.heal_tile(smallint, bigint);
DROP FUNCTION journal.heal_leaf(bigint);
DROP FUNCTION journal.heal_body(bigint, bytea);
DROP TRIGGER check_tile ON journal.tiles;
DROP TRIGGER insert_only ON journal.tiles;
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal.tiles
    FOR EACH STATEMENT EXECUTE FUNCTION journal.refuse_change();
DROP TRIGGER check_leaf ON journal.leaves;
DROP TRIGGER insert_only ON journal.leaves;
CREATE TRIGGER insert_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal.leaves
    FOR EACH STATEMENT EXECUTE FUNCTION journal.refuse_change();
DROP FUNCTION journal.check_tile();
DROP FUNCTION journal.check_leaf();
DROP FUNCTION journal.leaf_of(bigint);
DROP FUNCTION journal.below(smallint, bigint);
DROP FUNCTION journal.tile_root(bytea);
DROP FUNCTION journal.cid_of(bytea);
