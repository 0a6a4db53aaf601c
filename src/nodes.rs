//! The nodes that can be asked for a chain: to prepare transactions and to relay them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use chain::Rpc;
use chrono::{DateTime, TimeDelta, Utc};
use indexer::{Config, Providers};
use store::Clock;

/// After nobody knew a chain, nobody is looked for so long: whoever signs nothing may name chains, too.
const AGAIN: TimeDelta = TimeDelta::seconds(5);

/// Providers by the chain that they serve. The role `index` puts those that it follows; a process
/// without that role connects when it is asked.
#[derive(Debug)]
pub struct Nodes {
    known: Mutex<BTreeMap<u64, Providers>>,
    clock: Clock,
    /// When all that are configured were connected to last. One looks, the others wait for what he finds.
    looked: tokio::sync::Mutex<Option<DateTime<Utc>>>,
}

impl Nodes {
    /// None yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            known: Mutex::default(),
            clock,
            looked: tokio::sync::Mutex::default(),
        }
    }

    /// From now on these are asked for their chain.
    pub fn put(&self, providers: &Providers) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(providers.chain(), providers.clone());
    }

    /// The best node of a chain; without a chain, of the only one that there is.
    pub async fn find(&self, chain: Option<u64>, config: &Config) -> Option<Rpc> {
        if let Some(rpc) = self.known(chain) {
            return Some(rpc);
        }
        let mut looked = self.looked.lock().await;
        let since = looked.map(|at| self.clock.now() - at);
        if since.is_some_and(|since| (TimeDelta::zero()..AGAIN).contains(&since)) {
            return self.known(chain);
        }
        // Who asked may go away meanwhile: he looked all the same.
        *looked = Some(self.clock.now());
        for configured in &config.chains {
            if let Ok(providers) = Providers::connect(config, configured).await
                && self.known(Some(providers.chain())).is_none()
            {
                self.put(&providers);
            }
        }
        *looked = Some(self.clock.now());
        self.known(chain)
    }

    fn known(&self, chain: Option<u64>) -> Option<Rpc> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let providers = match chain {
            Some(chain) => known.get(&chain),
            None if known.len() == 1 => known.values().next(),
            None => None,
        };
        providers?.node().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use indexer::ChainConfig;
    use tokio::net::TcpListener;

    use super::*;

    /// A node that hangs up: its URL, and how often it was called.
    async fn rude() -> anyhow::Result<(String, Arc<AtomicUsize>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let calls = Arc::new(AtomicUsize::new(0));
        let count = calls.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, SeqCst);
                drop(stream);
            }
        });
        Ok((url, calls))
    }

    #[tokio::test]
    async fn whoever_names_unknown_chains_makes_one_look_and_no_more() -> anyhow::Result<()> {
        let (url, calls) = rude().await?;
        let configured = ChainConfig {
            rpc: vec![url],
            ..ChainConfig::default()
        };
        let config = Config {
            provider_timeout_seconds: 1,
            chains: vec![configured],
            ..Config::default()
        };
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let nodes = Nodes::new(clock.clone());
        let (one, other) = tokio::join!(nodes.find(Some(7), &config), nodes.find(Some(8), &config));
        assert!(one.is_none() && other.is_none());
        let first = calls.load(SeqCst);
        assert!(first > 0, "somebody looked");
        for chain in [None, Some(7), Some(9), Some(10)] {
            clock.advance(TimeDelta::seconds(1));
            assert!(nodes.find(chain, &config).await.is_none());
        }
        assert_eq!(calls.load(SeqCst), first, "nobody looked again");
        clock.advance(AGAIN);
        assert!(nodes.find(Some(7), &config).await.is_none());
        assert!(calls.load(SeqCst) > first, "a node may have come back");
        Ok(())
    }
}
