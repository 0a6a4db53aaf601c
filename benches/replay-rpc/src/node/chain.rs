//! The chain itself: what is canonical, what was, and what counts as final.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use alloy_primitives::{Address, B256, Bytes};

use crate::model::{Block, Draft, Spec};

/// How far below the head blocks count as safe and as finalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finality {
    /// Depth of the `safe` block.
    pub safe: u64,
    /// Depth of the `finalized` block.
    pub finalized: u64,
}

/// Canonical blocks, orphans, and the rest of what a node knows.
#[derive(Debug)]
pub struct Chain {
    spec: Spec,
    canonical: Vec<Arc<Block>>,
    by_hash: HashMap<B256, Arc<Block>>,
    /// Every block ever known, canonical or not.
    known: Vec<Arc<Block>>,
    /// Where a transaction stands: in which of the known blocks, and at what place. Small, because a
    /// million events have nearly as many transactions.
    by_tx: HashMap<B256, (u32, u32)>,
    /// Where else it stands: both sides of a fork may hold it.
    also: HashMap<B256, Vec<(u32, u32)>>,
    /// The branch that the last reorg left: its blocks in order.
    left: Vec<Arc<Block>>,
    code: HashMap<Address, (u64, Bytes)>,
    /// None: the node knows no such tags.
    pub finality: Option<Finality>,
    pub(super) changes: Vec<super::network::Change>,
}

impl Chain {
    /// A chain of one block.
    pub fn new(spec: Spec, genesis: Draft) -> Self {
        let mut chain = Self {
            spec,
            canonical: Vec::new(),
            by_hash: HashMap::new(),
            known: Vec::new(),
            by_tx: HashMap::new(),
            also: HashMap::new(),
            left: Vec::new(),
            code: HashMap::new(),
            finality: Some(Finality {
                safe: 32,
                finalized: 64,
            }),
            changes: Vec::new(),
        };
        let genesis = chain.know(Block::seal(spec, None, genesis));
        chain.canonical.push(genesis);
        chain
    }

    /// What all its blocks have in common.
    pub fn spec(&self) -> Spec {
        self.spec
    }

    /// The newest canonical block.
    ///
    /// # Panics
    /// Never: a chain has its genesis.
    pub fn head(&self) -> &Arc<Block> {
        self.canonical.last().expect("a chain has a genesis")
    }

    /// All canonical blocks, by number.
    pub fn canonical(&self) -> &[Arc<Block>] {
        &self.canonical
    }

    /// The canonical block of a number.
    pub fn block(&self, number: u64) -> Option<&Arc<Block>> {
        self.canonical.get(usize::try_from(number).ok()?)
    }

    /// A block by its hash, an orphan too.
    pub fn by_hash(&self, hash: B256) -> Option<&Arc<Block>> {
        self.by_hash.get(&hash)
    }

    /// Whether a block is canonical.
    pub fn is_canonical(&self, block: &Block) -> bool {
        self.block(block.number())
            .is_some_and(|canonical| canonical.hash == block.hash)
    }

    /// The blocks that hold a transaction, canonical or not, with its place there.
    pub(super) fn with_tx(&self, hash: B256) -> impl Iterator<Item = (&Arc<Block>, usize)> {
        let first = self.by_tx.get(&hash).into_iter();
        let places = first.chain(self.also.get(&hash).into_iter().flatten());
        places.filter_map(|(block, place)| {
            let block = self.known.get(usize::try_from(*block).ok()?)?;
            Some((block, usize::try_from(*place).ok()?))
        })
    }

    /// The branch that the last reorg left, in order; empty if there was none.
    pub fn left_branch(&self) -> &[Arc<Block>] {
        &self.left
    }

    /// Adds a block at the head and announces it.
    pub fn extend(&mut self, draft: Draft) -> Arc<Block> {
        let block = self.seal_on(&Arc::clone(self.head()), draft);
        self.canonical.push(Arc::clone(&block));
        self.tell(Vec::new(), vec![Arc::clone(&block)]);
        block
    }

    /// Makes a block on any known one, without going there: a sibling, for [`Self::switch_to`].
    pub fn seal_on(&mut self, parent: &Block, draft: Draft) -> Arc<Block> {
        let block = Block::seal(self.spec, Some(parent), draft);
        self.know(block)
    }

    /// Replaces the newest `depth` blocks by others, as many or not, and announces the new head only,
    /// as geth does. The genesis stays.
    pub fn reorg(&mut self, depth: u64, drafts: impl IntoIterator<Item = Draft>) -> Arc<Block> {
        let fork = self.head().number().saturating_sub(depth);
        let mut tip = Arc::clone(self.block(fork).unwrap_or_else(|| self.head()));
        for draft in drafts {
            tip = self.seal_on(&tip, draft);
        }
        self.switch_to(tip.hash);
        tip
    }

    /// Makes the branch that ends in a known block the canonical one: back to an earlier fork, too.
    /// False where no block has that hash.
    pub fn switch_to(&mut self, hash: B256) -> bool {
        let Some(tip) = self.by_hash.get(&hash).cloned() else {
            return false;
        };
        let mut branch = Vec::new();
        let mut at = tip;
        while !self.is_canonical(&at) {
            let parent = self.by_hash.get(&at.header.parent_hash).cloned();
            branch.push(at);
            match parent {
                Some(parent) => at = parent,
                None => return false,
            }
        }
        branch.reverse();
        let removed = self.cut(at.number());
        self.canonical.extend(branch.iter().cloned());
        if !removed.is_empty() && !branch.is_empty() {
            self.left.clone_from(&removed);
        }
        self.tell(removed, branch);
        true
    }

    /// Makes `number` the head, as `debug_setHead` does: nobody is told. Blocks above it stay known.
    pub fn set_head(&mut self, number: u64) {
        self.cut(number);
    }

    /// Says that a contract is there from a block on, where the chain keeps no state.
    pub fn set_code(&mut self, address: Address, from: u64, code: Bytes) {
        self.code.insert(address, (from, code));
    }

    pub(super) fn code(&self, address: Address, block: &Block) -> Bytes {
        if let Some(state) = &block.state {
            return state
                .find(address)
                .map_or_else(Bytes::new, |account| account.code.clone());
        }
        match self.code.get(&address) {
            Some((from, code)) if *from <= block.number() => code.clone(),
            _ => Bytes::new(),
        }
    }

    fn know(&mut self, block: Block) -> Arc<Block> {
        if let Some(known) = self.by_hash.get(&block.hash) {
            return Arc::clone(known);
        }
        let block = Arc::new(block);
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        for (place, tx) in (0..).zip(&block.txs) {
            match self.by_tx.entry(tx.hash) {
                Entry::Vacant(free) => {
                    free.insert((number, place));
                }
                Entry::Occupied(_) => {
                    self.also.entry(tx.hash).or_default().push((number, place));
                }
            }
        }
        self.known.push(Arc::clone(&block));
        self.by_hash.insert(block.hash, Arc::clone(&block));
        block
    }

    /// Takes the blocks above `number` off the canonical chain.
    fn cut(&mut self, number: u64) -> Vec<Arc<Block>> {
        let keep = usize::try_from(number).map_or(usize::MAX, |number| number.saturating_add(1));
        self.canonical.split_off(keep.min(self.canonical.len()))
    }

    fn tell(&mut self, removed: Vec<Arc<Block>>, added: Vec<Arc<Block>>) {
        self.changes.push(super::network::Change { removed, added });
    }
}
