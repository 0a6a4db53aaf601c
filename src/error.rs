//! The one error of the top floor: it gathers those of the rooms and says their kind.

use kernel::Kind;

use crate::{config, data_dir, devchain, http, postgres};

/// What can go wrong while the house is started, run or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The data directory cannot be used.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
    /// The private Postgres does not run.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The dev chain does not run.
    #[error(transparent)]
    DevChain(#[from] devchain::Error),
    /// The HTTP door does not open.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The database failed or refused.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A chain cannot be opened.
    #[error(transparent)]
    Index(Box<indexer::Error>),
    /// The blockstore or what is fetched into it.
    #[error(transparent)]
    Content(Box<content::Error>),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// Mirroring or anchoring the journal.
    #[error(transparent)]
    Publish(Box<publish::Error>),
    /// The key that pays for anchors.
    #[error("journal.anchor.key_file: {0}")]
    AnchorKey(#[from] chain::key::KeyError),
    /// The operating system refused something that has no better name.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// An operating system's error with what was being done.
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            doing: doing.into(),
            source,
        }
    }

    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Config(_) => Kind::Invalid,
            Self::DataDir(error) => error.kind(),
            Self::Postgres(error) => error.kind(),
            Self::DevChain(error) => error.kind(),
            Self::Http(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Index(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Journal(error) => error.kind(),
            Self::Publish(error) => error.kind(),
            Self::AnchorKey(error) => error.kind(),
            Self::Io { .. } => Kind::Internal,
        }
    }
}

// By hand, because the error is boxed: it is large, and every result here would be.
impl From<indexer::Error> for Error {
    fn from(error: indexer::Error) -> Self {
        Self::Index(Box::new(error))
    }
}

impl From<publish::Error> for Error {
    fn from(error: publish::Error) -> Self {
        Self::Publish(Box::new(error))
    }
}

impl From<content::Error> for Error {
    fn from(error: content::Error) -> Self {
        Self::Content(Box::new(error))
    }
}
