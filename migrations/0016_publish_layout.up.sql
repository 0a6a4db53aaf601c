-- The DukeNET layout: directories of what agents registered, and the signed record that names their root.

CREATE TABLE publish.layout (
    only_row    boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Of so many leaves of the journal; also the record's sequence.
    size        bigint      NOT NULL CHECK (size > 0),
    root        text        NOT NULL,
    -- The directory /dukenet/agents, and the bytes of all its blocks.
    agents_root text        NOT NULL,
    agents_size bigint      NOT NULL CHECK (agents_size > 0),
    -- The IPNS record, and until when it is valid.
    record      bytea       NOT NULL,
    valid_until timestamptz NOT NULL,
    -- The root that Kubo keeps; NULL: none.
    pinned      text,
    -- The valid_until of the record that Kubo took last, and when it was last given one.
    told        timestamptz,
    tried_at    timestamptz
);
