//! The receipts of a whole block: what a header's `receiptsRoot` commits to, and so the means to
//! prove that no log of the block is missing, altered or added.
//!
//! What the root covers: each transaction's outcome and gas, and every log's contract, topics,
//! data and order, and so its index. It does not cover the transactions' hashes, which the header
//! commits to elsewhere; a source's word for them is taken, and must not contradict itself.

mod encode;
mod format;
mod proof;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod wire;

use std::ops::Range;

use alloy::{
    primitives::Bloom,
    trie::{EMPTY_ROOT_HASH, root::ordered_trie_root_with_encoder},
};
use kernel::{B256, Kind};

pub use self::{
    format::ReceiptFormat,
    proof::{ProofError, ReceiptProof},
};
use crate::log::Log;

/// All receipts of one block, in order, from one source. Nothing of it is believed: its parts fit
/// together, and [`BlockReceipts::root`] says whether it is what the header commits to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockReceipts {
    /// Height and hash that the source names; a block without transactions names none.
    block: Option<(u64, B256)>,
    receipts: Vec<OneReceipt>,
    /// Of all receipts, in order.
    logs: Vec<Log>,
}

/// What consensus keeps of one transaction's outcome. Its bloom follows from its logs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct OneReceipt {
    /// EIP-2718 type; 0 for a legacy transaction.
    kind: u8,
    outcome: Outcome,
    cumulative_gas: u64,
    /// Its logs in [`BlockReceipts::logs`].
    logs: Range<usize>,
    extra: Extra,
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// EIP-658: it succeeded, or reverted.
    Status(bool),
    /// Before Byzantium: the state's root after it.
    Root(B256),
}

/// What some chains append to the receipts of their own transaction types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extra {
    None,
    /// A deposit of the OP stack (0x7e) since Canyon. Before, its nonce is told but not committed
    /// to (op-geth `Receipts.EncodeIndex`).
    Deposit {
        nonce: Option<u64>,
        version: u64,
    },
    /// Celo's CIP-64 (0x7b): base fee in the currency that the fee was paid in.
    BaseFee(u128),
}

/// Why an answer is no block's receipts. It says nothing of the chain: another source may do
/// better.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptsError {
    /// No receipts, or such as Ethereum cannot have.
    #[error("these are no receipts: {0}")]
    Malformed(String),
    /// The receipts contradict each other.
    #[error("the receipts contradict themselves: transaction {tx} {what}")]
    Inconsistent {
        /// Place of the transaction in the answer.
        tx: usize,
        /// What is wrong with its receipt.
        what: &'static str,
    },
}

impl ReceiptsError {
    /// Always [`Kind::Unavailable`]: the source's fault, ask again or elsewhere.
    pub fn kind(&self) -> Kind {
        Kind::Unavailable
    }
}

impl BlockReceipts {
    /// Reads the answer of `eth_getBlockReceipts`; `None` (JSON's null): the source does not know
    /// the block. `chain` is the EIP-155 id that the logs get.
    pub fn parse(chain: u64, json: &str) -> Result<Option<Self>, ReceiptsError> {
        wire::parse(chain, json)
    }

    /// Height and hash of the block that the receipts say they are of; `None`: there are none.
    pub fn block(&self) -> Option<(u64, B256)> {
        self.block
    }

    /// Number of receipts, which is that of the block's transactions.
    pub fn len(&self) -> usize {
        self.receipts.len()
    }

    /// Whether the block has no transactions.
    pub fn is_empty(&self) -> bool {
        self.receipts.is_empty()
    }

    /// All logs of the block, in order.
    pub fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// All logs of the block, in order, for keeping.
    pub fn into_logs(self) -> Vec<Log> {
        self.logs
    }

    /// The root of the trie of these receipts. `None` where the chain's receipts cannot be
    /// recomputed from what its nodes tell.
    pub fn root(&self, format: ReceiptFormat) -> Option<B256> {
        if !format.has_root() {
            return None;
        }
        if self.receipts.is_empty() {
            return Some(EMPTY_ROOT_HASH);
        }
        let mut blooms = encode::Blooms::default();
        Some(ordered_trie_root_with_encoder(
            &self.receipts,
            |receipt, out| encode::receipt(receipt, self.logs_of(receipt), &mut blooms, out),
        ))
    }

    /// The bloom that a header of a block with these logs has.
    pub fn bloom(&self) -> Bloom {
        encode::Blooms::default().of(&self.logs)
    }

    /// The path from the root to the receipt of the transaction at `tx_index`, for people who
    /// trust the header alone. `None`: there is no such transaction, or no root
    /// ([`BlockReceipts::root`]).
    pub fn proof(&self, format: ReceiptFormat, tx_index: usize) -> Option<ReceiptProof> {
        if !format.has_root() || tx_index >= self.receipts.len() {
            return None;
        }
        let mut blooms = encode::Blooms::default();
        let encoded: Vec<Vec<u8>> = self
            .receipts
            .iter()
            .map(|receipt| {
                let mut out = Vec::new();
                encode::receipt(receipt, self.logs_of(receipt), &mut blooms, &mut out);
                out
            })
            .collect();
        ReceiptProof::of(&encoded, tx_index)
    }

    fn logs_of(&self, receipt: &OneReceipt) -> &[Log] {
        &self.logs[receipt.logs.clone()]
    }
}
