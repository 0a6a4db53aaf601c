-- VEXEL's contracts: what they say is about a DID, which they may know by its keccak-256 alone, or about an address.

ALTER TABLE chain.contracts
    DROP CONSTRAINT contracts_kind_check,
    ADD CONSTRAINT contracts_kind_check CHECK (kind IN ('identity', 'status', 'vexel'));

-- Where their logs stand and whom they name: the index by which an agent's DID finds them, whichever came first.
CREATE TABLE identity.did_logs (
    chain_id     bigint  NOT NULL,
    block_number bigint  NOT NULL,
    log_index    integer NOT NULL,
    hash         bytea,                          -- keccak-256 of the DID, where it is about one
    account      bytea,                          -- the address that it names, where it names one
    attributed   boolean NOT NULL DEFAULT false, -- whether the agent's facts let it speak
    PRIMARY KEY (chain_id, block_number, log_index)
);
CREATE INDEX did_logs_hash ON identity.did_logs (hash, chain_id, block_number, log_index) WHERE hash IS NOT NULL;
CREATE INDEX did_logs_account ON identity.did_logs (account, chain_id, block_number, log_index) WHERE account IS NOT NULL;
CREATE INDEX did_hashes_agent ON identity.did_hashes (agent_id) WHERE agent_id IS NOT NULL;

-- A name may come from a chain's own word.
ALTER TABLE identity.agents
    DROP CONSTRAINT agents_name_source_check,
    ADD CONSTRAINT agents_name_source_check CHECK (name_source IN ('none', 'document', 'act', 'statement', 'chain'));
