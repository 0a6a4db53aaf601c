-- What of a chain is kept: everything (`all`), or the tokens that somebody watches (`watched`).

ALTER TABLE chain.chains
    ADD COLUMN scope text NOT NULL DEFAULT 'all' CHECK (scope IN ('all', 'watched'));

-- Owners whose tokens are kept. Who was watched stays so: the scope only grows.
CREATE TABLE chain.watched_owners (
    chain_id bigint NOT NULL REFERENCES chain.chains ON DELETE CASCADE,
    owner    bytea  NOT NULL CHECK (octet_length(owner) = 20),
    PRIMARY KEY (chain_id, owner)
);

-- Tokens that are kept: named ones, and those that a watched owner once gave or got.
CREATE TABLE chain.watched_tokens (
    chain_id bigint         NOT NULL REFERENCES chain.chains ON DELETE CASCADE,
    registry bytea          NOT NULL CHECK (octet_length(registry) = 20),
    token_id numeric(78, 0) NOT NULL,
    -- Whether its logs are stored up to the end of ground. One that a proof revealed is fetched first.
    whole    boolean        NOT NULL,
    PRIMARY KEY (chain_id, registry, token_id)
);
