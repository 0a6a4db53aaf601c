//! Logs and the blocks that they lie in.

use kernel::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use crate::quantity::{self, Quantity};

/// The most topics that the EVM gives a log (LOG4).
pub const MAX_TOPICS: usize = 4;

/// An Ethereum log at its place in a chain. (chain, `block_hash`, `log_index`) is its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// EIP-155 chain id.
    pub chain: u64,
    /// Height of the block.
    pub block_number: u64,
    /// Hash of the block.
    pub block_hash: B256,
    /// The block's timestamp in seconds, where the source told it along with the log.
    pub block_time: Option<i64>,
    /// The transaction that emitted it.
    pub tx_hash: B256,
    /// Place of the transaction in its block.
    pub tx_index: u32,
    /// Place of the log in its block, over all transactions.
    pub log_index: u32,
    /// The contract that emitted it.
    pub address: Address,
    /// At most [`MAX_TOPICS`].
    pub topics: Vec<B256>,
    /// Everything that is not indexed, ABI-encoded.
    pub data: Bytes,
}

/// A block, as far as an index needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Height.
    pub number: u64,
    /// Hash of the header.
    pub hash: B256,
    /// Hash of the block before it, where known.
    pub parent: Option<B256>,
    /// Timestamp in seconds, where known.
    pub time: Option<i64>,
}

impl Log {
    /// Chain order: block, then place in it.
    pub fn position(&self) -> (u64, u32) {
        (self.block_number, self.log_index)
    }

    /// The event's signature hash; an anonymous event has none.
    pub fn topic0(&self) -> Option<B256> {
        self.topics.first().copied()
    }

    /// Whether `self` stands directly before `next`: same transaction, same contract, and no log
    /// between them, not even one that a filter left out.
    pub(crate) fn directly_before(&self, next: &Self) -> bool {
        self.chain == next.chain
            && self.block_hash == next.block_hash
            && self.tx_hash == next.tx_hash
            && self.address == next.address
            && self.log_index.checked_add(1) == Some(next.log_index)
    }
}

/// A log as `eth_getLogs` and recorded files write it: camelCase, numbers plain or `0x`-hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireLog {
    #[serde(with = "quantity::height")]
    pub block_number: u64,
    pub block_hash: B256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_timestamp: Option<Quantity<i64>>,
    /// Only in recorded files: what links the block to the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_hash: Option<B256>,
    pub transaction_hash: B256,
    #[serde(with = "quantity")]
    pub transaction_index: u32,
    #[serde(with = "quantity")]
    pub log_index: u32,
    pub address: Address,
    #[serde(deserialize_with = "topics")]
    pub topics: Vec<B256>,
    pub data: Bytes,
    /// Only in subscriptions: the log left the chain in a reorg.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

impl WireLog {
    pub(crate) fn into_log(self, chain: u64) -> Log {
        Log {
            chain,
            block_number: self.block_number,
            block_hash: self.block_hash,
            block_time: self.block_timestamp.map(|time| time.0),
            tx_hash: self.transaction_hash,
            tx_index: self.transaction_index,
            log_index: self.log_index,
            address: self.address,
            topics: self.topics,
            data: self.data,
        }
    }

    pub(crate) fn of(log: &Log, parent: Option<B256>) -> Self {
        Self {
            block_number: log.block_number,
            block_hash: log.block_hash,
            block_timestamp: log.block_time.map(Quantity),
            parent_hash: parent,
            transaction_hash: log.tx_hash,
            transaction_index: log.tx_index,
            log_index: log.log_index,
            address: log.address,
            topics: log.topics.clone(),
            data: log.data.clone(),
            removed: false,
        }
    }
}

fn topics<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<B256>, D::Error> {
    let topics = Vec::<B256>::deserialize(deserializer)?;
    if topics.len() > MAX_TOPICS {
        return Err(serde::de::Error::custom("a log has at most four topics"));
    }
    Ok(topics)
}
