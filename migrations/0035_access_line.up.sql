-- A key and those that took its place, one after another, have one quota: who rotates gets no new one.

-- The first key of the line, whose name its successors keep. NULL: this one. No foreign key: the row of a key that is
-- over goes.
ALTER TABLE access.api_keys ADD COLUMN line varchar(64);
WITH RECURSIVE lines AS (
    SELECT k.key_id, k.key_id AS line FROM access.api_keys k
     WHERE NOT EXISTS (SELECT FROM access.api_keys old WHERE old.key_id = k.replaces)
    UNION ALL
    SELECT k.key_id, lines.line FROM access.api_keys k JOIN lines ON k.replaces = lines.key_id
)
UPDATE access.api_keys k SET line = lines.line FROM lines
 WHERE k.key_id = lines.key_id AND lines.line <> lines.key_id;
