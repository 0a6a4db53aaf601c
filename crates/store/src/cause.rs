//! Why a write happens.

use std::fmt;

use kernel::Principal;

/// The default cause of what a transaction writes. Facts carry their own, finer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A step of a chain: its id and the highest block of the step.
    Block {
        /// EIP-155 chain id.
        chain: u64,
        /// Number of the step's highest block.
        number: u64,
    },
    /// A request of a principal.
    Request(Principal),
    /// Our own work, by the job's kind.
    Job(&'static str),
    /// Another instance, by its id.
    Peer(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block { chain, number } => write!(f, "block:{chain}:{number}"),
            Self::Request(principal) => write!(f, "request:{principal}"),
            Self::Job(kind) => write!(f, "job:{kind}"),
            Self::Peer(id) => write!(f, "peer:{id}"),
        }
    }
}
