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
    /// How many bundles of 256 entries are looked through every ten seconds; 0: none, and no blocks.
    pub scrub_bundles: u64,
    /// Most entries that may wait for their seal: beyond, chains are not read on and writes are refused.
    pub max_queued: u64,
    /// Where checkpoints are anchored.
    pub anchor: AnchorConfig,
}

/// Section `journal.anchor`: anchoring goes on where node, contract and key are named.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnchorConfig {
    /// The node, by its URL.
    pub rpc: Option<String>,
    /// The `AuditAnchor` contract on its chain.
    pub contract: Option<String>,
    /// The key of the account that sends and pays; below the data directory unless absolute.
    pub key_file: Option<PathBuf>,
    /// Opens the key, where it is a keystore.
    pub password: Option<String>,
    /// The least time between two anchors.
    pub interval_seconds: u64,
    /// After so long the same head is anchored again; 0: never.
    pub heartbeat_seconds: u64,
    /// The most that 24 hours may cost, in gwei (a thousand-millionth of the chain's coin).
    pub daily_budget_gwei: u64,
    /// Blocks behind the head that count as settled. Absent: the node's `finalized` block.
    pub settled_depth: Option<u64>,
    /// How long a transaction may wait until it is replaced by one that pays more.
    pub patience_seconds: u64,
    /// Whether `up` anchors on its dev chain.
    pub dev_chain: bool,
}

impl Default for AnchorConfig {
    fn default() -> Self {
        Self {
            rpc: None,
            contract: None,
            key_file: None,
            password: None,
            interval_seconds: 3_600,
            heartbeat_seconds: 86_400,
            daily_budget_gwei: 10_000_000,
            settled_depth: None,
            patience_seconds: 300,
            dev_chain: true,
        }
    }
}

impl AnchorConfig {
    /// Whether anchoring is configured. Errors, in words, where only a part of it is.
    pub fn is_on(&self) -> Result<bool, String> {
        let named = [
            ("rpc", self.rpc.is_some()),
            ("contract", self.contract.is_some()),
            ("key_file", self.key_file.is_some()),
        ];
        let missing: Vec<&str> = named
            .iter()
            .filter(|(_, is_named)| !is_named)
            .map(|(name, _)| *name)
            .collect();
        match missing.len() {
            0 => Ok(true),
            3 => Ok(false),
            _ => Err(format!(
                "anchoring needs rpc, contract and key_file; missing: {}",
                missing.join(", ")
            )),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key_file: PathBuf::from("journal.key"),
            origin: None,
            scrub_bundles: 4,
            max_queued: 1_000_000,
            anchor: AnchorConfig::default(),
        }
    }
}
