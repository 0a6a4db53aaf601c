-- Proofs of who asks: sessions of Ethereum accounts (EIP-4361), and what must not be sent twice.

-- A nonce that was given away for one message; who comes back with it takes it along.
CREATE TABLE access.challenges (
    nonce      text        PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX challenges_expire ON access.challenges (expires_at);

CREATE TABLE access.sessions (
    -- SHA-256 of the token, hex.
    token_hash text        PRIMARY KEY CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    account    text        NOT NULL CHECK (account ~ '^0x[0-9a-f]{40}$'),
    chain_id   bigint      NOT NULL CHECK (chain_id > 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_expire ON access.sessions (expires_at);
CREATE INDEX sessions_account ON access.sessions (account);

-- Nonces of signed requests, kept for as long as the request would be believed.
CREATE TABLE access.nonces (
    signer     text        NOT NULL,
    nonce      text        NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (signer, nonce)
);
CREATE INDEX nonces_expire ON access.nonces (expires_at);
