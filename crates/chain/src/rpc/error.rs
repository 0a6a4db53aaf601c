//! Why a node did not answer as asked.

use std::{error::Error as _, time::Duration};

use alloy::{
    rpc::json_rpc::ErrorPayload,
    transports::{HttpError, RpcError as AlloyError, TransportError, TransportErrorKind},
};
use kernel::Kind;
use serde::Deserialize;
use url::Url;

use super::words::{from_payload, shortened};
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
        Self::Other {
            kind: Kind::Unavailable,
            code: None,
            message: message.into(),
        }
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
            AlloyError::Transport(other) => Self::Unavailable {
                message: without_secrets(&chain_of(other), url),
            },
            other => Self::Other {
                kind: Kind::Internal,
                code: None,
                message: without_secrets(&other.to_string(), url),
            },
        }
    }
}

/// A body with a success status that is not a JSON-RPC response. Some nodes leave out `id`, and
/// some proxies cut a long answer short.
fn from_body(method: &'static str, text: &str, url: &Url) -> RpcError {
    if let Some(error) = error_in_body(method, text) {
        return error;
    }
    let start: String = text.trim_start().chars().take(200).collect();
    if start.starts_with(['{', '[']) && start.contains("\"jsonrpc\"") {
        return RpcError::Unavailable {
            message: "the answer is cut short".to_owned(),
        };
    }
    not_an_rpc(&start, url)
}

/// The error in a JSON-RPC answer, also in one that lacks `id` or comes with a failure status.
fn error_in_body(method: &'static str, text: &str) -> Option<RpcError> {
    #[derive(Deserialize)]
    struct Failed {
        error: ErrorPayload,
    }
    let failed: Failed = serde_json::from_str(text).ok()?;
    Some(from_payload(method, &failed.error))
}

/// A failure status without JSON-RPC.
fn from_http(
    method: &'static str,
    http: &HttpError,
    retry_after: Option<Duration>,
    url: &Url,
) -> RpcError {
    if let Some(error) = error_in_body(method, &http.body) {
        return error;
    }
    let message = format!("status {} {}", http.status, shortened(&http.body));
    let message = without_secrets(message.trim_end(), url);
    match http.status {
        429 => RpcError::Limited {
            retry_after,
            message,
        },
        401 | 403 => RpcError::Other {
            kind: Kind::Denied,
            code: None,
            message,
        },
        408 | 500..=599 => RpcError::Unavailable { message },
        status => not_an_rpc(&format!("status {status} {}", http.body), url),
    }
}

fn not_an_rpc(text: &str, url: &Url) -> RpcError {
    RpcError::NotAnRpc {
        place: place(url),
        start: without_secrets(&shortened(text), url),
    }
}

/// Scheme, host and port: the part of a node's address that may be shown.
pub(super) fn place(url: &Url) -> String {
    url.origin().ascii_serialization()
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
    let mut bare = url.clone();
    // Transports print the address without its credentials, but with its path.
    let _ = (bare.set_username(""), bare.set_password(None));
    text.replace(url.as_str(), &place(url))
        .replace(bare.as_str(), &place(url))
}

#[cfg(test)]
#[path = "error_test.rs"]
mod tests;
