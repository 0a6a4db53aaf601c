//! Where a chain comes from, in steps.

use std::{collections::BTreeSet, future::Future};

use chain::{Block, Log};
use kernel::{Address, B256, Token};

use crate::{Result, level::Level, sorted::Sorted, trail::Trail};

/// How far a chain is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Everything up to and including this block is stored; one below the start before the first step.
    pub number: i64,
    /// That block's hash, where it was told.
    pub hash: Option<B256>,
}

/// What happened to a chain beyond a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It grew.
    Extend(Box<Extend>),
    /// It turned out to be another one above this block.
    Rewind {
        /// The newest block that both have.
        to: i64,
    },
    /// It stayed, and more of it is kept from now on.
    Enter(Box<Enter>),
}

/// What enters the scope of a chain that is kept for some alone, with its past.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enter {
    /// Owners who are watched from now on.
    pub owners: Vec<Address>,
    /// Tokens that are kept from now on.
    pub tokens: Vec<Token>,
    /// Blocks up to the cursor that hold logs of theirs, ascending.
    pub blocks: Vec<Block>,
    /// Those logs, in chain order.
    pub logs: Vec<Log>,
    /// Who told them, without secrets.
    pub tellers: BTreeSet<String>,
}

/// Blocks directly above the cursor, whole: no block of the range is missing, nor any log of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extend {
    /// The last block of the range.
    pub to: Block,
    /// Blocks that hold logs of ours, ascending.
    pub blocks: Vec<Block>,
    /// Their logs, in chain order.
    pub logs: Sorted,
    /// Number and hash of blocks of the range that may still move, as far as they are known: so a fork is
    /// found where it is, and not at the last block below it that happened to hold a log.
    pub movable: Vec<(u64, B256)>,
    /// Everything up to here is settled; never above `to`.
    pub settled: i64,
    /// The chain's newest block as the source knows it, for progress and lag.
    pub head: i64,
    /// What consensus calls final, where the source says it.
    pub finalized: Option<i64>,
    /// What is proven of the range.
    pub proof: Proof,
    /// Who told the logs, without secrets; empty where the blocks themselves show them.
    pub tellers: BTreeSet<String>,
    /// Headers and receipts of blocks, as the provider gave them, for proofs.
    pub receipts: Vec<BlockReceipts>,
    /// Of a chain that is kept for some alone, the tokens that enter its scope by being minted here; `None`:
    /// everything is kept.
    pub entering: Option<Vec<Token>>,
}

impl Extend {
    /// Where a chain stands after it.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            number: self.to.number.cast_signed(),
            hash: Some(self.to.hash),
        }
    }

    /// Whether nothing of it can move any more and the head is far: it is stored ahead of its projection. Never
    /// where some alone are kept, who are few.
    pub fn is_bulk(&self, cursor: i64) -> bool {
        self.entering.is_none()
            && self.to.number.cast_signed() <= self.settled
            && self.head - cursor >= LIVE
    }
}

/// Further behind the head than this many blocks, a step is part of a backfill.
pub const LIVE: i64 = 256;

/// What is proven of a range of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// What holds for every block.
    pub level: Level,
    /// The hash that the first block names as its parent's, where every header was hashed and linked.
    pub below: Option<B256>,
    /// The last block's own hash, where every header was hashed and linked.
    pub top: Option<B256>,
}

impl Proof {
    /// One provider's word.
    pub const REPORTED: Self = Self {
        level: Level::Reported,
        below: None,
        top: None,
    };
}

/// What a provider says of one block, kept for proofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockReceipts {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// The header's JSON.
    pub header: String,
    /// The receipts' JSON.
    pub receipts: String,
}

/// A chain that can be asked what comes after a cursor.
pub trait Source {
    /// The next step; `None` where there is nothing new for now.
    ///
    /// `trail` holds known blocks below the cursor, to look for a fork.
    fn next(
        &mut self,
        cursor: Cursor,
        trail: Trail<'_>,
    ) -> impl Future<Output = Result<Option<Step>>> + Send;
}
