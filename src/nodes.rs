//! The nodes that can be asked for a chain: to prepare transactions and to relay them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use chain::Rpc;
use indexer::{Config, Providers};

/// Providers by the chain that they serve. The role `index` puts those that it follows; a process
/// without that role connects when it is asked.
#[derive(Debug, Default)]
pub struct Nodes {
    known: Mutex<BTreeMap<u64, Providers>>,
}

impl Nodes {
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
        for configured in &config.chains {
            if let Ok(providers) = Providers::connect(config, configured).await
                && self.known(Some(providers.chain())).is_none()
            {
                self.put(&providers);
            }
        }
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
