//! What goes wrong with agents.

use kernel::Kind;

/// Result of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, told apart by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// Fetching or keeping content.
    #[error(transparent)]
    Content(Box<content::Error>),
    /// Nothing has this name.
    #[error("no agent is found under `{0}`")]
    NotFound(String),
    /// Nothing has this name, but files claim it.
    #[error(
        "no agent is found under `{0}`: registration files claim it, which proves nothing; \
         agents are listed by `identifier` to see whose do"
    )]
    Claimed(String),
    /// Whoever asks has no watch of this name.
    #[error("no watch is named `{0}`")]
    NoWatch(String),
    /// The request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The request contradicts what is stored.
    #[error("{0}")]
    Conflict(String),
    /// Whoever signed may not say this.
    #[error("{0}")]
    Denied(String),
    /// An account's signature proves nothing.
    #[error(transparent)]
    Signature(#[from] chain::contract_signature::SignatureError),
    /// Another transaction wrote the same rows first; the whole transaction must be repeated.
    #[error("another transaction wrote the same rows first: try again")]
    Raced,
    /// The rows of so many agents are written, and what the journal is owed of them waits for entries that cannot be
    /// read now.
    #[error("the journal cannot read what it has to take back of {0} agents: they are tried again")]
    PutOff(usize),
    /// The thread that folded agents did not end; a bug, or the process stops.
    #[error("folding agents was broken off: {0}")]
    BrokenOff(#[from] tokio::task::JoinError),
    /// A saved state or answer could not be written; a bug.
    #[error("what is to be kept could not be encoded: {0}")]
    State(#[source] serde_json::Error),
}

impl From<content::Error> for Error {
    fn from(error: content::Error) -> Self {
        Self::Content(Box::new(error))
    }
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::NotFound(_) | Self::Claimed(_) | Self::NoWatch(_) => Kind::NotFound,
            Self::Invalid(_) => Kind::Invalid,
            Self::Conflict(_) => Kind::Conflict,
            Self::Denied(_) => Kind::Denied,
            Self::Signature(error) => error.kind(),
            Self::Raced | Self::PutOff(_) => Kind::Unavailable,
            Self::BrokenOff(_) | Self::State(_) => Kind::Internal,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
