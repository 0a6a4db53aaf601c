//! What goes wrong between us and Postgres.

use kernel::Kind;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// Result of everything that touches the database.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the database, told apart by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database does not answer, is shutting down, or asks for another attempt
    /// (serialization failure 40001, deadlock 40P01).
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// A write raced with another one: a cursor or a lease had moved.
    #[error("{what} moved: expected {expected}, found {found}")]
    Moved {
        /// The cursor's or lease's name.
        what: String,
        /// The position that the writer started from.
        expected: String,
        /// The position that is stored.
        found: String,
    },
    /// It was moved out of the database, and where it went does not give it now.
    #[error("{name} is archived and cannot be read now: {why}")]
    Archived {
        /// Its name there.
        name: String,
        /// What was said of it.
        why: String,
    },
    /// A trigger of ours refused the statement; the text says what would be right.
    #[error("{0}")]
    Refused(String),
    /// Everything else: a bug, or a database that somebody altered.
    #[error("the database refused a statement: {0}")]
    Internal(#[source] sqlx::Error),
    /// A value has no form that the database could hold; a bug.
    #[error("a value cannot be written: {0}")]
    Encoding(String),
    /// A migration failed, or the schema is not the one that this binary knows.
    #[error("{0}")]
    Migration(String),
    /// The configuration of the connection is wrong.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Unavailable(_) | Self::Archived { .. } => Kind::Unavailable,
            Self::Moved { .. } => Kind::Conflict,
            Self::Refused(_) | Self::Config(_) => Kind::Invalid,
            Self::Internal(_) | Self::Encoding(_) | Self::Migration(_) => Kind::Internal,
        }
    }
}

/// SQLSTATE of the exceptions that our own triggers raise (class CH is not taken by Postgres).
const REFUSED: &str = "CH001";

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Protocol(_) => {
                Self::Unavailable(error)
            }
            E::Database(database) => match database.code().as_deref() {
                Some(REFUSED) => Self::Refused(database.message().to_owned()),
                // Serialization failure, deadlock, operator intervention, connection exceptions, no resources
                // (connections, memory, disk).
                Some(code)
                    if ["40001", "40P01"].contains(&code)
                        || ["57P", "08", "53"]
                            .iter()
                            .any(|class| code.starts_with(class))
                        || gave_no_session(database.as_ref(), code) =>
                {
                    Self::Unavailable(error)
                }
                _ => Self::Internal(error),
            },
            _ => Self::Internal(error),
        }
    }
}

/// Whether Postgres ended the session by itself, without a word about why in its code (XX000): so it says that a
/// full disk did not take the catalog's cache file of a new session.
fn gave_no_session(error: &dyn sqlx::error::DatabaseError, code: &str) -> bool {
    let severity = error
        .try_downcast_ref::<PgDatabaseError>()
        .map(PgDatabaseError::severity);
    code == "XX000" && severity.is_some_and(|severity| severity == PgSeverity::Fatal)
}
