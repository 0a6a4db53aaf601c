//! What goes wrong with content.

use std::{io, path::PathBuf};

use kernel::{Cid, Kind};

/// Result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, told apart by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no CID.
    #[error("`{0}` is no CID")]
    NoCid(String),
    /// What is named or stored is of a kind that we do not read; the text names it.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// The bytes hash to something else than their CID. Nothing of them is kept.
    #[error("{from} gave bytes that are not {cid}")]
    Mismatch {
        /// What was asked for.
        cid: Cid,
        /// Who gave the bytes.
        from: String,
    },
    /// A verified block, a CAR or a data: URI that does not keep its format.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A verified directory that has no such entry.
    #[error("no `{path}` in {root}")]
    NoSuchPath {
        /// Where the path begins.
        root: Cid,
        /// What was looked for.
        path: String,
    },
    /// More than the limit, in bytes or blocks.
    #[error("larger than {limit}")]
    TooLarge {
        /// The limit with its unit.
        limit: String,
    },
    /// A block that no source has at the moment.
    #[error("block {0} was not found")]
    Missing(Cid),
    /// A source that gave wrong bytes and is not asked for a while; its name.
    #[error("{0} is not asked for a while: it gave wrong bytes")]
    Shut(String),
    /// Our own disk gave other bytes than were stored. The block can be put again.
    #[error("block {cid} is corrupt in {segment}")]
    Corrupt {
        /// What was asked for.
        cid: Cid,
        /// The file that holds the bytes.
        segment: String,
    },
    /// Another process has the blockstore open.
    #[error("the blockstore {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The disk refused something.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// Kubo answered with an error; its three fields.
    #[error("Kubo: {message}")]
    Kubo {
        /// `Message`, or the beginning of an answer that is not JSON.
        message: String,
        /// `Code`: 0 normal, 1 client, 2 not implemented, 3 rate limited, 4 forbidden.
        code: i64,
        /// The HTTP status.
        status: u16,
    },
    /// The way out failed.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The configuration is wrong; the text names the key.
    #[error("{0}")]
    Config(String),
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NoCid(_)
            | Self::Unsupported(_)
            | Self::Malformed(_)
            | Self::TooLarge { .. }
            | Self::Config(_) => Kind::Invalid,
            Self::NoSuchPath { .. } => Kind::NotFound,
            // Another source, or the same one later, may have the right bytes.
            Self::Mismatch { .. } | Self::Missing(_) | Self::Shut(_) => Kind::Unavailable,
            Self::InUse(_) => Kind::Conflict,
            Self::Corrupt { .. } => Kind::Internal,
            Self::Io { error, .. } => match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Unavailable,
                _ => Kind::Internal,
            },
            Self::Kubo { code, status, .. } => match (status, code) {
                (401 | 403, _) | (_, 4) => Kind::Denied,
                (400 | 404 | 405, _) | (_, 1 | 2) => Kind::Invalid,
                (429, _) | (_, 3) => Kind::Limited,
                _ => Kind::Unavailable,
            },
            Self::Net(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }

    /// What a source says of a block that gave this answer in place of it.
    pub(crate) fn says(&self) -> Says {
        match self {
            Self::Missing(_) | Self::Mismatch { .. } | Self::Net(net::Error::Status(404 | 410)) => {
                Says::NotThere
            }
            Self::Net(net::Error::Status(504)) => Says::SearchEnded,
            // Kubo tells all of it with this status, and has only words for it: of its own store, and of its network.
            Self::Kubo {
                message,
                status: 500,
                ..
            } => {
                let has = |words: &str| message.contains(words);
                if has("not find") || has("not found") {
                    Says::NotThere
                } else if has("deadline exceeded") {
                    Says::SearchEnded
                } else {
                    Says::Nothing
                }
            }
            _ => Says::Nothing,
        }
    }
}

/// What a source's answer says of a block that it did not give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// It has it not.
    NotThere,
    /// Its own search of its network came to an end without it, which may be a matter of the moment.
    SearchEnded,
    /// Whether it has it is open.
    Nothing,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
