//! Why a node did not answer as asked.

use std::{error::Error as _, time::Duration};

use alloy::{
    rpc::json_rpc::ErrorPayload,
    transports::{HttpError, RpcError as AlloyError, TransportError, TransportErrorKind},
};
use kernel::Kind;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::range;
use crate::revert::Revert;

/// A request that was not answered as asked, told apart by what the caller can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcError {
    /// Ask for less at once.
    #[error("the node refuses the range: {message}")]
    RangeTooLarge {
        /// The range that it would answer, both ends included.
        hint: Option<(u64, u64)>,
        /// Its own words.
        message: String,
    },
    /// Ask later.
    #[error("the node limits us: {message}")]
    Limited {
        /// When, if it told.
        retry_after: Option<Duration>,
        /// Its own words.
        message: String,
    },
    /// No answer, or one that says that there is none now.
    #[error("the node does not answer: {message}")]
    Unavailable {
        /// What was in the way.
        message: String,
    },
    /// Something answers, but no Ethereum node: most often a wrong address.
    #[error("{place} answers, but not JSON-RPC: {start}")]
    NotAnRpc {
        /// Scheme, host and port.
        place: String,
        /// How its answer begins.
        start: String,
    },
    /// The block or range is not there yet, or this node has not got it yet.
    #[error("the node is not that far: {message}")]
    BeyondHead {
        /// Its own words.
        message: String,
    },
    /// The node no longer keeps (or never had) that part of history or state.
    #[error("the node does not keep that: {message}")]
    Pruned {
        /// Its own words.
        message: String,
    },
    /// The node lacks the method.
    #[error("the node has no {method}: {message}")]
    NoMethod {
        /// The method.
        method: &'static str,
        /// Its own words.
        message: String,
    },
    /// The contract refused.
    #[error("the contract refused: {reason}")]
    Revert {
        /// Why.
        reason: Revert,
    },
    /// Anything else.
    #[error("{message}")]
    Other {
        /// What sort of failure it is.
        kind: Kind,
        /// JSON-RPC's code, where there is one.
        code: Option<i64>,
        /// The node's words, or ours about its answer.
        message: String,
    },
}

impl RpcError {
    /// The class of the failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Limited { .. } => Kind::Limited,
            Self::Unavailable { .. } | Self::BeyondHead { .. } => Kind::Unavailable,
            Self::Pruned { .. } => Kind::NotFound,
            Self::Revert { .. } => Kind::Conflict,
            Self::RangeTooLarge { .. } | Self::NotAnRpc { .. } | Self::NoMethod { .. } => {
                Kind::Invalid
            }
            Self::Other { kind, .. } => *kind,
        }
    }

    /// An answer that is JSON-RPC but makes no sense; another try may get a better one.
    pub(crate) fn unexpected(message: impl Into<String>) -> Self {
        Self::Other { kind: Kind::Unavailable, code: None, message: message.into() }
    }

    /// Whether the node said that it does not know a block.
    pub(crate) fn is_unknown_block(&self) -> bool {
        match self {
            Self::BeyondHead { .. } => true,
            Self::Other { kind, .. } => *kind == Kind::NotFound,
            _ => false,
        }
    }

    pub(super) fn classify(method: &'static str, error: &TransportError, url: &Url) -> Self {
        match error {
            AlloyError::ErrorResp(payload) => from_payload(method, payload),
            AlloyError::DeserError { text, .. } => from_body(method, text, url),
            AlloyError::Transport(TransportErrorKind::HttpError(http)) => {
                from_http(method, http, None, url)
            }
            AlloyError::Transport(TransportErrorKind::HttpErrorWithRetryAfter {
                error: http,
                retry_after,
            }) => from_http(method, http, Some(*retry_after), url),
            AlloyError::Transport(other) => {
                Self::Unavailable { message: without_secrets(&chain_of(other), url) }
            }
            other => Self::Other {
                kind: Kind::Internal,
                code: None,
                message: without_secrets(&other.to_string(), url),
            },
        }
    }
}

/// A JSON-RPC error, by its message; codes are read only where every node means the same by one.
fn from_payload(method: &'static str, payload: &ErrorPayload) -> RpcError {
    let message = shortened(&payload.message);
    let lower = payload.message.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let code = payload.code;
    let data = payload.data.as_deref().and_then(|raw| serde_json::from_str(raw.get()).ok());
    if code == 3 || says(&["execution reverted", "vm execution error", "reverted"]) {
        let data = payload.as_revert_data().unwrap_or_default();
        return RpcError::Revert { reason: Revert { data, message } };
    }
    if method == "eth_getLogs" && range::is_refusal(&lower) {
        let hint = range::hint(&lower).or_else(|| hint_in_data(data.as_ref()?));
        return RpcError::RangeTooLarge { hint, message };
    }
    if code == 429 || says(LIMITS) {
        return RpcError::Limited { retry_after: retry_after(&lower, data.as_ref()), message };
    }
    if says(BEYOND_HEAD) {
        return RpcError::BeyondHead { message };
    }
    if code == 4444 || says(PRUNED) {
        return RpcError::Pruned { message };
    }
    if code == -32601 || says(NO_METHOD) {
        return RpcError::NoMethod { method, message };
    }
    let kind = match code {
        _ if says(DENIED) => Kind::Denied,
        _ if says(NOT_FOUND) => Kind::NotFound,
        _ if says(BUSY) => return RpcError::Unavailable { message },
        -32603 => Kind::Unavailable,
        _ => Kind::Invalid,
    };
    RpcError::Other { kind, code: Some(code), message }
}

const LIMITS: &[&str] = &[
    "rate limit",
    "rate-limit",
    "ratelimit",
    "too many requests",
    "request limit",
    "requests limited",
    "credits limited",
    "compute units",
    "throughput",
    "capacity exceeded",
    "request count exceeded",
    "quota",
    "try again in",
    "limit exceeded",
    "cu limit",
];

const BEYOND_HEAD: &[&str] = &[
    "beyond current head",        // geth 1.17
    "invalid block range params", // geth: we never ask for a range that ends before it starts
    "block height is",            // anvil: "block height is 8 but requested was 9"
    "blockoutofrange",            // anvil
    "header not found",           // geth and what derives from it
    "beyond the head",            //
    "after last accepted block",  // Avalanche
    "is greater than the latest", //
    "future block",               //
    "cannot be found",            // Nethermind, Alchemy: "fromBlock or blockHash cannot be found"
];

const PRUNED: &[&str] =
    &["pruned", "missing trie node", "historical state", "history expired", "archive"];

const NO_METHOD: &[&str] =
    &["method not found", "does not exist/is not available", "method not supported",
        "unsupported method", "method is not whitelisted", "unknown method"];

const DENIED: &[&str] =
    &["unauthorized", "invalid api key", "must be authenticated", "forbidden", "project id"];

const NOT_FOUND: &[&str] = &["unknown block", "not found"];

const BUSY: &[&str] = &[
    "timeout",
    "timed out",
    "temporarily",
    "unavailable",
    "overloaded",
    "no response",
    "internal error",
    "failed to process log index", // geth after debug_setHead, until the next block
];

/// A body with a success status that is not a JSON-RPC response. Some nodes leave out `id`, and
/// some proxies cut a long answer short.
fn from_body(method: &'static str, text: &str, url: &Url) -> RpcError {
    #[derive(Deserialize)]
    struct Failed {
        error: ErrorPayload,
    }
    if let Ok(failed) = serde_json::from_str::<Failed>(text) {
        return from_payload(method, &failed.error);
    }
    let start: String = text.trim_start().chars().take(200).collect();
    if start.starts_with(['{', '[']) && start.contains("\"jsonrpc\"") {
        return RpcError::Unavailable { message: "the answer is cut short".to_owned() };
    }
    not_an_rpc(&start, url)
}

fn from_http(
    method: &'static str,
    http: &HttpError,
    retry_after: Option<Duration>,
    url: &Url,
) -> RpcError {
    let message = format!("status {} {}", http.status, shortened(&http.body));
    let message = without_secrets(message.trim_end(), url);
    match http.status {
        429 => RpcError::Limited { retry_after, message },
        401 | 403 => RpcError::Other { kind: Kind::Denied, code: None, message },
        408 | 500..=599 => RpcError::Unavailable { message },
        200..=299 | 400..=499 if http.body.trim_start().starts_with('{') => {
            from_body(method, &http.body, url)
        }
        status => not_an_rpc(&format!("status {status} {}", http.body), url),
    }
}

fn not_an_rpc(text: &str, url: &Url) -> RpcError {
    RpcError::NotAnRpc { place: place(url), start: without_secrets(&shortened(text), url) }
}

/// Scheme, host and port: the part of a node's address that may be shown.
pub(super) fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// `{"from": "0x..", "to": "0x.."}`, which Infura says beside its message.
fn hint_in_data(data: &Value) -> Option<(u64, u64)> {
    let number = |name: &str| {
        let text = data.get(name)?.as_str()?;
        u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
    };
    Some((number("from")?, number("to")?)).filter(|(from, to)| from <= to)
}

/// "try again in 4ms", or Infura's `rate.backoff_seconds`; five minutes at the most.
fn retry_after(message: &str, data: Option<&Value>) -> Option<Duration> {
    let most = Duration::from_secs(300);
    let seconds = data.and_then(|data| data["rate"]["backoff_seconds"].as_f64());
    if let Some(seconds) = seconds {
        return Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(most));
    }
    let (_, rest) = message.split_once("try again in ")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number: u64 = rest[..end].parse().ok()?;
    let unit = rest[end..].trim_start();
    let wait = match unit {
        _ if unit.starts_with("ms") => Duration::from_millis(number),
        _ if unit.starts_with('s') => Duration::from_secs(number),
        _ if unit.starts_with('m') => Duration::from_secs(number.saturating_mul(60)),
        _ => return None,
    };
    Some(wait.min(most))
}

/// The whole chain of causes: the outermost often says only "error sending request".
fn chain_of(error: &TransportErrorKind) -> String {
    let mut text = error.to_string();
    let mut cause = match error {
        TransportErrorKind::Custom(custom) => custom.source(),
        other => other.source(),
    };
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Keys of providers stand in the path of their address, which must not get into logs.
fn without_secrets(text: &str, url: &Url) -> String {
    text.replace(url.as_str(), &place(url))
}

fn shortened(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(500) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[path = "error_test.rs"]
mod tests;
