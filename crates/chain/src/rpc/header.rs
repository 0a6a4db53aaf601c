//! Headers of blocks, typed, read in one pass and cheap to prove.

use alloy::{
    consensus,
    primitives::{B64, Bloom},
    rlp,
};
use kernel::{Address, B256, Bytes, U256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{log::Block, quantity};

/// A block's header as JSON-RPC writes it. Its JSON holds all that [`Header::verified`] needs, and
/// nothing of the block's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// Height.
    #[serde(with = "quantity::height")]
    pub number: u64,
    /// Hash of the header, as the node says; [`Header::verified`] checks it.
    pub hash: B256,
    /// Hash of the block before it.
    #[serde(rename = "parentHash")]
    pub parent: B256,
    /// Timestamp in seconds.
    #[serde(rename = "timestamp", with = "quantity")]
    pub time: i64,
    /// Root of the receipts' trie.
    pub receipts_root: B256,
    /// Root of the state's trie.
    pub state_root: B256,
    /// 256 bytes: which addresses and topics the block's logs can have.
    pub logs_bloom: Bytes,
    /// Wei per gas; `None` before EIP-1559.
    #[serde(
        rename = "baseFeePerGas",
        default,
        with = "quantity::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub base_fee: Option<u128>,
    // Only the hash needs the rest. Some chains leave out some of it, and are indexed without proofs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha3_uncles: Option<B256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    miner: Option<Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transactions_root: Option<B256>,
    #[serde(
        default,
        with = "quantity::optional",
        skip_serializing_if = "Option::is_none"
    )]
    difficulty: Option<U256>,
    #[serde(
        default,
        with = "quantity::optional",
        skip_serializing_if = "Option::is_none"
    )]
    gas_limit: Option<u64>,
    #[serde(
        default,
        with = "quantity::optional",
        skip_serializing_if = "Option::is_none"
    )]
    gas_used: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extra_data: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mix_hash: Option<B256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<B64>,
    /// Shanghai.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    withdrawals_root: Option<B256>,
    /// Cancun.
    #[serde(
        default,
        with = "quantity::optional",
        skip_serializing_if = "Option::is_none"
    )]
    blob_gas_used: Option<u64>,
    /// Cancun.
    #[serde(
        default,
        with = "quantity::optional",
        skip_serializing_if = "Option::is_none"
    )]
    excess_blob_gas: Option<u64>,
    /// Cancun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_beacon_block_root: Option<B256>,
    /// Prague.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests_hash: Option<B256>,
    /// Amsterdam.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    block_access_list_hash: Option<B256>,
    /// Amsterdam.
    #[serde(
        default,
        with = "quantity::optional",
        skip_serializing_if = "Option::is_none"
    )]
    slot_number: Option<u64>,
}

impl Header {
    /// The block, as an index keeps it.
    pub fn block(&self) -> Block {
        Block {
            number: self.number,
            hash: self.hash,
            parent: Some(self.parent),
            time: Some(self.time),
        }
    }

    /// The header whose RLP hashes to [`Header::hash`], recomputed from what the node said. `None`
    /// where it does not: the node lies, or the chain's headers are not Ethereum's.
    pub fn verified(&self) -> Option<consensus::Header> {
        let header = self.typed()?;
        (keccak256(rlp::encode(&header)) == self.hash).then_some(header)
    }

    /// The bytes that hash to [`Header::hash`]; `None` where [`Header::verified`] is.
    pub fn rlp(&self) -> Option<Bytes> {
        Some(rlp::encode(self.verified()?).into())
    }

    #[cfg(test)]
    pub(super) fn own_hash(&self) -> Option<B256> {
        Some(keccak256(rlp::encode(self.typed()?)))
    }

    fn typed(&self) -> Option<consensus::Header> {
        Some(consensus::Header {
            parent_hash: self.parent,
            ommers_hash: self.sha3_uncles?,
            beneficiary: self.miner?,
            state_root: self.state_root,
            transactions_root: self.transactions_root?,
            receipts_root: self.receipts_root,
            logs_bloom: Bloom::try_from(self.logs_bloom.as_ref()).ok()?,
            difficulty: self.difficulty?,
            number: self.number,
            gas_limit: self.gas_limit?,
            gas_used: self.gas_used?,
            timestamp: u64::try_from(self.time).ok()?,
            extra_data: self.extra_data.clone()?,
            mix_hash: self.mix_hash?,
            nonce: self.nonce?,
            base_fee_per_gas: self.base_fee.map(u64::try_from).transpose().ok()?,
            withdrawals_root: self.withdrawals_root,
            blob_gas_used: self.blob_gas_used,
            excess_blob_gas: self.excess_blob_gas,
            parent_beacon_block_root: self.parent_beacon_block_root,
            requests_hash: self.requests_hash,
            block_access_list_hash: self.block_access_list_hash,
            slot_number: self.slot_number,
        })
    }
}
