//! The rooms' records as `/openapi.json` describes them. Rooms know no HTTP, so their shapes stand here
//! a second time; `tests/http/openapi.rs` holds real answers against them.
#![allow(dead_code, reason = "only the schemas are used")]
#![allow(
    clippy::struct_field_names,
    reason = "the fields are the answers' words"
)]

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::agents::EntryState;

mod access;
mod statements;

pub use self::{
    access::{ApiKey, AuditEvent, IssuedKey, KeyName, RotatedKey, Session, UsageWindow},
    statements::{ListedStatement, Statement, Submission},
};

/// A name in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct AgentName {
    /// Any identifier of the agent: UUID, DID, `eip155:<chain>:<registry>/<agentId>` (its `/` as
    /// `%2F`) or `<chain>:<agentId>`.
    agent: String,
}

/// One page of a list.
#[derive(ToSchema)]
pub struct ListOf<T> {
    /// The items, in the list's own order.
    items: Vec<T>,
    /// Pass it as `cursor` to get the next page; null on the last one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// An agent.
#[derive(ToSchema)]
pub struct Agent {
    /// Row id, stable over reorgs.
    id: Uuid,
    /// DID.
    did: String,
    /// Name, or `<chain>:<agentId>` where nobody named it.
    name: String,
    /// `none`, `document`, `act`, `statement` or `chain`.
    name_source: String,
    /// What it does.
    #[schema(required)]
    description: Option<String>,
    /// Owner, EIP-55.
    #[schema(required)]
    owner_address: Option<String>,
    /// Agent wallet, EIP-55.
    #[schema(required)]
    agent_wallet: Option<String>,
    /// CID of the registration file's bytes.
    #[schema(required)]
    ipfs_metadata_hash: Option<String>,
    /// Founding.
    created_at: DateTime<Utc>,
    /// Last effective fact.
    updated_at: DateTime<Utc>,
    /// ACTIVE, SLEEP or TERMINATED.
    runtime_status: RuntimeStatus,
    /// Last change to ACTIVE.
    #[schema(required)]
    last_active_at: Option<DateTime<Utc>>,
    /// `unknown`, `active` or `inactive`.
    liveness: String,
    /// ACTIVE, INACTIVE or SUSPENDED.
    admin_status: String,
    /// AVAILABLE or BUSY.
    load: String,
    /// Last heartbeat.
    #[schema(required)]
    last_heartbeat: Option<DateTime<Utc>>,
    /// Where it answers.
    #[schema(required)]
    endpoint_url: Option<String>,
    /// Picture.
    #[schema(required)]
    avatar_url: Option<String>,
    /// Category.
    #[schema(required)]
    category: Option<String>,
    /// Summary.
    #[schema(required)]
    summary: Option<String>,
    /// Version.
    #[schema(required)]
    version: Option<String>,
    /// Whatever else its file says.
    metadata: Value,
    /// Between 0 and 1.
    #[schema(required)]
    trust_score: Option<f64>,
    /// Its Ed25519 key, `ed25519:<base64>`.
    #[schema(required)]
    public_key: Option<String>,
    /// Hash of the code that it runs, in its own words.
    #[schema(required)]
    codebase_hash: Option<String>,
    /// Seconds within which it beats again.
    #[schema(required)]
    ttl: Option<i32>,
    /// Whether it ended for good: its token was burned, or it was deregistered.
    ended: bool,
    /// EIP-155 chain id of its token.
    #[schema(required)]
    chain: Option<i64>,
    /// The registry, EIP-55.
    #[schema(required)]
    registry: Option<String>,
    /// agentId, decimal.
    #[schema(required)]
    agent_id: Option<String>,
    /// Whether its registration was seen.
    complete: bool,
    /// Whether the token is burned.
    burned: bool,
    /// Agent URI as the chain has it.
    #[schema(required)]
    agent_uri: Option<String>,
    /// State of the registration file.
    #[schema(required)]
    metadata_state: Option<String>,
    /// Whether its bytes are what URI or chain say: `verified`, `unverified` or `mismatch`.
    #[schema(required)]
    metadata_verification: Option<String>,
    /// What the row rests on: claimed < reported < agreed < bloom < proven < finalized.
    #[schema(required)]
    level: Option<String>,
    /// The last log that spoke of it: block.
    #[schema(required)]
    last_block: Option<i64>,
    /// Its transaction.
    #[schema(required)]
    last_tx: Option<String>,
    /// Its index in the block.
    #[schema(required)]
    last_log: Option<i32>,
}

/// VEXEL's status.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
pub enum RuntimeStatus {
    /// Operational.
    Active,
    /// Paused; may return.
    Sleep,
    /// Ended.
    Terminated,
}

/// An agent with all its names.
#[derive(ToSchema)]
pub struct NamedAgent {
    #[serde(flatten)]
    agent: Agent,
    /// All its names.
    identifiers: Vec<Identifier>,
}

/// An agent that is the same in something.
#[derive(ToSchema)]
pub struct Like {
    /// The agent.
    agent: Agent,
    /// In what: `file`, `name`, `endpoint`.
    same: Vec<String>,
}

/// An agent after a change, and the journal entry that says so.
#[derive(ToSchema)]
pub struct ChangedAgent {
    #[serde(flatten)]
    agent: NamedAgent,
    /// Null where nothing changed, or where the entry is still to be written.
    #[schema(required)]
    entry: Option<EntryState>,
}

/// A name of an agent.
#[derive(ToSchema)]
pub struct Identifier {
    /// `did`, `caip` (`eip155:<chain>:<registry>/<agentId>`), `short` (`<chain>:<agentId>`), `key_hash` (64 hex
    /// digits), `agdns`, `zns` or `ens`.
    kind: String,
    /// The name.
    value: String,
    /// `verified`, `claimed`, `former`, or `linked`: another agent that both sides say is the same one's. Only
    /// verified names find the agent.
    standing: String,
}

/// One change of `runtime_status`.
#[derive(ToSchema)]
pub struct StatusChange {
    /// Row id.
    id: Uuid,
    /// Null in the first.
    #[schema(required)]
    previous_status: Option<RuntimeStatus>,
    /// Status after.
    new_status: RuntimeStatus,
    /// When.
    changed_at: DateTime<Utc>,
    /// Why.
    #[schema(required)]
    reason: Option<String>,
    /// Where it stands on chain.
    #[schema(required)]
    metadata: Option<Value>,
    /// Ordinal in the agent's history.
    seq: i32,
    /// The log, document version or act that caused it.
    cause: String,
    /// Whose doing.
    who: String,
}

/// A change of liveness, of the operator's word, or of load.
#[derive(ToSchema)]
pub struct DimensionChange {
    /// Row id.
    id: Uuid,
    /// Null in the first.
    #[schema(required)]
    previous: Option<String>,
    /// After.
    new: String,
    /// When.
    changed_at: DateTime<Utc>,
    /// Why.
    #[schema(required)]
    reason: Option<String>,
    /// Ordinal in the agent's history of this dimension.
    seq: i32,
    /// The log, statement or act that caused it.
    cause: String,
    /// Whose doing.
    who: String,
}

/// A capability in force.
#[derive(ToSchema)]
pub struct CapabilityVector {
    /// Name.
    capability_name: String,
    /// Value.
    capability_value: Value,
    /// Revision.
    version: i32,
    /// `document` or `act`.
    source: String,
    /// Since when.
    created_at: DateTime<Utc>,
    /// Last change of the value.
    updated_at: DateTime<Utc>,
}

/// A log that spoke of an agent.
#[derive(ToSchema)]
pub struct Event {
    /// EIP-155 chain id.
    chain: i64,
    /// Block number.
    block: i64,
    /// Block hash.
    block_hash: String,
    /// Block time, or when it was first stored.
    time: DateTime<Utc>,
    /// Transaction.
    tx: String,
    /// Index in the block.
    log_index: i32,
    /// Contract, EIP-55.
    address: String,
    /// Topics.
    topics: Vec<String>,
    /// Data.
    data: String,
}

/// The registration file as it was found.
#[derive(ToSchema)]
pub struct Metadata {
    /// The agent URI; null where it is too long to keep.
    #[schema(required)]
    agent_uri: Option<String>,
    /// Its sha2-256.
    uri_sha256: String,
    /// `none`, `pending`, `fetched`, `nonconformant`, `malformed`, `unavailable`, `too_large`,
    /// `blocked` or `unsupported`.
    state: String,
    /// `verified`, `unverified` or `mismatch`.
    #[schema(required)]
    verification: Option<String>,
    /// Version in force.
    #[schema(required)]
    version: Option<i32>,
    /// CID of the bytes.
    #[schema(required)]
    cid: Option<String>,
    /// sha2-256 of the bytes.
    #[schema(required)]
    sha256: Option<String>,
    /// Their number.
    #[schema(required)]
    size: Option<i64>,
    /// When it was judged.
    #[schema(required)]
    judged_at: Option<DateTime<Utc>>,
    /// Last attempt.
    #[schema(required)]
    checked_at: Option<DateTime<Utc>>,
    /// Next attempt, where one is due.
    #[schema(required)]
    next_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    #[schema(required)]
    error: Option<String>,
    /// What had to be bent or left out.
    warnings: Vec<Value>,
    /// The document.
    #[schema(required)]
    document: Option<Value>,
}

/// A journal entry: the fields of its canonical DAG-CBOR.
#[derive(ToSchema)]
pub struct Entry {
    /// Version of the encoding.
    v: u64,
    /// `agent`, `retracted`, `incident` or `act`.
    kind: String,
    /// The agent's id; null in incidents and acts.
    #[schema(required)]
    agent: Option<String>,
    /// When it was appended.
    time: String,
    /// Lists of column, value, cause and the change's own time.
    changes: Vec<Vec<Value>>,
    /// CID of the agent's previous entry.
    #[schema(required)]
    prev: Option<String>,
    /// Only in `retracted`: the CIDs of the entries that said the changes.
    said: Option<Vec<String>>,
}

/// Where a CID stands at one store.
#[derive(ToSchema)]
pub struct Pin {
    /// The root of what is kept.
    cid: String,
    /// `local` or `kubo`.
    store: String,
    /// `queued`, `stored`, `pinned`, `failed` or `lost`.
    state: String,
    /// Attempts that failed.
    attempts: i32,
    /// What the last one said.
    #[schema(required)]
    last_error: Option<String>,
    /// When `state` was confirmed or changed.
    updated_at: DateTime<Utc>,
}

/// An event of one of VEXEL's contracts.
#[derive(ToSchema)]
pub struct VexelEvent {
    /// EIP-155 chain id.
    chain: i64,
    /// The contract, EIP-55.
    contract: String,
    /// Its name.
    event: String,
    /// What it says besides; `malformed` where its data is not what its signature promises.
    fields: Value,
    /// keccak-256 of the DID that it is about, `0x`-hex.
    #[schema(required)]
    did_hash: Option<String>,
    /// The agent whose DID that is, as far as it is known: its row id.
    #[schema(required)]
    agent: Option<Uuid>,
    /// That agent's DID.
    #[schema(required)]
    did: Option<String>,
    /// Whether it speaks for that agent.
    attributed: bool,
    /// Block number.
    block: i64,
    /// Its time.
    time: DateTime<Utc>,
    /// Transaction, `0x`-hex.
    tx: String,
    /// Index in the block.
    log: i32,
}

/// A target of a watch.
#[derive(ToSchema)]
pub struct Watch {
    /// The watch's name.
    name: String,
    /// As it was given.
    target: String,
    /// The owner that is watched, EIP-55; null where it is an agent.
    #[schema(required)]
    owner: Option<String>,
    /// The agent that is watched, its row id; null where it is an owner.
    #[schema(required)]
    agent: Option<Uuid>,
    /// Since when.
    created_at: DateTime<Utc>,
}

/// A transaction (EIP-1559) that lacks only its signature, as JSON-RPC and wallets have it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Prepared {
    /// EIP-155 chain id, `0x`-hex.
    chain_id: String,
    /// Who must sign.
    from: String,
    /// The account's next nonce, `0x`-hex.
    nonce: String,
    /// Whom it calls.
    to: Option<String>,
    /// What it says, `0x`-hex.
    data: String,
    /// The most gas that it may use, `0x`-hex.
    gas: String,
    /// Wei per gas, the most in all, `0x`-hex.
    max_fee_per_gas: String,
    /// Wei per gas, the most for the block's builder, `0x`-hex.
    max_priority_fee_per_gas: String,
    /// Wei, `0x`-hex.
    value: String,
}
