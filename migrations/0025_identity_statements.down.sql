DROP VIEW identity.v_claims;
ALTER TABLE identity.claims
    DROP COLUMN statement,
    ADD COLUMN key_statement   bytea NOT NULL DEFAULT '',
    ADD COLUMN owner_statement bytea NOT NULL DEFAULT '';
ALTER TABLE identity.claims
    ALTER COLUMN key_statement DROP DEFAULT,
    ALTER COLUMN owner_statement DROP DEFAULT;
DROP INDEX identity.claims_token;
DROP INDEX identity.claims_key;
DROP INDEX identity.keys_agent;
ALTER TABLE identity.statements
    DROP CONSTRAINT statements_cosigned,
    DROP CONSTRAINT statements_sequence_unique,
    DROP COLUMN checked,
    DROP COLUMN cosignature,
    DROP COLUMN cosigner,
    DROP COLUMN sequence;
