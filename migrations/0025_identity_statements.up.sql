-- What owners and keys sign (docs/decisions/0016). A statement has a place in its agent's own order, may be signed by
-- two, and keeps how the signatures were checked: what a contract wallet says may be another thing tomorrow.
ALTER TABLE identity.statements
    ADD COLUMN sequence     bigint CHECK (sequence > 0),
    ADD COLUMN cosigner     text,
    ADD COLUMN cosignature  bytea,
    -- How the signatures of accounts were checked, by signer: {"eip155:1:0x..": {"by": "contract", "block": 1, ...}}.
    ADD COLUMN checked      jsonb NOT NULL DEFAULT '{}',
    ADD CONSTRAINT statements_cosigned CHECK ((cosigner IS NULL) = (cosignature IS NULL));

-- Rows that went through the way down have lost theirs; their order is that of their serials. States that were saved
-- before do not say which transfer made an owner: they are folded anew.
DO $$ BEGIN
    PERFORM set_config('chancery.cause', 'job:migrate', true);
    UPDATE identity.statements SET sequence = serial;
    DELETE FROM identity.folds;
    PERFORM set_config('chancery.cause', '', true);
END $$;
ALTER TABLE identity.statements
    ALTER COLUMN sequence SET NOT NULL,
    ADD CONSTRAINT statements_sequence_unique UNIQUE (agent_id, sequence);

CREATE INDEX keys_agent ON identity.keys (agent_id) WHERE until IS NULL;
CREATE INDEX claims_key ON identity.claims (key_agent);
CREATE INDEX claims_token ON identity.claims (token_agent);

-- One statement says a claim, signed by both.
ALTER TABLE identity.claims
    DROP COLUMN key_statement,
    DROP COLUMN owner_statement,
    ADD COLUMN statement bigint NOT NULL DEFAULT 0;
ALTER TABLE identity.claims ALTER COLUMN statement DROP DEFAULT;

-- Claims in force: while the token has the founding and the owner that signed, and neither agent is ended.
CREATE VIEW identity.v_claims AS
SELECT DISTINCT ON (c.key_agent, c.token_agent) c.key_agent, c.token_agent, c.at, c.statement
  FROM identity.claims c
  JOIN identity.tokens t ON t.agent_id = c.token_agent AND t.founding = c.founding AND t.owner = c.owner
                        AND NOT t.burned
  JOIN identity.agents k ON k.id = c.key_agent AND NOT k.status_final
 ORDER BY c.key_agent, c.token_agent, c.serial DESC;
