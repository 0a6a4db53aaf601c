//! What goes wrong when the journal is mirrored or anchored.

use kernel::{Address, B256, Kind};

/// Result of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure; the mirror catches up at its next round.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The blockstore or Kubo.
    #[error(transparent)]
    Content(Box<content::Error>),
    /// The node that anchors go to.
    #[error("the node that anchors go to: {0}")]
    Rpc(#[from] chain::RpcError),
    /// The transaction of an anchor.
    #[error("the transaction of an anchor: {0}")]
    Send(#[from] chain::SendError),
    /// More of this journal is anchored than the database has.
    #[error(
        "the contract {contract} on chain {chain} holds a head of {anchored} entries of this journal, but this \
         database has only {ours} sealed: it was restored from an older dump, or is not this journal's. To go on would \
         fork the journal. Restore the newest database; where that is lost for ever, begin a new journal: a new \
         database, and another key at journal.key_file"
    )]
    Behind {
        /// The contract.
        contract: Address,
        /// Its chain.
        chain: u64,
        /// Entries of the anchored head.
        anchored: u64,
        /// Entries that are sealed here.
        ours: u64,
    },
    /// Another log of this name is anchored.
    #[error(
        "the contract {contract} on chain {chain} holds another root of the first {size} entries of this journal than \
         this database has ({anchored} and {ours}): it was restored from an older dump and went on from there, or two \
         databases were sealed with one key. Restore the database whose entries are anchored; where that is lost for \
         ever, begin a new journal: a new database, and another key at journal.key_file"
    )]
    Forked {
        /// The contract.
        contract: Address,
        /// Its chain.
        chain: u64,
        /// Entries of the anchored head.
        size: u64,
        /// Its root.
        anchored: B256,
        /// The root of as many entries here.
        ours: B256,
    },
    /// A stored name is no CID, a manifest cannot be encoded, or what is written down of anchors makes no sense.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Rpc(error) => error.kind(),
            Self::Send(error) => error.kind(),
            Self::Behind { .. } | Self::Forked { .. } => Kind::Conflict,
            Self::Internal(_) => Kind::Internal,
        }
    }

    /// Whether the body of an archived entry could not be had.
    pub(crate) fn is_archived(&self) -> bool {
        let (Self::Store(error) | Self::Journal(journal::Error::Store(error))) = self else {
            return false;
        };
        matches!(error, store::Error::Archived { .. })
    }

    /// Whether nothing must go on: what is anchored or published is not the beginning of our log.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Behind { .. }
                | Self::Forked { .. }
                | Self::Journal(journal::Error::Behind { .. } | journal::Error::Forked { .. })
        )
    }

    /// Whether Kubo, or who answers in its place, answered and will say no more when it is asked again.
    pub fn is_kubos_no(&self) -> bool {
        matches!(self, Self::Content(error) if !error.kind().is_transient())
    }
}

// By hand, because the error is boxed: it is large, and every result here would be.
impl From<content::Error> for Error {
    fn from(error: content::Error) -> Self {
        Self::Content(Box::new(error))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
