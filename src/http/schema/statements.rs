//! What keys and owners sign.

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::ToSchema;

/// A statement, as its signers saw it.
#[derive(ToSchema)]
pub struct Statement {
    /// `register`, `update`, `status`, `rotate`, `transfer`, `deregister` or `claim`.
    action: String,
    /// Whom it speaks of; in a registration the key's `did:key`.
    agent: String,
    /// What it says, as canonical JSON (RFC 8785, no floats), at most 8,192 bytes.
    content: String,
    /// Its place among the statements of its agent, decimal: it rises.
    sequence: String,
    /// 32 hex digits, used once by its signer.
    nonce: String,
    /// When it was signed, in seconds since 1970.
    issued: i64,
    /// Until when it may be brought, at most an hour later.
    expires: i64,
    /// The journal that it is for.
    origin: String,
}

/// A signature of a statement.
#[derive(ToSchema)]
pub struct Signature {
    /// `did:key:z…`, or `eip155:<chain>:<address>`.
    by: String,
    /// Of a key base64 or hex, `ed25519:` before it or not; of an account `0x`-hex.
    signature: String,
}

/// A statement and its signatures.
#[derive(ToSchema)]
pub struct Submission {
    statement: Statement,
    /// One or two.
    signatures: Vec<Signature>,
}

/// A statement that was recorded.
#[derive(ToSchema)]
pub struct ListedStatement {
    /// `statement:<serial>` names it as a cause.
    serial: i64,
    /// When it was recorded.
    at: DateTime<Utc>,
    /// What was signed.
    #[schema(required)]
    statement: Option<Statement>,
    /// By whom: `{by, signature}`, and how an account's was `checked`.
    signatures: Vec<Value>,
    /// The mint that an owner's statement about a token rests on.
    #[schema(required)]
    founding: Option<String>,
    /// The transfer that made him its owner.
    #[schema(required)]
    transfer: Option<String>,
}
