//! The chain that several providers serve, and the news of it.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use alloy_primitives::{Address, B256, Bytes};

use tokio::sync::broadcast;

use super::{chain::Chain, faults::Faults, provider::Provider};
use crate::{
    model::{Block, Draft},
    workload::{Params, REGISTRY, Truth, Workload},
};

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
    miner: Arc<Mutex<Miner>>,
}

/// Where the blocks come from that the experimenter asks for without saying what is in them.
#[derive(Debug)]
struct Miner {
    /// None: they are empty.
    workload: Option<Workload>,
    /// The block that the workload stands at.
    at: B256,
    /// Forks made so far: each has another salt.
    forks: u64,
}

/// Subscribers that are further behind miss news, as they do at a real node.
const NEWS_KEPT: usize = 4096;

impl Network {
    /// Everybody's chain.
    pub fn new(chain: Chain) -> Self {
        Self::with_miner(chain, None)
    }

    /// The standard workload, its blocks up to `head`; [`Self::mine`] and [`Self::fork`] go on with it.
    pub fn of_workload(params: Params, head: u64) -> Self {
        let mut workload = Workload::new(params);
        let mut chain = Chain::new(params.spec(), workload.draft(0));
        for _ in 0..head {
            chain.extend(workload.draft(0));
        }
        // STOP: it is enough that there is code.
        chain.set_code(REGISTRY, 0, Bytes::from_static(&[0]));
        Self::with_miner(chain, Some(workload))
    }

    fn with_miner(mut chain: Chain, workload: Option<Workload>) -> Self {
        // What happened before anybody could listen is no news.
        chain.changes.clear();
        let miner = Miner {
            workload,
            at: chain.head().hash,
            forks: 0,
        };
        Self {
            chain: Arc::new(RwLock::new(chain)),
            news: broadcast::channel(NEWS_KEPT).0,
            miner: Arc::new(Mutex::new(miner)),
        }
    }

    /// Adds `count` blocks, each announced when it is there: the workload's next ones, else empty ones.
    pub fn mine(&self, count: u64) {
        let mut miner = self.miner();
        for _ in 0..count {
            let head = Arc::clone(self.chain().head());
            let draft = miner.draft(self, &head, 0);
            miner.at = self.change(|chain| chain.extend(draft)).hash;
        }
    }

    /// Replaces the newest `depth` blocks by `count` others.
    pub fn fork(&self, depth: u64, count: u64) {
        let mut miner = self.miner();
        miner.forks += 1;
        let salt = miner.forks;
        let mut tip = {
            let chain = self.chain();
            let fork = chain.head().number().saturating_sub(depth);
            chain.block(fork).map(Arc::clone)
        };
        for _ in 0..count {
            let Some(parent) = tip else { return };
            let draft = miner.draft(self, &parent, salt);
            // Aside, so that nobody sees half a fork.
            let block = self.change(|chain| chain.seal_on(&parent, draft));
            miner.at = block.hash;
            tip = Some(block);
        }
        if let Some(tip) = tip {
            self.change(|chain| chain.switch_to(tip.hash));
        }
    }

    /// What an index of the canonical chain up to a block must end in; nothing where the blocks are
    /// no workload's.
    pub fn truth(&self, block: u64) -> Option<Truth> {
        let params = self.miner().workload.as_ref()?.params();
        let block = Arc::clone(self.chain().block(block)?);
        let salts = self.salts_to(&block);
        Some(Workload::after(params, salts).truth())
    }

    /// Salts of the branch that ends in a block, the genesis' first.
    fn salts_to(&self, block: &Arc<Block>) -> Vec<u64> {
        let chain = self.chain();
        let mut salts = Vec::new();
        let mut at = Some(block);
        while let Some(block) = at {
            salts.push(Workload::salt(block));
            at = chain.by_hash(block.header.parent_hash);
        }
        salts.reverse();
        salts
    }

    fn miner(&self) -> std::sync::MutexGuard<'_, Miner> {
        self.miner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chain as it is now.
    pub fn chain(&self) -> RwLockReadGuard<'_, Chain> {
        self.chain.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the chain, and tells subscribers.
    pub fn change<T>(&self, change: impl FnOnce(&mut Chain) -> T) -> T {
        let (given, changes) = {
            let mut chain = self.chain.write().unwrap_or_else(PoisonError::into_inner);
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

impl Miner {
    /// What happens in a block on `parent`.
    fn draft(&mut self, network: &Network, parent: &Arc<Block>, salt: u64) -> Draft {
        let Some(workload) = &mut self.workload else {
            let mut proposer = Address::ZERO;
            proposer[12..].copy_from_slice(&salt.to_be_bytes());
            return Draft {
                timestamp: parent.header.timestamp + 12,
                proposer,
                ..Draft::default()
            };
        };
        if self.at != parent.hash {
            let salts = network.salts_to(parent);
            *workload = Workload::after(workload.params(), salts);
        }
        workload.draft(salt)
    }
}
