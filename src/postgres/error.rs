//! Why the private Postgres does not run, each with the way out.

use std::{
    io,
    path::{Path, PathBuf},
};

use kernel::Kind;

use crate::data_dir;

/// A failure of the private cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server is installed.
    #[error(
        "no Postgres server (initdb, postgres) was found, searched {searched}.\n\
         Install one:\n  Debian, Ubuntu:  sudo apt-get install postgresql\n  \
         Fedora:          sudo dnf install postgresql-server\n  \
         macOS:           brew install postgresql@17\n\
         (scripts/setup does it), or set postgres.bin_dir, or use your own database with database.url"
    )]
    NotInstalled {
        /// Where it was searched.
        searched: String,
    },
    /// The data was written by another major version.
    #[error(
        "the private database was written by Postgres {data}, found is only {found}: install Postgres \
         {data}, or set postgres.bin_dir, or move the data with pg_upgrade"
    )]
    Version {
        /// The data's version.
        data: u32,
        /// The versions that are installed.
        found: String,
    },
    /// The user to run as does not exist.
    #[error(
        "Postgres refuses to run as root, and the user `{0}` to run it as does not exist: set postgres.user"
    )]
    NoUser(String),
    /// initdb failed.
    #[error("initdb failed: {0}")]
    Init(String),
    /// The server ended instead of starting.
    #[error("Postgres does not start ({status}); {} ends with:\n{log}", log_file.display())]
    Start {
        /// How it ended.
        status: String,
        /// Where its log is.
        log_file: PathBuf,
        /// Its last lines.
        log: String,
    },
    /// A server of an earlier run does not stop.
    #[error("process {0}, the Postgres of an earlier run on the same data, does not stop")]
    Orphan(i32),
    /// The folder of the socket is not ours.
    #[error("the folder {} for Postgres' socket exists and is not private to the user that runs it", .0.display())]
    Socket(PathBuf),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
    /// The roles or the database could not be made.
    #[error("preparing the private database: {0}")]
    Sql(#[source] sqlx::Error),
    /// The operating system refused something else.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            source,
        }
    }

    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotInstalled { .. } | Self::Version { .. } | Self::NoUser(_) => Kind::Invalid,
            Self::DataDir(error) => error.kind(),
            Self::Start { .. } | Self::Orphan(_) => Kind::Unavailable,
            Self::Init(_) | Self::Socket(_) | Self::Sql(_) | Self::Io { .. } => Kind::Internal,
        }
    }
}
