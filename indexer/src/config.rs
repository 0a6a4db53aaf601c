//! Configuration of the chains.

use std::{collections::BTreeSet, num::NonZeroU32};

use chain::preset;
use kernel::Address;
use serde::{Deserialize, Serialize};
use url::Url;

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
    /// VEXEL's contracts: `AgentHeartbeat` and `AgentRegistry`.
    pub vexel: Vec<String>,
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

/// A value that nobody can mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Its key as dotted path, below what was checked.
    pub key: String,
    /// What it is, and what would be right. URLs are not shown: they may hold keys.
    pub why: String,
}

impl Wrong {
    fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        let (key, why) = (key.into(), why.into());
        Self { key, why }
    }

    fn below(self, parent: &str) -> Self {
        Self::new(format!("{parent}.{}", self.key), self.why)
    }
}

impl Config {
    /// Checks what types cannot, without asking anybody.
    pub fn check(&self) -> Result<(), Wrong> {
        let whole = |number: usize| number as u64;
        for (key, value) in [
            ("poll_ms", self.poll_ms),
            ("step_logs", whole(self.step_logs)),
            ("range_blocks", self.range_blocks),
            ("provider_timeout_seconds", self.provider_timeout_seconds),
            ("provider_at_once", whole(self.provider_at_once)),
        ] {
            if value == 0 {
                return Err(Wrong::new(key, "0 is none: at least 1 is needed"));
            }
        }
        let mut known: Vec<(u64, usize)> = Vec::new();
        for (place, chain) in self.chains.iter().enumerate() {
            let key = format!("chains[{place}]");
            chain.check().map_err(|wrong| wrong.below(&key))?;
            let Some(id) = chain.id() else { continue };
            if let Some((_, first)) = known.iter().find(|(other, _)| *other == id) {
                let why = format!(
                    "chain {id} is chains[{first}] already: one chain is one entry, name all its nodes there"
                );
                return Err(Wrong::new(format!("{key}.chain"), why));
            }
            known.push((id, place));
        }
        Ok(())
    }
}

impl ChainConfig {
    /// Checks what types cannot, without asking anybody.
    pub fn check(&self) -> Result<(), Wrong> {
        if let (Some(wanted), None) = (&self.chain, self.id()) {
            let why = format!("`{wanted}` is no chain that is known by name: give its EIP-155 id");
            return Err(Wrong::new("chain", why));
        }
        let nodes = self.nodes()?;
        let mut urls = BTreeSet::new();
        if let Some((url, _)) = nodes.iter().find(|(url, _)| !urls.insert(url.clone())) {
            // A node that is asked twice would agree with itself.
            let place = url.origin().ascii_serialization();
            let why =
                format!("a node at {place} is named twice: name each once, in rpc or in providers");
            return Err(Wrong::new("rpc", why));
        }
        let count = nodes.len();
        if count == 0 {
            let why = "the chain has no node: name at least one URL here, or in providers";
            return Err(Wrong::new("rpc", why));
        }
        for (place, provider) in self.providers.iter().enumerate() {
            if provider.at_once == Some(0) {
                let why = "0 is none: at least 1 is needed";
                return Err(Wrong::new(format!("providers[{place}].at_once"), why));
            }
        }
        if let Some(ws) = &self.ws {
            check_url("ws", ws, ["ws", "wss"])?;
        }
        if let Some(quorum) = self.quorum.filter(|quorum| !(1..=count).contains(quorum)) {
            let why = format!("{quorum} of {count} providers: 1 to {count} is possible");
            return Err(Wrong::new("quorum", why));
        }
        let identity = self.identity()?;
        let status = self.status()?;
        let twice = |address: &&Address| identity.contains(address);
        if let Some(address) = status.iter().find(twice) {
            let why = format!("{address} is named as a registry, too: it is one of both");
            return Err(Wrong::new("status", why));
        }
        let twice = |address: &&Address| identity.contains(address) || status.contains(address);
        match self.vexel()?.iter().find(twice) {
            None => Ok(()),
            Some(address) => {
                let why = format!("{address} is named as another contract, too: it is one of them");
                Err(Wrong::new("vexel", why))
            }
        }
    }

    /// The identity registries that are named.
    pub(crate) fn identity(&self) -> Result<Vec<Address>, Wrong> {
        addresses("registries", &self.registries)
    }

    /// The status contracts that are named.
    pub(crate) fn status(&self) -> Result<Vec<Address>, Wrong> {
        addresses("status", &self.status)
    }

    /// The contracts of VEXEL's that are named.
    pub(crate) fn vexel(&self) -> Result<Vec<Address>, Wrong> {
        addresses("vexel", &self.vexel)
    }

    /// The id of the chain that is named.
    pub fn id(&self) -> Option<u64> {
        let name = self.chain.as_deref()?;
        preset::by_name(name)
            .map(|preset| preset.id)
            .or_else(|| name.parse().ok())
    }

    /// All providers with their URLs: `rpc`, then `providers`.
    pub(crate) fn nodes(&self) -> Result<Vec<(Url, ProviderConfig)>, Wrong> {
        let plain = self.rpc.iter().map(|url| ProviderConfig {
            url: url.clone(),
            ..ProviderConfig::default()
        });
        let plain = plain.enumerate().map(|(n, one)| (format!("rpc[{n}]"), one));
        let limited = self.providers.iter().cloned().enumerate();
        let limited = limited.map(|(n, one)| (format!("providers[{n}].url"), one));
        let read = |(key, provider): (String, ProviderConfig)| {
            Ok((check_url(&key, &provider.url, ["http", "https"])?, provider))
        };
        plain.chain(limited).map(read).collect()
    }
}

fn addresses(key: &str, texts: &[String]) -> Result<Vec<Address>, Wrong> {
    let parse = |(place, text): (usize, &String)| {
        text.parse().map_err(|_| {
            let why = format!("`{text}` is no address: expected 0x and 40 hex digits");
            Wrong::new(format!("{key}[{place}]"), why)
        })
    };
    texts.iter().enumerate().map(parse).collect()
}

fn check_url(key: &str, text: &str, schemes: [&str; 2]) -> Result<Url, Wrong> {
    let [plain, tls] = schemes;
    let expected = format!("expected {plain}:// or {tls}:// and a host");
    match Url::parse(text) {
        Ok(url) if schemes.contains(&url.scheme()) => Ok(url),
        Ok(url) => {
            let why = format!("its URL begins with `{}:`; {expected}", url.scheme());
            Err(Wrong::new(key, why))
        }
        Err(error) => Err(Wrong::new(
            key,
            format!("it is no URL ({error}); {expected}"),
        )),
    }
}
