//! What can be wrong with a configuration; each message names the key and where it was written.

use std::path::PathBuf;

/// A wrong configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key that nothing reads, which is nearly always a slip.
    #[error("unknown key `{key}` in {origin}{}", nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key as dotted path.
        key: String,
        /// The file or variable that has it.
        origin: String,
        /// The nearest known key.
        nearest: Option<String>,
    },
    /// A secret is given both as itself and as a file.
    #[error("both `{key}` and `{key}_file` are set in {origin}: keep one")]
    Twice {
        /// The secret's key.
        key: String,
        /// Where both stand.
        origin: String,
    },
    /// A secret's file cannot be read.
    #[error("cannot read {} for `{key}`: {source}", path.display())]
    SecretFile {
        /// The secret's key.
        key: String,
        /// The file that it should come from.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no TOML, or a value has the wrong type.
    #[error("{0}")]
    Shape(String),
    /// A value that its section cannot use.
    #[error("`{key}`: {why}")]
    Value {
        /// The key as dotted path.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

impl From<figment::Error> for Error {
    fn from(error: figment::Error) -> Self {
        Self::Shape(error.to_string())
    }
}
