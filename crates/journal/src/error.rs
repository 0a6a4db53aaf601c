//! What goes wrong in the journal.

use kernel::Kind;

use crate::{bundle::VerifyError, key::KeyError};

/// Result of everything in the journal.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the journal, told apart by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Bytes that are no entry, or a change that an entry cannot hold.
    #[error(transparent)]
    Entry(#[from] crate::entry::EntryError),
    /// The signing key's file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A proof that does not verify.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Another transaction appended to the same chain first; the whole transaction must be repeated.
    #[error("another transaction appended to the same chain of entries first: try again")]
    Clash,
    /// Another sealer sealed first; the next round goes on from there.
    #[error("another process sealed first: try again")]
    Raced,
    /// More entries wait for their seal than may.
    #[error(
        "{waiting} entries wait to be sealed, and more than {most} may not (journal.max_queued): try again later; if \
         nothing seals, a process with the role `work` is missing"
    )]
    Full {
        /// How many wait.
        waiting: u64,
        /// How many may.
        most: u64,
    },
    /// Nothing of that name.
    #[error("{0} not found")]
    NotFound(String),
    /// The entry exists but has no leaf yet, so that nothing can be proven about it.
    #[error("entry {0} is queued and not sealed yet: it can be proven after the next checkpoint")]
    NotSealed(String),
    /// A size, index or cursor that the log does not have.
    #[error("{0}")]
    Range(String),
    /// The configured key or origin is not the one that this journal was begun with.
    #[error(
        "this journal was begun as `{stored_origin}` with the key {stored_vkey}, but the configuration gives \
         `{origin}` with the key {vkey}: put the first key file back at journal.key_file and remove or \
         correct journal.origin, or begin a new journal in a new database"
    )]
    OtherIdentity {
        /// Origin at the first seal.
        stored_origin: String,
        /// Verifier key at the first seal.
        stored_vkey: String,
        /// Origin that is configured now.
        origin: String,
        /// Verifier key of the key file now.
        vkey: String,
    },
    /// The database has less than what was shown or published.
    #[error(
        "{witness} a head of {kept} entries of this journal, but the database has only {ours} sealed: it was restored \
         from an older dump. To go on would fork the journal. Restore the newest database; where that is lost for \
         ever, begin a new journal: a new database, and another key at journal.key_file"
    )]
    Behind {
        /// Who has the head: "this instance has shown".
        witness: String,
        /// Entries of the head.
        kept: u64,
        /// Entries that are sealed here.
        ours: u64,
    },
    /// The database has another log than what was shown or published.
    #[error(
        "{witness} a head of the first {size} entries of this journal that the database does not have: it was restored \
         from an older dump and went on from there, or two databases were sealed with one key. Restore the database \
         that has it; where that is lost for ever, begin a new journal: a new database, and another key at \
         journal.key_file"
    )]
    Forked {
        /// Who has the head: "this instance has shown".
        witness: String,
        /// Entries of the head.
        size: u64,
    },
    /// What is stored contradicts itself: somebody altered it, or a disk did.
    #[error("the stored journal is damaged: {0}")]
    Damaged(String),
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Key(error) => error.kind(),
            Self::Clash | Self::Raced => Kind::Unavailable,
            Self::Full { .. } => Kind::Limited,
            Self::NotFound(_) => Kind::NotFound,
            Self::NotSealed(_) | Self::Behind { .. } | Self::Forked { .. } => Kind::Conflict,
            Self::Entry(_) | Self::Verify(_) | Self::Range(_) | Self::OtherIdentity { .. } => {
                Kind::Invalid
            }
            Self::Damaged(_) => Kind::Internal,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// The name of the unique constraint that refused an insert.
pub(crate) fn violated(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(database) if database.is_unique_violation() => database.constraint(),
        _ => None,
    }
}
