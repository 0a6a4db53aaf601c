//! What goes wrong between a chain and our ground.

use kernel::Kind;

use crate::config::Wrong;

/// Result of this door.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, told apart by what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Agents.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The node.
    #[error("{}{place}: {error}", known(*chain, " at "))]
    Rpc {
        /// EIP-155 chain id; 0 where no node has said it yet.
        chain: u64,
        /// The node's address without secrets.
        place: String,
        /// What it said.
        error: chain::RpcError,
    },
    /// Another chain is stored under the same id.
    #[error(
        "chain {chain} in this data directory is another one: block {number} is stored as {stored}, \
         but {place} has {found}. Use another data directory (--data-dir), or the chain that was \
         indexed before"
    )]
    OtherChain {
        /// EIP-155 chain id.
        chain: u64,
        /// The block that tells them apart.
        number: u64,
        /// Its hash here.
        stored: String,
        /// Its hash there.
        found: String,
        /// The source.
        place: String,
    },
    /// The chain is kept with another scope.
    #[error(
        "chain {chain} is kept here with sync.scope = \"{stored}\", and was started with \"{asked}\": its rows \
         would not be complete. Start it with \"{stored}\", or use another data directory or database and read \
         the chain anew"
    )]
    OtherScope {
        /// EIP-155 chain id.
        chain: u64,
        /// Its scope here.
        stored: String,
        /// The one that was asked for.
        asked: &'static str,
    },
    /// The chain is kept with other contracts.
    #[error(
        "chain {chain} is kept here with other contracts{}{}: its past was read for the stored ones alone, so rows \
         would be missing. Name exactly the stored ones (--registry; registries, status and vexel of indexer.chains), \
         or use another data directory or database and read the chain anew. If you changed nothing, this release knows \
         other contracts of the chain than the one before",
        listed("new", added),
        listed("no longer named", removed)
    )]
    OtherContracts {
        /// EIP-155 chain id.
        chain: u64,
        /// Kind and address of those that are not stored.
        added: Vec<String>,
        /// Kind and address of those that are stored and were not named.
        removed: Vec<String>,
    },
    /// The chain is kept from another first block on.
    #[error(
        "chain {chain} is kept here from block {stored} on, and was started with first block {asked} (--from-block, \
         from_block of indexer.chains): rows would be missing, or be left over. Leave it out to go on from {stored}, or \
         use another data directory or database and read the chain anew"
    )]
    OtherStart {
        /// EIP-155 chain id.
        chain: u64,
        /// Its first block here.
        stored: u64,
        /// The one that was asked for.
        asked: u64,
    },
    /// The first block to index is not there yet.
    #[error(
        "chain {chain}: its first block to index, {start}, is above the head, block {head}, of {place}: nothing is read \
         until the chain is that far. Is --from-block (from_block of indexer.chains) meant?"
    )]
    AboveHead {
        /// EIP-155 chain id.
        chain: u64,
        /// First block to index.
        start: u64,
        /// The newest block.
        head: u64,
        /// Who says so.
        place: String,
    },
    /// Two entries of the configuration are one chain.
    #[error(
        "chain {chain} at {place} is followed already, at {other}: one chain is one entry of indexer.chains. Name all \
         its nodes there (rpc or providers), and take the other entry away; this one stays halted until then"
    )]
    Twice {
        /// EIP-155 chain id.
        chain: u64,
        /// The second one.
        place: String,
        /// The one that is followed.
        other: String,
    },
    /// A reorg reached below what was told as settled, on a chain that we did not start.
    #[error(
        "chain {chain} was reorganised below settled block {settled} (common block {common}): what \
         was told as settled would change. It stops here; other chains go on. Check the provider; \
         if the reorg is real, start with a new data directory"
    )]
    DeepReorg {
        /// EIP-155 chain id.
        chain: u64,
        /// Deepest settled block.
        settled: u64,
        /// Newest block that both have.
        common: u64,
    },
    /// The configuration or a file is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A task of ours ended before its work was done; the work is done again.
    #[error("a task ended before its work was done: {0}")]
    Ended(#[from] tokio::task::JoinError),
    /// The chain's blocks do not hold together: a reorg happened while they were read.
    #[error("chain {chain} moved while blocks {from}..={to} were read: they are read again")]
    Moved {
        /// EIP-155 chain id.
        chain: u64,
        /// First block.
        from: u64,
        /// Last block.
        to: u64,
    },
    /// Nobody could prove a block's logs.
    #[error(
        "chain {chain}: the logs of block {block} cannot be proven: {place} says that {why}, and no other \
         provider proves them. The chain stops before this block until one does; add a provider \
         (indexer.chains.rpc), or take this one away"
    )]
    Unproven {
        /// EIP-155 chain id.
        chain: u64,
        /// The block.
        block: u64,
        /// Who was asked first.
        place: String,
        /// What was wrong with the answer.
        why: String,
    },
    /// Who was asked to prove blocks again follows another fork, or lies: nothing was changed.
    #[error(
        "chain {chain}: {place} has {found} as block {block}, where {expected} is expected: it follows \
         another fork, or lies; what is stored stays"
    )]
    OtherFork {
        /// EIP-155 chain id.
        chain: u64,
        /// The block.
        block: u64,
        /// Its hash as it is stored, or as our usual providers tell it.
        expected: String,
        /// Its hash there.
        found: String,
        /// Who was asked.
        place: String,
    },
    /// The providers do not agree about the chain, or too few of them answer.
    #[error("{}{what}", known(*chain, ": "))]
    Disagree {
        /// EIP-155 chain id; 0 where no node has said it yet.
        chain: u64,
        /// Who says what.
        what: String,
    },
    /// Another process leads this chain.
    #[error("chain {0} is followed by another process")]
    Led(u64),
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Identity(error) => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::Rpc { error, .. } => error.kind(),
            Self::OtherChain { .. }
            | Self::OtherScope { .. }
            | Self::OtherContracts { .. }
            | Self::OtherStart { .. }
            | Self::Twice { .. }
            | Self::DeepReorg { .. }
            | Self::OtherFork { .. } => Kind::Conflict,
            Self::Invalid(_) => Kind::Invalid,
            Self::Ended(_)
            | Self::AboveHead { .. }
            | Self::Moved { .. }
            | Self::Unproven { .. }
            | Self::Disagree { .. }
            | Self::Led(_) => Kind::Unavailable,
        }
    }

    /// Whether a chain stops for good, until a person does something.
    pub fn halts(&self) -> bool {
        matches!(
            self,
            Self::OtherChain { .. } | Self::DeepReorg { .. } | Self::Invalid(_)
        )
    }
}

/// The chain before what is said of it, where it is known which one it is.
fn known(chain: u64, link: &str) -> String {
    if chain == 0 {
        return String::new();
    }
    format!("chain {chain}{link}")
}

fn listed(what: &str, contracts: &[String]) -> String {
    if contracts.is_empty() {
        return String::new();
    }
    format!("; {what}: {}", contracts.join(", "))
}

impl From<Wrong> for Error {
    fn from(Wrong { key, why }: Wrong) -> Self {
        Self::Invalid(format!("`{key}`: {why}"))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_nobody_knows_yet_is_not_named() {
        for (chain, begins) in [(0, "http://one: "), (7, "chain 7 at http://one: ")] {
            let message = "no answer in time".to_owned();
            let error = Error::Rpc {
                chain,
                place: "http://one".to_owned(),
                error: chain::RpcError::Unavailable { message },
            };
            let text = error.to_string();
            assert!(text.starts_with(begins), "{text}");
        }
        for (chain, text) in [(0, "nobody is left"), (7, "chain 7: nobody is left")] {
            let what = "nobody is left".to_owned();
            assert_eq!(Error::Disagree { chain, what }.to_string(), text);
        }
    }
}
