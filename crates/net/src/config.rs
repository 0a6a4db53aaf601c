//! The configuration section `net`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// No configuration may let a stranger's answer be larger than this, in bytes.
pub const HARD_MAX_BYTES: usize = 5 * 1024 * 1024;

/// How [`crate::Fetcher`] goes out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long a connection may take to open, in seconds.
    pub connect_timeout_seconds: u64,
    /// How long a fetch may take in all, redirects and body included, in seconds.
    pub timeout_seconds: u64,
    /// The most that is read of an answer, decoded, in bytes; at most 5 MiB.
    pub max_bytes: usize,
    /// `host:port` pairs that may be reached although they are private, on another port than 443
    /// or by plain http. For tests and for services of one's own network; hosts are compared as
    /// written, never resolved.
    pub allow: Vec<String>,
    /// A gateway on our own side, `http://host:port`, through which all fetches for strangers'
    /// addresses leave: `GET https://host/path HTTP/1.1`, with TLS spoken by it. It is trusted, and
    /// resolving names is its business, with keeping private addresses out. What `allow` names is
    /// reached without it.
    pub egress: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout_seconds: 5,
            timeout_seconds: 10,
            max_bytes: 1024 * 1024,
            allow: Vec::new(),
            egress: None,
        }
    }
}

impl Config {
    /// Time for a connection to open.
    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_seconds)
    }

    /// Time for everything.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }

    /// Refuses what cannot be meant.
    pub(crate) fn check(&self) -> Result<()> {
        if self.connect_timeout_seconds == 0 || self.timeout_seconds == 0 {
            return Err(Error::Config(
                "net: a timeout of 0 seconds lets nothing through".into(),
            ));
        }
        if self.max_bytes > HARD_MAX_BYTES {
            return Err(Error::Config(format!(
                "net.max_bytes is {}, but must be at most {HARD_MAX_BYTES}",
                self.max_bytes
            )));
        }
        Ok(())
    }
}
