//! Keys and the audit log.

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

/// A key in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct KeyName {
    /// `key_` and 32 hex digits.
    key: String,
}

/// An API key, but for itself.
#[derive(ToSchema)]
pub struct ApiKey {
    /// Place in the list.
    id: i64,
    /// `key_` and 32 hex digits; no secret.
    key_id: String,
    /// Whose it is, in words of whoever made it.
    client_id: String,
    /// What it is for.
    name: String,
    /// What it may do.
    scopes: Vec<String>,
    /// False once it is revoked.
    active: bool,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it ends by itself.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
    /// When it was used, some seconds behind.
    #[schema(required)]
    last_used_at: Option<DateTime<Utc>>,
    /// Requests in a minute.
    rate_limit_per_minute: i32,
    /// Requests in an hour.
    rate_limit_per_hour: i32,
    /// The principal that made it.
    #[schema(required)]
    created_by: Option<String>,
    /// More about it.
    #[schema(required)]
    description: Option<String>,
    /// For whom it acts: `operator`, an address, a `did:key`; of a client that is nobody else its first key, `key_...`.
    #[schema(required)]
    principal: Option<String>,
    /// The key that it took the place of.
    #[schema(required)]
    replaces: Option<String>,
    /// The key that asked for it, or that one's successor: it ends with it. Null: another proof did.
    #[schema(required)]
    made_with: Option<String>,
    /// When it was revoked.
    #[schema(required)]
    revoked_at: Option<DateTime<Utc>>,
}

/// A key as it is shown once.
#[derive(ToSchema)]
pub struct IssuedKey {
    /// `ains_` and 44 characters. Nobody can be told it again.
    key: String,
    #[serde(flatten)]
    record: ApiKey,
}

/// A key's successor as it is shown once.
#[derive(ToSchema)]
pub struct RotatedKey {
    #[serde(flatten)]
    issued: IssuedKey,
    /// Id of the key that the rotated one replaced, where that held until now: it ended at once.
    #[schema(required)]
    ended: Option<String>,
}

/// A session of an account.
#[derive(ToSchema)]
pub struct Session {
    /// The account, EIP-55.
    account: String,
    /// EIP-155 id of the chain that it named.
    chain_id: i64,
    /// Whether a contract said there that it signed; else the account's key did, which is its on all chains.
    is_contract: bool,
    /// When it began.
    created_at: DateTime<Utc>,
    /// When it ends.
    expires_at: DateTime<Utc>,
}

/// How often a key was used.
#[derive(ToSchema)]
pub struct UsageWindow {
    /// The key.
    key_id: String,
    /// When the window began.
    window_start: DateTime<Utc>,
    /// `minute` or `hour`.
    window_type: String,
    /// How many requests there were.
    request_count: i32,
}

/// Something that was seen.
#[derive(ToSchema)]
pub struct AuditEvent {
    /// Place in the log.
    id: i64,
    /// `authentication`, `api_key_created`, `api_key_updated`, `api_key_revoked`, `rate_limit_exceeded` or
    /// `agent_registered`.
    event_type: String,
    /// Who: a principal's name.
    #[schema(required)]
    client_id: Option<String>,
    /// The key that was used.
    #[schema(required)]
    key_id: Option<String>,
    /// Method and route.
    action: String,
    /// `api_key`, `agent`, ...
    #[schema(required)]
    resource_type: Option<String>,
    /// Which one.
    #[schema(required)]
    resource_id: Option<String>,
    /// From where, for some days.
    #[schema(required)]
    ip_address: Option<String>,
    /// With which program, for some days.
    #[schema(required)]
    user_agent: Option<String>,
    /// Whether it was done.
    success: bool,
    /// Why not.
    #[schema(required)]
    error_message: Option<String>,
    /// More.
    extra_metadata: Value,
    /// When.
    created_at: DateTime<Utc>,
    /// 16 bytes in hex, of events that the journal tells of by a digest (docs/journal.md, "Kinds").
    #[schema(required)]
    salt: Option<String>,
}
