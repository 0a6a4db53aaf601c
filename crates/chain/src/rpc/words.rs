//! Reading a node's error message: every provider has words of its own.

use std::time::Duration;

use kernel::Kind;
use serde_json::Value;

use super::{error::RpcError, range, wire::Failure};
use crate::revert::Revert;

/// A JSON-RPC error, by its message; codes are read only where every node means the same by one.
pub(super) fn from_failure(method: &'static str, failure: &Failure) -> RpcError {
    let message = shortened(&failure.message);
    let lower = message.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    let code = failure.code;
    if code == 3 || says(&["execution reverted", "vm execution error", "reverted"]) {
        let data = failure.revert_data();
        return RpcError::Revert {
            reason: Revert { data, message },
        };
    }
    if method == "eth_getLogs" && range::is_refusal(&lower) {
        let hint = range::hint(&lower).or_else(|| hint_in_data(failure.data.as_ref()?));
        return RpcError::RangeTooLarge { hint, message };
    }
    if code == 429 || says(LIMITS) || lower.starts_with("limit exceeded") {
        return RpcError::Limited {
            retry_after: retry_after(&lower, failure.data.as_ref()),
            message,
        };
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
    RpcError::Other {
        kind,
        code: Some(code),
        message,
    }
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

const PRUNED: &[&str] = &[
    "pruned",
    "missing trie node",
    "historical state",
    "history expired",
    "archive",
];

const NO_METHOD: &[&str] = &[
    "method not found",
    "does not exist/is not available",
    "method not supported",
    "unsupported method",
    "method is not whitelisted",
    "unknown method",
];

const DENIED: &[&str] = &[
    "unauthorized",
    "invalid api key",
    "must be authenticated",
    "forbidden",
    "project id",
];

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
    "indexing is in progress",     // geth soon after its start, of transactions and their receipts
];

/// `{"from": "0x..", "to": "0x.."}`, which Infura says beside its message.
fn hint_in_data(data: &Value) -> Option<(u64, u64)> {
    let number = |name: &str| {
        let text = data.get(name)?.as_str()?;
        u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
    };
    Some((number("from")?, number("to")?)).filter(|(from, to)| from <= to)
}

/// Nobody makes us wait longer than this.
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// "try again in 4ms", or Infura's `rate.backoff_seconds`.
fn retry_after(message: &str, data: Option<&Value>) -> Option<Duration> {
    let seconds = data.and_then(|data| data["rate"]["backoff_seconds"].as_f64());
    if let Some(seconds) = seconds {
        return Duration::try_from_secs_f64(seconds)
            .ok()
            .map(|wait| wait.min(LONGEST_WAIT));
    }
    let (_, rest) = message.split_once("try again in ")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let number: u64 = rest[..end].parse().ok()?;
    let unit = rest[end..].trim_start();
    let wait = match unit {
        _ if unit.starts_with("ms") => Duration::from_millis(number),
        _ if unit.starts_with('s') => Duration::from_secs(number),
        _ if unit.starts_with('m') => Duration::from_secs(number.saturating_mul(60)),
        _ => return None,
    };
    Some(wait.min(LONGEST_WAIT))
}

/// At most 500 characters: some nodes answer with pages.
pub(super) fn shortened(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(500) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
