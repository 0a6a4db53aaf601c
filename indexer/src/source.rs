//! Where a chain comes from, in steps.

use std::future::Future;

use chain::{Block, Log};
use kernel::B256;

use crate::Result;

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
    Extend(Extend),
    /// It turned out to be another one above this block.
    Rewind {
        /// The newest block that both have.
        to: i64,
    },
}

/// Blocks directly above the cursor, whole: no block of the range is missing, nor any log of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extend {
    /// The last block of the range.
    pub to: Block,
    /// Blocks that hold logs of ours, ascending.
    pub blocks: Vec<Block>,
    /// Their logs, in chain order.
    pub logs: Vec<Log>,
    /// Everything up to here is settled; never above `to`.
    pub settled: i64,
    /// The chain's newest block as the source knows it, for progress and lag.
    pub head: i64,
    /// Headers and receipts of blocks, as the provider gave them, for proofs.
    pub receipts: Vec<BlockReceipts>,
}

/// What a provider says of one block, kept for proofs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockReceipts {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// The header's JSON.
    pub header: serde_json::Value,
    /// The receipts' JSON.
    pub receipts: serde_json::Value,
}

/// A chain that can be asked what comes after a cursor.
pub trait Source {
    /// The next step; `None` where there is nothing new for now.
    ///
    /// `trail` holds known blocks below the cursor, newest first, to look for a fork.
    fn next(
        &mut self,
        cursor: Cursor,
        trail: &[(i64, B256)],
    ) -> impl Future<Output = Result<Option<Step>>> + Send;
}
