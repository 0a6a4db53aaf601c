//! One chain with its forks: blocks of executed transactions, each with the state behind it. A fork
//! clones the state at its height and executes again, so the same transaction may do something else
//! there, or revert.

use std::{collections::BTreeSet, sync::Arc};

use kernel::{Address, B256, Bytes, U256};
use replay_rpc::{
    model::{self, Draft, Spec, World},
    node::{Chain, Network},
};

use super::{
    contract::{Call, Contracts, Done, Emitted, Happened},
    kit::Script,
    traffic::Wish,
    vexel::Heard,
    words::{REGISTRIES, STATUS, VEXEL},
};

/// A transaction, the same in every fork.
#[derive(Debug)]
pub struct Tx {
    pub from: Address,
    pub nonce: u64,
    pub calls: Vec<Call>,
}

/// A transaction in a block.
#[derive(Debug)]
pub struct Mined {
    pub tx: Arc<Tx>,
    pub hash: B256,
    pub logs: Vec<Emitted>,
    pub happened: Vec<Happened>,
    pub heard: Vec<Heard>,
    /// How many of its logs are there because somebody broke the registry.
    pub broken: usize,
}

#[derive(Debug)]
pub struct Block {
    pub number: u64,
    /// Seconds.
    pub time: i64,
    pub hash: B256,
    pub parent: B256,
    pub txs: Vec<Mined>,
    /// The contracts after it.
    pub state: Arc<Contracts>,
    /// As a node has it.
    sealed: Arc<model::Block>,
}

/// A chain as the world has it now. Nodes serve it as it was published last.
pub struct Ledger {
    pub id: u64,
    pub registries: Vec<Address>,
    /// Genesis first.
    pub blocks: Vec<Arc<Block>>,
    /// Branches that were canonical once, whole, oldest first.
    pub branches: Vec<Vec<Arc<Block>>>,
    pub network: Network,
    /// Whether nodes keep the state and prove it.
    with_state: bool,
    nonce: u64,
    forks: u64,
}

impl Ledger {
    pub fn new(spec: Spec, registries: usize, time: i64, with_state: bool) -> Self {
        let registries = REGISTRIES[..registries].to_vec();
        let state = Arc::new(Contracts::new(spec.chain_id, &registries, STATUS));
        let draft = Draft {
            timestamp: time.unsigned_abs(),
            state: with_state.then(|| accounts(&state)),
            ..Draft::default()
        };
        let chain = Chain::new(spec, draft);
        let sealed = Arc::clone(chain.head());
        let mut ledger = Self {
            id: spec.chain_id,
            registries,
            blocks: Vec::new(),
            branches: Vec::new(),
            network: Network::new(chain),
            with_state,
            nonce: 0,
            forks: 0,
        };
        ledger.add(sealed, Vec::new(), state);
        ledger
    }

    fn add(&mut self, sealed: Arc<model::Block>, txs: Vec<Mined>, state: Arc<Contracts>) {
        self.blocks.push(Arc::new(Block {
            number: sealed.number(),
            time: sealed.header.timestamp.cast_signed(),
            hash: sealed.hash,
            parent: sealed.header.parent_hash,
            txs,
            state,
            sealed,
        }));
    }

    pub fn tip(&self) -> &Block {
        self.blocks.last().expect("genesis")
    }

    pub fn height(&self) -> u64 {
        self.tip().number
    }

    fn tx(&mut self, (from, calls): Wish) -> Arc<Tx> {
        self.nonce += 1;
        Arc::new(Tx {
            from,
            nonce: self.nonce,
            calls,
        })
    }

    /// A block on top of the tip: known transactions, then those that somebody wishes who sees what the
    /// ones before did.
    pub fn mine(
        &mut self,
        time: i64,
        known: Vec<Arc<Tx>>,
        mut wish: impl FnMut(&Contracts) -> Option<Wish>,
    ) {
        let parent = Arc::clone(self.blocks.last().expect("genesis"));
        let mut state = Arc::clone(&parent.state);
        let (mut drafts, mut mined) = (Vec::new(), Vec::new());
        let mut known = known.into_iter();
        while let Some(tx) = known
            .next()
            .or_else(|| wish(&state).map(|wish| self.tx(wish)))
        {
            let done = Arc::make_mut(&mut state).execute(tx.from, &tx.calls);
            let success = done.is_some();
            let Done {
                logs,
                happened,
                heard,
            } = done.unwrap_or_default();
            drafts.push(model::Tx {
                kind: model::Kind::default(),
                nonce: tx.nonce,
                from: tx.from,
                to: Some(self.registries[0]),
                input: Bytes::new(),
                success,
                // Whatever it does: the hash must not depend on it.
                gas: 100_000,
                logs: logs.iter().map(log).collect(),
            });
            let is_broken = tx.calls.iter().any(|call| matches!(call, Call::Broken(_)));
            mined.push(Mined {
                tx,
                hash: B256::ZERO,
                broken: if is_broken { logs.len() } else { 0 },
                logs,
                happened,
                heard,
            });
        }
        let draft = Draft {
            timestamp: time.unsigned_abs(),
            proposer: Address::left_padding_from(&self.forks.to_be_bytes()),
            txs: drafts,
            state: self.with_state.then(|| accounts(&state)),
        };
        let sealed = self
            .network
            .change(|chain| chain.seal_on(&parent.sealed, draft));
        for (mined, sealed) in mined.iter_mut().zip(&sealed.txs) {
            mined.hash = sealed.hash;
        }
        self.add(sealed, mined, state);
    }

    /// Lets nodes serve what is canonical now.
    pub fn publish(&self) {
        let tip = self.tip().hash;
        assert!(self.network.change(|chain| chain.switch_to(tip)), "known");
    }

    /// Forgets the blocks above `to` and gives their transactions back, in their order.
    pub fn fork(&mut self, to: u64) -> Vec<Arc<Tx>> {
        let keep = usize::try_from(to).expect("a height") + 1;
        if keep >= self.blocks.len() {
            return Vec::new();
        }
        self.forks += 1;
        self.branches.push(self.blocks.clone());
        let gone = self.blocks.split_off(keep);
        let txs = gone.iter().flat_map(|block| &block.txs);
        txs.map(|mined| Arc::clone(&mined.tx)).collect()
    }

    /// Makes a branch of the past canonical again.
    pub fn restore(&mut self, branch: usize) {
        let old = self.branches.remove(branch);
        self.branches.push(std::mem::replace(&mut self.blocks, old));
    }

    /// The last block that this chain and a branch share.
    pub fn common(&self, branch: usize) -> u64 {
        let pairs = self.blocks.iter().zip(&self.branches[branch]);
        let shared = pairs.take_while(|(one, two)| one.hash == two.hash).count();
        shared as u64 - 1
    }

    /// Transactions of past branches that the canonical chain does not have.
    pub fn orphaned(&self) -> Vec<Arc<Tx>> {
        let txs = |blocks: &[Arc<Block>]| -> Vec<Arc<Tx>> {
            let mined = blocks.iter().flat_map(|block| &block.txs);
            mined.map(|mined| Arc::clone(&mined.tx)).collect()
        };
        let mut here: BTreeSet<u64> = txs(&self.blocks).iter().map(|tx| tx.nonce).collect();
        let orphans = self.branches.iter().flat_map(|branch| txs(branch));
        orphans.filter(|tx| here.insert(tx.nonce)).collect()
    }

    /// The canonical chain in the words of the tests that have no node: for a fresh index.
    pub fn script(&self, up_to: u64) -> Script {
        let blocks = self.blocks.iter().take_while(|block| block.number <= up_to);
        Script {
            id: self.id,
            registries: self.registries.clone(),
            blocks: blocks.map(|block| self.indexed(block)).collect(),
        }
    }

    /// A block with the logs that the indexer reads.
    fn indexed(&self, block: &Block) -> (chain::Block, Vec<chain::Log>) {
        let head = chain::Block {
            number: block.number,
            hash: block.hash,
            parent: Some(block.parent),
            time: Some(block.time),
        };
        let ours = |log: &chain::Log| {
            [STATUS, VEXEL].contains(&log.address) || self.registries.contains(&log.address)
        };
        (head, self.logs(block).into_iter().filter(ours).collect())
    }

    /// All logs of a block.
    pub fn logs(&self, block: &Block) -> Vec<chain::Log> {
        let mut out = Vec::new();
        for (tx_index, mined) in (0_u32..).zip(&block.txs) {
            for log in &mined.logs {
                out.push(chain::Log {
                    chain: self.id,
                    block_number: block.number,
                    block_hash: block.hash,
                    block_time: Some(block.time),
                    tx_hash: mined.hash,
                    tx_index,
                    log_index: u32::try_from(out.len()).expect("few"),
                    address: log.address,
                    topics: log.topics.clone(),
                    data: log.data.clone().into(),
                });
            }
        }
        out
    }
}

fn log(emitted: &Emitted) -> model::Log {
    let data = emitted.data.clone().into();
    model::Log::new_unchecked(emitted.address, emitted.topics.clone(), data)
}

/// The contracts as accounts, with code that nobody runs.
fn accounts(state: &Contracts) -> Arc<World> {
    let mut world = World::default();
    for (address, storage) in &state.registries {
        let account = world.account(*address);
        account.code = Bytes::from_static(b"\xfe");
        let words = storage.0.iter();
        account.storage = Arc::new(
            words
                .map(|(slot, word)| (*slot, U256::from_be_bytes(word.0)))
                .collect(),
        );
    }
    for address in [state.status, VEXEL] {
        world.account(address).code = Bytes::from_static(b"\xfe");
    }
    Arc::new(world)
}
