ALTER TABLE identity.agents
    DROP CONSTRAINT agents_owner_address_check,
    ADD CONSTRAINT agents_owner_address_check CHECK (owner_address ~* '^0x[a-f0-9]{40}$');
