//! Why a node did not answer as asked.

use std::time::Duration;

use kernel::Kind;
use net::Reply;
use serde::de::IgnoredAny;
use url::Url;

use super::{
    wire::Response,
    words::{LONGEST_WAIT, from_failure, shortened},
};
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
    /// A header that does not hash to its hash, of a chain of which nobody has told one yet that does.
    #[error("the header of block {number} does not hash to its hash")]
    Unhashed {
        /// The block's height.
        number: u64,
    },
    /// Parts of one answer cannot both be so. Several nodes behind one address, on two branches, answer so without a
    /// lie; another try may get a better one.
    #[error("the node contradicts itself: {message}")]
    Contradictory {
        /// What does not go together.
        message: String,
    },
    /// What the node told is not so: others show it.
    #[error("the node told what is not so: {message}")]
    False {
        /// What it told, and what shows that it is not so.
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
            Self::Unavailable { .. }
            | Self::BeyondHead { .. }
            | Self::Unhashed { .. }
            | Self::Contradictory { .. }
            | Self::False { .. } => Kind::Unavailable,
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

    /// How long the node asks us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limited { retry_after, .. } => *retry_after,
            _ => None,
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

    /// One word for each sort, for counters.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RangeTooLarge { .. } => "range",
            Self::Limited { .. } => "limited",
            Self::Unavailable { .. } => "unavailable",
            Self::NotAnRpc { .. } => "no_rpc",
            Self::BeyondHead { .. } => "beyond_head",
            Self::Unhashed { .. } => "unhashed",
            Self::Contradictory { .. } => "contradictory",
            Self::False { .. } => "false",
            Self::Pruned { .. } => "pruned",
            Self::NoMethod { .. } => "no_method",
            Self::Revert { .. } => "revert",
            Self::Other { .. } => "other",
        }
    }
}

/// No answer at all, or not all of it.
pub(super) fn from_net(method: &'static str, error: &net::Error, url: &Url) -> RpcError {
    let message = without_secrets(&error.to_string(), url);
    match error {
        net::Error::TooLarge { .. } if method == "eth_getLogs" => RpcError::RangeTooLarge {
            hint: None,
            message,
        },
        net::Error::Config(_) => RpcError::Other {
            kind: Kind::Invalid,
            code: None,
            message,
        },
        _ => RpcError::Unavailable { message },
    }
}

/// A body with a success status that is no JSON-RPC response: a web page, or an answer that some
/// proxy cut short.
pub(super) fn from_body(body: &[u8], url: &Url) -> RpcError {
    let start = start_of(body);
    if start.starts_with(['{', '[']) && serde_json::from_slice::<IgnoredAny>(body).is_err() {
        return RpcError::Unavailable {
            message: "the answer is cut short".to_owned(),
        };
    }
    not_an_rpc(&start, url)
}

/// A failure status. What a body says in JSON-RPC counts, whatever its label; but a status that says
/// "not now" is believed, too.
pub(super) fn from_status(method: &'static str, reply: &Reply, url: &Url) -> RpcError {
    let said = serde_json::from_slice::<Response<IgnoredAny>>(&reply.bytes)
        .ok()
        .and_then(|response| response.error);
    let error = said.map(|failure| from_failure(method, &failure));
    let message = match &error {
        Some(error) => error.to_string(),
        None => start_of(&reply.bytes),
    };
    let message = format!("status {} {message}", reply.status);
    let message = without_secrets(message.trim_end(), url);
    let retry_after = reply.retry_after.map(|wait| wait.min(LONGEST_WAIT));
    match (reply.status, error) {
        (_, Some(range @ RpcError::RangeTooLarge { .. })) => range,
        (429, error) => RpcError::Limited {
            retry_after: retry_after.or_else(|| error?.retry_after()),
            message,
        },
        (503, None) if retry_after.is_some() => RpcError::Limited {
            retry_after,
            message,
        },
        (408 | 500..=599, None | Some(RpcError::Other { .. })) => RpcError::Unavailable { message },
        (_, Some(error)) => error,
        (401 | 403, None) => RpcError::Other {
            kind: Kind::Denied,
            code: None,
            message,
        },
        (_, None) => not_an_rpc(&message, url),
    }
}

/// How a body begins, as text.
fn start_of(body: &[u8]) -> String {
    let start = &body[..body.len().min(2_000)];
    shortened(&String::from_utf8_lossy(start))
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
