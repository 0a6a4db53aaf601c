//! The configuration section `content`.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Error, Limits, Result};

/// Where content is kept and where it is looked for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether agents' files are fetched and judged. Otherwise their jobs wait.
    pub fetch: bool,
    /// The blockstore's directory, below the data directory unless absolute.
    pub blocks: PathBuf,
    /// Kubo's RPC, `http://127.0.0.1:5001`. Without one, content is kept by the blockstore alone.
    pub kubo_url: Option<String>,
    /// Bearer token for it (Kubo's `API.Authorizations`).
    pub kubo_token: Option<String>,
    /// How long Kubo may take to find a file or to pin one, in seconds.
    pub kubo_timeout_seconds: u64,
    /// Whether the world reads what Kubo pins: then it is where registration files go unless somebody says otherwise.
    pub public_pin: bool,
    /// Trustless gateways, asked in this order after Kubo. https ones must be on the public
    /// internet or on `net.allow`; http ones are taken as they are.
    pub gateways: Vec<String>,
    /// How long one gateway may take for one file, in seconds.
    pub gateway_timeout_seconds: u64,
    /// The longest file that is read from IPFS, in bytes.
    pub max_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fetch: true,
            blocks: PathBuf::from("blocks"),
            kubo_url: None,
            kubo_token: None,
            kubo_timeout_seconds: 10,
            public_pin: false,
            gateways: Vec::new(),
            gateway_timeout_seconds: 10,
            max_bytes: 1024 * 1024,
        }
    }
}

impl Config {
    pub(crate) fn kubo_timeout(&self) -> Duration {
        Duration::from_secs(self.kubo_timeout_seconds)
    }

    pub(crate) fn gateway_timeout(&self) -> Duration {
        Duration::from_secs(self.gateway_timeout_seconds)
    }

    /// What a file of IPFS may cost.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_bytes: self.max_bytes,
            max_blocks: 2048,
            max_depth: 8,
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.kubo_timeout_seconds == 0 || self.gateway_timeout_seconds == 0 {
            return Err(Error::Config(
                "content: a timeout of 0 seconds finds nothing".to_owned(),
            ));
        }
        if self.public_pin && self.kubo_url.is_none() {
            return Err(Error::Config(
                "content.public_pin: without content.kubo_url nothing is pinned".to_owned(),
            ));
        }
        if self.max_bytes > net::HARD_MAX_BYTES {
            let most = net::HARD_MAX_BYTES;
            return Err(Error::Config(format!(
                "content.max_bytes must be at most {most}"
            )));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("blocks", &self.blocks)
            .field("gateways", &self.gateways)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_pin_needs_somebody_who_pins() {
        let mut config = Config {
            public_pin: true,
            ..Config::default()
        };
        let why = config.check().unwrap_err().to_string();
        assert!(why.contains("content.kubo_url"), "{why}");
        config.kubo_url = Some("http://127.0.0.1:5001".to_owned());
        assert!(config.check().is_ok());
    }
}
