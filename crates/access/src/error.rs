//! What goes wrong when somebody asks.

use kernel::Kind;

/// Result of this room.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure. What is refused of a proof says what would be right, and nothing of what is stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What was asked for cannot be meant.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing, or it is somebody else's.
    #[error("{0}")]
    NotFound(String),
    /// It contradicts what is stored.
    #[error("{0}")]
    Conflict(String),
    /// Whoever asks may not do this.
    #[error("{0}")]
    Denied(String),
    /// Who asks did not prove who he is.
    #[error("{0}")]
    Unproven(String),
    /// The system gave no random bytes.
    #[error("no random bytes: {0}")]
    Chance(String),
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Invalid(_) => Kind::Invalid,
            Self::NotFound(_) => Kind::NotFound,
            Self::Conflict(_) => Kind::Conflict,
            Self::Denied(_) | Self::Unproven(_) => Kind::Denied,
            Self::Chance(_) => Kind::Internal,
        }
    }

    /// Whether another proof may help: doors say that differently from what nobody of his sort may do.
    pub fn is_unproven(&self) -> bool {
        matches!(self, Self::Unproven(_))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
