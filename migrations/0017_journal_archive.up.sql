-- Archiving: the body of a published entry may leave the database. What it says stays readable by its CID, from a
-- blockstore; leaf, tiles, digests and all that names the entry stay here.
-- The rule stands in a trigger, so that it holds for the owner's plain SQL too.

ALTER TABLE journal.entries ALTER COLUMN body DROP NOT NULL;

-- How many entries of the log came to a state, or beyond it: stored in our own blockstore, pinned elsewhere.
CREATE FUNCTION journal.published(wanted text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(max(size), 0) FROM journal.publications WHERE state = wanted
$$;

CREATE FUNCTION journal.check_edit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    same  journal.entries := NEW;
    place journal.leaves;
BEGIN
    same.body := OLD.body;
    SELECT * INTO place FROM journal.leaves WHERE entry_seq = OLD.seq;
    IF same IS DISTINCT FROM OLD OR NEW.body IS NOT DISTINCT FROM OLD.body THEN
        RAISE EXCEPTION USING
            ERRCODE = 'CH001',
            MESSAGE = 'UPDATE on journal.entries is refused: the journal is insert-only; the bodies of published '
                      'entries can be archived (SELECT journal.archive(...)), and nothing else of them changes';
    ELSIF NEW.body IS NULL AND (place.leaf_index IS NULL OR place.leaf_index >= journal.published('stored')) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'CH001',
            MESSAGE = format('entry %s cannot be archived: it is not stored as a block yet', OLD.cid);
    ELSIF NEW.body IS NOT NULL AND sha256('\x00'::bytea || NEW.body) IS DISTINCT FROM place.leaf_hash THEN
        RAISE EXCEPTION USING
            ERRCODE = 'CH001',
            MESSAGE = format('these bytes are not entry %s: they do not hash to its leaf', OLD.cid);
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION journal.refuse_empty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'CH001', MESSAGE = 'an entry without a body says nothing';
END
$$;

DROP TRIGGER insert_only ON journal.entries;
CREATE TRIGGER insert_only BEFORE DELETE OR TRUNCATE ON journal.entries
    FOR EACH STATEMENT EXECUTE FUNCTION journal.refuse_change();
CREATE TRIGGER check_edit BEFORE UPDATE ON journal.entries
    FOR EACH ROW EXECUTE FUNCTION journal.check_edit();
-- After the row and not before it: COPY writes many rows at once only without triggers before.
CREATE TRIGGER refuse_empty AFTER INSERT ON journal.entries
    FOR EACH ROW WHEN (NEW.body IS NULL) EXECUTE FUNCTION journal.refuse_empty();

-- Archives the bodies of the first `below` entries of the log, which must all have come to the state `at_least`;
-- gives how many there were. Only the owner role may.
CREATE FUNCTION journal.archive(below bigint, at_least text DEFAULT 'pinned') RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    published bigint;
    archived  bigint;
BEGIN
    IF at_least NOT IN ('stored', 'pinned') THEN
        RAISE EXCEPTION USING
            ERRCODE = 'CH001',
            MESSAGE = format('`%s` is no state that says where the bytes are: stored or pinned', at_least);
    END IF;
    published := journal.published(at_least);
    IF below > published THEN
        RAISE EXCEPTION USING
            ERRCODE = 'CH001',
            MESSAGE = format(
                'the first %s entries cannot be archived: of the log''s %s, the first %s are %s. Wait until more are, '
                'or archive fewer%s',
                below, (SELECT coalesce(max(size), 0) FROM journal.checkpoints), published, at_least,
                CASE WHEN at_least = 'pinned' AND journal.published('stored') > published
                     THEN '; journal.archive(below, ''stored'') asks for our own blockstore alone' ELSE '' END);
    END IF;
    UPDATE journal.entries e SET body = NULL
      FROM journal.leaves l
     WHERE l.entry_seq = e.seq AND l.leaf_index < below AND e.body IS NOT NULL;
    GET DIAGNOSTICS archived = ROW_COUNT;
    RETURN archived;
END
$$;
REVOKE EXECUTE ON FUNCTION journal.archive(bigint, text) FROM PUBLIC;
