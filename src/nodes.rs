//! The nodes that can be asked for a chain: to prepare transactions and to relay them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use chain::Rpc;
use indexer::ChainConfig;

use crate::indexing;

/// Nodes by the chain that they serve. The role `index` puts those that it follows; a process
/// without that role connects when it is asked.
#[derive(Debug, Default)]
pub struct Nodes {
    known: Mutex<BTreeMap<u64, Rpc>>,
}

impl Nodes {
    /// From now on this node is asked for its chain.
    pub fn put(&self, rpc: &Rpc) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(rpc.chain(), rpc.clone());
    }

    /// The node of a chain; without a chain, the only node that there is.
    pub async fn find(&self, chain: Option<u64>, configured: &[ChainConfig]) -> Option<Rpc> {
        if let Some(rpc) = self.known(chain) {
            return Some(rpc);
        }
        for url in configured.iter().flat_map(|chain| &chain.rpc) {
            if let Ok(rpc) = indexing::connect(url).await
                && self.known(Some(rpc.chain())).is_none()
            {
                self.put(&rpc);
            }
        }
        self.known(chain)
    }

    fn known(&self, chain: Option<u64>) -> Option<Rpc> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match chain {
            Some(chain) => known.get(&chain).cloned(),
            None if known.len() == 1 => known.values().next().cloned(),
            None => None,
        }
    }
}
