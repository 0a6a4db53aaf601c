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
    /// An Ethereum account that proved itself by its key, which is the same on all chains.
    Account(Address),
    /// A contract account whose code said that it signed. That counts on its chain alone: at the same address on
    /// another chain somebody else's contract may be.
    Contract {
        /// EIP-155 id of the chain.
        chain: u64,
        /// The account.
        address: Address,
    },
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
            Self::Contract { chain, address } => {
                write!(f, "account:eip155:{chain}:{address:#x}")
            }
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}
