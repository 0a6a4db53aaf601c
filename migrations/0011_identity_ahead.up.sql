-- The first projection of a chain is written by two connections at once: rows that can be made again are committed
-- just before those that cannot, which move the cursor. Where this block lies beyond the chain's head, a process
-- died between the two, and rows of agents without a subject were left.
CREATE TABLE identity.ahead (
    chain_id bigint PRIMARY KEY,
    to_block bigint NOT NULL
);
