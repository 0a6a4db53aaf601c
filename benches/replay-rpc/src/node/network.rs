//! The chain that several providers serve, and the news of it.

use std::sync::{Arc, RwLock, RwLockReadGuard};

use tokio::sync::broadcast;

use super::{chain::Chain, faults::Faults, provider::Provider};
use crate::model::Block;

/// One change of the canonical chain.
#[derive(Debug, Clone)]
pub struct Change {
    /// Blocks that are canonical no more, in ascending order.
    pub removed: Vec<Arc<Block>>,
    /// Blocks that are canonical from now on, in ascending order.
    pub added: Vec<Arc<Block>>,
}

/// A chain that is served. Clones are the same network.
#[derive(Debug, Clone)]
pub struct Network {
    chain: Arc<RwLock<Chain>>,
    news: broadcast::Sender<Change>,
}

/// Subscribers that are further behind miss news, as they do at a real node.
const NEWS_KEPT: usize = 4096;

impl Network {
    /// Everybody's chain.
    pub fn new(chain: Chain) -> Self {
        Self {
            chain: Arc::new(RwLock::new(chain)),
            news: broadcast::channel(NEWS_KEPT).0,
        }
    }

    /// The chain as it is now.
    pub fn chain(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes the chain, and tells subscribers.
    pub fn change<T>(&self, change: impl FnOnce(&mut Chain) -> T) -> T {
        let (given, changes) = {
            let mut chain = self
                .chain
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let given = change(&mut chain);
            (given, std::mem::take(&mut chain.changes))
        };
        for change in changes {
            // Nobody may listen.
            let _ = self.news.send(change);
        }
        given
    }

    /// Starts a provider of this network at a free port of loopback.
    ///
    /// # Errors
    /// Where no socket or thread is to be had.
    pub fn provider(&self, faults: Faults) -> std::io::Result<Provider> {
        Provider::start(self.clone(), ([127, 0, 0, 1], 0).into(), faults)
    }

    pub(super) fn news(&self) -> broadcast::Receiver<Change> {
        self.news.subscribe()
    }
}
