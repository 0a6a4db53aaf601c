-- The head feed can be followed. Sequence numbers are given before the commit, so a row that is committed late can
-- have a lower one than what somebody has read already. A position is given afterwards, to rows that are committed,
-- and is the order of the feed: consecutive, and never given twice, also where all rows are gone (the last one given
-- is a cursor of store, `identity/feed`).
ALTER TABLE identity.head_changes
    ADD COLUMN position     bigint,
    -- Who owned the agent when this was told, and who did before where this change moved it. Both stay where the
    -- change is undone, so that whoever was told of it is told of that too.
    ADD COLUMN owner        text,
    ADD COLUMN former_owner text;
CREATE UNIQUE INDEX head_changes_position ON identity.head_changes (position);
CREATE INDEX head_changes_waiting ON identity.head_changes (seq) WHERE position IS NULL;
CREATE INDEX head_changes_undone ON identity.head_changes (position) WHERE undone;
CREATE INDEX head_changes_of_agent ON identity.head_changes (agent_id, position);
CREATE INDEX head_changes_of_column ON identity.head_changes (what, position);
CREATE INDEX head_changes_of_owner ON identity.head_changes (owner, position) WHERE owner IS NOT NULL;
CREATE INDEX head_changes_of_former_owner ON identity.head_changes (former_owner, position)
    WHERE former_owner IS NOT NULL;
