//! What goes wrong when the journal is mirrored.

use kernel::Kind;

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
    Content(#[from] content::Error),
    /// A stored name is no CID, or a manifest cannot be encoded.
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
            Self::Internal(_) => Kind::Internal,
        }
    }
}
