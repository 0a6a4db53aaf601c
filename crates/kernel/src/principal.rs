//! Who asks.

use std::fmt;

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};

/// Whoever stands behind a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Principal {
    /// Holder of the instance's local token, or a person at `psql`.
    Operator,
    /// An Ethereum account that proved itself by a signature.
    Account(Address),
    /// A DID key, or an API key's id.
    Key(String),
    /// Nobody proved anything.
    Anonymous,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator => f.write_str("operator"),
            Self::Account(address) => write!(f, "account:{address:#x}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}
