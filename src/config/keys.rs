//! Every key with its meaning: the source of `chancery.example.toml` and of what is a secret.

/// One documented key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Dotted path.
    pub path: &'static str,
    /// What it does, for people.
    pub doc: &'static str,
    /// Whether it is masked when shown and may come from a file (`<key>_file`).
    pub secret: bool,
    /// A value to show where the default is to be absent, in TOML.
    pub example: Option<&'static str>,
}

const fn key(path: &'static str, doc: &'static str) -> Key {
    Key {
        path,
        doc,
        secret: false,
        example: None,
    }
}

const fn optional(path: &'static str, example: &'static str, doc: &'static str) -> Key {
    Key {
        path,
        doc,
        secret: false,
        example: Some(example),
    }
}

const fn secret(path: &'static str, example: &'static str, doc: &'static str) -> Key {
    Key {
        path,
        doc,
        secret: true,
        example: Some(example),
    }
}

/// Sections whose keys are free.
pub const FREE: &[&str] = &["postgres.settings"];

/// All keys, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    optional(
        "data_dir",
        r#""/var/lib/chancery""#,
        "Where this instance keeps what it must find again. Absent: $XDG_DATA_HOME/chancery, \
         without it ~/.local/share/chancery, for root /var/lib/chancery.",
    ),
    key(
        "log.level",
        "What is logged, as tracing's filter: a level, or `info,store=debug`.",
    ),
    key("log.format", "`human` or `json`, always on stderr."),
    key(
        "http.listen",
        "The address of the HTTP door; port 0 takes any free one.",
    ),
    key("http.body_limit_bytes", "Largest request body."),
    key(
        "http.timeout_seconds",
        "Longest time for one answer; over a WebSocket, until its client takes it.",
    ),
    key(
        "http.stalled_seconds",
        "A client that takes nothing of its answer for so long loses its connection (on Linux); 0: never.",
    ),
    key(
        "http.max_streams",
        "Most streams of changes (`/v1/changes` as text/event-stream) that are open at once; the next is answered \
         with 503.",
    ),
    key(
        "http.max_sockets",
        "Most WebSockets for heartbeats that are open at once; the next is answered with 503.",
    ),
    key(
        "http.max_sockets_per_address",
        "Most of them that one address (of IPv6 its /64) may have; the next is answered with 429. Those that the \
         operator opens with his token are not counted, nor those of programs on this machine, unless access.origins is \
         set.",
    ),
    key(
        "http.socket_silence_seconds",
        "A WebSocket over which no beat counted for so long is closed, 1 to 86400: pings and wrong messages keep \
         no place.",
    ),
    secret(
        "http.token",
        r#""64 hex digits""#,
        "The operator's token. Absent: <data_dir>/token, made at the first start.",
    ),
    key(
        "access.origins",
        "Where this instance is reached from elsewhere, such as [\"https://office.example\"]: sessions and signed \
         requests name one of these. Names of this machine such as localhost count besides: for its own programs, and \
         where none is configured for everybody.",
    ),
    key(
        "access.session_seconds",
        "How long a session lasts at most.",
    ),
    key(
        "access.per_minute",
        "Requests that one address (of IPv6 its /64) may make in a minute, and an agent to one endpoint. API keys have \
         limits of their own; the operator has none, nor have programs on this machine, unless access.origins is set: \
         then a proxy passes requests on from here.",
    ),
    key("access.per_hour", "The same for an hour."),
    key(
        "access.trusted_proxies",
        "Proxies whose X-Forwarded-For says who asks: addresses and networks. They must set it, by overwriting it or by \
         appending to it: one that passes on what its client sent lets him choose his address. Who comes through a proxy \
         that does not send it is counted together with all others that do.",
    ),
    secret(
        "access.redis",
        r#""redis://127.0.0.1:6379""#,
        "Keeps one exact limit over several API processes. Absent, or while it does not answer: each process counts \
         by itself.",
    ),
    key(
        "access.ip_days",
        "How many days the audit log keeps from where and with which program somebody asked.",
    ),
    key("access.audit_days", "How many days the audit log is kept."),
    secret(
        "database.url",
        r#""postgres://chancery_app:secret@db.example/chancery""#,
        "The application's database. Absent: `up` runs a private Postgres. The variable \
         DATABASE_URL is read too.",
    ),
    secret(
        "database.migrate_url",
        r#""postgres://chancery_owner:secret@db.example/chancery""#,
        "The owner's connection, for migrations and psql. Absent: database.url.",
    ),
    key(
        "database.app_role",
        "The role that migrations grant the application's rights to.",
    ),
    key(
        "database.max_connections",
        "Most connections of one process. Besides, a chain's backfill has two, and so have look-ups of single agents and \
         registrations without gas while there are any.",
    ),
    key(
        "database.min_idle",
        "Connections that are kept open when idle.",
    ),
    key(
        "database.max_lifetime_seconds",
        "A connection is closed at this age.",
    ),
    key(
        "database.idle_timeout_seconds",
        "An idle connection above min_idle is closed after this.",
    ),
    key(
        "database.acquire_timeout_seconds",
        "How long a request waits for a connection.",
    ),
    key(
        "database.sslmode",
        "`disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`; one in the URL wins.",
    ),
    key(
        "net.connect_timeout_seconds",
        "How long a connection to a stranger may take to open.",
    ),
    key(
        "net.timeout_seconds",
        "How long a fetch may take in all, redirects and body included.",
    ),
    key(
        "net.max_bytes",
        "The most that is read of an answer, decoded; at most 5 MiB.",
    ),
    key(
        "net.allow",
        "host:port pairs that may be reached although they are private, on another port than 443 or \
         by plain http.",
    ),
    optional(
        "net.egress",
        r#""http://127.0.0.1:3128""#,
        "A gateway on our own side through which all fetches for strangers' addresses leave, in the \
         absolute form of a proxy (GET https://host/path) and with TLS spoken by it; it also keeps names \
         that resolve to private addresses out. net.allow is reached without it. Absent: direct.",
    ),
    key(
        "content.fetch",
        "Whether agents' files are fetched and judged. Otherwise their jobs wait.",
    ),
    key(
        "content.blocks",
        "The blockstore's directory, below the data directory unless absolute.",
    ),
    optional(
        "content.kubo_url",
        r#""http://127.0.0.1:5001""#,
        "Kubo's RPC. Absent: the blockstore alone keeps content.",
    ),
    secret(
        "content.kubo_token",
        r#""secret""#,
        "Bearer token for it (Kubo's API.Authorizations).",
    ),
    key(
        "content.kubo_timeout_seconds",
        "How long Kubo may take to find a file or to pin one.",
    ),
    key(
        "content.public_pin",
        "Whether the world reads what that Kubo pins. Registration files then go to IPFS unless somebody says otherwise.",
    ),
    key(
        "content.gateways",
        "Trustless gateways, asked in this order after Kubo.",
    ),
    key(
        "content.gateway_timeout_seconds",
        "How long one gateway may take for one file.",
    ),
    key(
        "content.max_bytes",
        "The longest file that is read from IPFS.",
    ),
    key("indexer.poll_ms", "How often a chain's head is looked at."),
    key(
        "indexer.step_logs",
        "Most logs of one step from a recorded file; a step is one transaction.",
    ),
    key(
        "indexer.range_blocks",
        "Blocks of the first request for logs; halved where a provider refuses.",
    ),
    key(
        "indexer.settled_depth",
        "Blocks behind the head that count as settled where the provider has no `finalized` tag.",
    ),
    key(
        "indexer.prove",
        "When a backfill's ranges are proven complete: \"behind\" (they are believed first, and proven from the \
         head down), \"first\" (only what is proven is stored) or \"off\". Live blocks always are.",
    ),
    key(
        "indexer.provider_timeout_seconds",
        "How long a provider may take for one answer.",
    ),
    key(
        "indexer.provider_at_once",
        "Requests that are under way at one provider at once.",
    ),
    optional(
        "indexer.provider_calls_per_second",
        "25",
        "Calls that one provider is asked per second, each item of a batch counted. Absent: no limit.",
    ),
    key(
        "indexer.keep_receipts",
        "Whether headers and receipts of live blocks with logs are kept for later proofs.",
    ),
    key(
        "indexer.chains",
        "The chains, such as [{ chain = \"base\", rpc = [\"https://node.example\"] }]. All URLs \
         are used, the best first; providers = [{ url = \"...\", at_once = 4, calls_per_second = 25 }] \
         are some with limits of their own, quorum how many must know a block before it counts as the \
         head (absent: most of those that answer), ws a node's WebSocket that tells of new heads. Also registries, status, \
         vexel (VEXEL's AgentHeartbeat and AgentRegistry), from_block, settled_depth. Only `up` does without: it starts a dev chain.",
    ),
    key(
        "sync.scope",
        "What of each chain is kept: \"all\", or \"watched\": the agents that sync.watch names, and those that an \
         owner named there ever gets or gives. It is fixed once a chain's first block is stored, and claims no \
         census.",
    ),
    key(
        "sync.watch",
        "Whom to watch: owners' addresses, and agents as eip155:<chain>:<registry>/<agentId> or did:nft:... . \
         Add to it at any start; who was watched once stays so.",
    ),
    optional(
        "postgres.bin_dir",
        r#""/usr/lib/postgresql/17/bin""#,
        "The folder of initdb and postgres for the private cluster. Absent: searched in PATH, \
         pg_config, /usr/lib/postgresql/*/bin and Homebrew's folders.",
    ),
    optional(
        "postgres.user",
        r#""postgres""#,
        "The user that the private cluster runs as when we are root. Absent: postgres, else nobody.",
    ),
    key(
        "postgres.settings",
        "Server settings of the private cluster, such as { shared_buffers = \"512MB\" }.",
    ),
    optional(
        "devchain.anvil",
        r#""/usr/local/bin/anvil""#,
        "The anvil program. Absent: searched in contracts/node_modules and PATH.",
    ),
    key(
        "devchain.chain_id",
        "The dev chain's id; it is fixed once its data directory exists.",
    ),
    key(
        "devchain.port",
        "Its port on 127.0.0.1; 0 takes a free one and keeps it.",
    ),
    key(
        "identity.tombstone_days",
        "How many days lists go on to show the agent of a key that was deregistered; then its last heartbeat is \
         forgotten, too. Its record and its history stay, and so does its key, which nobody else can take.",
    ),
    key(
        "journal.key_file",
        "The key that signs checkpoints, below the data directory unless absolute; made at the \
         first start. All nodes of one journal share it.",
    ),
    optional(
        "journal.origin",
        r#""registry.example/journal""#,
        "The checkpoint's origin line, fixed at the first seal. Absent: chancery.local/<key hash>.",
    ),
    key(
        "journal.scrub_bundles",
        "How many bundles of 256 entries, with their leaves and tiles, are looked through every ten seconds, beside 4 MiB \
         of the built-in blockstore: bits that a disk changed are found and put right. 0: none.",
    ),
    key(
        "journal.max_queued",
        "Most entries that may wait to be sealed. Beyond, chains are not read on and writes are \
         answered with 429, until the sealer has caught up.",
    ),
    secret(
        "journal.anchor.rpc",
        r#""https://node.example""#,
        "The node of the chain on which checkpoints are anchored. Anchoring is on where this, the contract and the \
         key_file are named; absent: off, but on the dev chain of `up`.",
    ),
    optional(
        "journal.anchor.contract",
        r#""0x0000000000000000000000000000000000000000""#,
        "The AuditAnchor contract there (`chancery audit deploy` makes one; one that somebody else deployed does as well).",
    ),
    optional(
        "journal.anchor.key_file",
        r#""anchor.key""#,
        "The key of the account that sends and pays: a keystore or one line of 0x-hex, mode 0600, below the data \
         directory unless absolute. Use it for nothing else.",
    ),
    secret(
        "journal.anchor.password",
        r#""secret""#,
        "Opens the key where it is a keystore.",
    ),
    key(
        "journal.anchor.interval_seconds",
        "The least time between two anchors; checkpoints in between share the next one. On the dev chain at most 5.",
    ),
    key(
        "journal.anchor.heartbeat_seconds",
        "After so long the same head is anchored again, which says that the journal is still kept; 0: never.",
    ),
    key(
        "journal.anchor.daily_budget_gwei",
        "The most that anchors of 24 hours may cost, in gwei (10,000,000 are 0.01 of the chain's coin); what is on \
         its way counts with the most that it may cost. Without meaning on the dev chain.",
    ),
    optional(
        "journal.anchor.settled_depth",
        "64",
        "Blocks behind the head that count as settled there. Absent: the node's `finalized` block, 64 without one.",
    ),
    key(
        "journal.anchor.patience_seconds",
        "How long a transaction may wait until it is replaced by one that pays an eighth more.",
    ),
    key(
        "journal.anchor.dev_chain",
        "Whether `up` anchors on its dev chain.",
    ),
];
