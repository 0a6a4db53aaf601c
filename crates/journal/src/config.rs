//! Configuration of the journal.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Section `journal`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The signing key's file, shared by all nodes; below the data directory unless absolute.
    pub key_file: PathBuf,
    /// The checkpoint's origin line; fixed at the first seal. Absent: `chancery.local/<key hash>`.
    pub origin: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key_file: PathBuf::from("journal.key"),
            origin: None,
        }
    }
}
