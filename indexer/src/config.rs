//! Configuration of the chains.

use std::num::NonZeroU32;

use chain::preset;
use serde::{Deserialize, Serialize};

/// Section `indexer`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How often the head is looked at, in milliseconds.
    pub poll_ms: u64,
    /// Most logs of one step from a recorded file; a step is one transaction.
    pub step_logs: usize,
    /// Blocks of the first request for logs; halved where a provider refuses, doubled where it does not.
    pub range_blocks: u64,
    /// Blocks behind the head that count as settled where the provider has no `finalized` tag.
    pub settled_depth: u64,
    /// When a backfill's ranges are proven complete: `behind` (they are believed first, and proven from the
    /// head down in the background), `first` (only proven ranges are stored) or `off`.
    pub prove: Prove,
    /// How long a provider may take for one answer, in seconds.
    pub provider_timeout_seconds: u64,
    /// Requests that are under way at one provider at once.
    pub provider_at_once: usize,
    /// Calls that one provider is asked per second, each item of a batch counted; no limit where absent.
    pub provider_calls_per_second: Option<NonZeroU32>,
    /// Whether headers and receipts of live blocks with logs are kept for later proofs.
    pub keep_receipts: bool,
    /// The chains, besides those that flags name.
    pub chains: Vec<ChainConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            poll_ms: 500,
            step_logs: 20_000,
            range_blocks: 2_000,
            settled_depth: 64,
            prove: Prove::Behind,
            provider_timeout_seconds: 30,
            provider_at_once: 8,
            provider_calls_per_second: None,
            keep_receipts: true,
            chains: Vec::new(),
        }
    }
}

/// When a backfill's ranges are proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prove {
    /// Behind the backfill.
    Behind,
    /// Before they are stored.
    First,
    /// Never; live blocks are proven nevertheless.
    Off,
}

/// One chain to follow.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChainConfig {
    /// A preset's name or an EIP-155 id; where absent, the node tells it.
    pub chain: Option<String>,
    /// URLs of providers. All are used: the best one is asked, the others where it fails and for second
    /// opinions.
    pub rpc: Vec<String>,
    /// A node's WebSocket (`ws://` or `wss://`) that tells of new heads, so that they need not be polled for.
    pub ws: Option<String>,
    /// Providers with limits of their own, besides those.
    pub providers: Vec<ProviderConfig>,
    /// How many providers must know a block by its hash before it counts as the head; the majority of
    /// those that answer where absent.
    pub quorum: Option<usize>,
    /// Identity registries; the preset's where absent. Short names belong to the first.
    pub registries: Vec<String>,
    /// `AgentStatus` contracts.
    pub status: Vec<String>,
    /// First block to index; the preset's where absent, else found by looking for the registry's code.
    pub from_block: Option<u64>,
    /// Depth that counts as settled, instead of the provider's `finalized`.
    pub settled_depth: Option<u64>,
}

/// A provider with limits of its own.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderConfig {
    /// Its URL.
    pub url: String,
    /// Instead of `provider_at_once`.
    pub at_once: Option<usize>,
    /// Instead of `provider_calls_per_second`.
    pub calls_per_second: Option<NonZeroU32>,
}

impl ChainConfig {
    /// The id of the chain that is named.
    pub fn id(&self) -> Option<u64> {
        let name = self.chain.as_deref()?;
        preset::by_name(name)
            .map(|preset| preset.id)
            .or_else(|| name.parse().ok())
    }

    /// All providers: `rpc`, then `providers`.
    pub fn all_providers(&self) -> Vec<ProviderConfig> {
        let plain = self.rpc.iter().map(|url| ProviderConfig {
            url: url.clone(),
            ..ProviderConfig::default()
        });
        plain.chain(self.providers.iter().cloned()).collect()
    }
}
