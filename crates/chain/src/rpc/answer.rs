//! What a node answers, as far as we read it.

use alloy::consensus;
use kernel::{Address, B256, Bytes, U256};
use serde::Deserialize;
use serde_json::Value;

use super::RpcError;
use crate::{
    log::{Block, Log, WireLog},
    quantity::{self, Quantity},
};

/// A block's header.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Height.
    pub number: u64,
    /// Hash of the header, as the node says; [`Header::verified`] checks it.
    pub hash: B256,
    /// Hash of the block before it.
    pub parent: B256,
    /// Timestamp in seconds.
    pub time: i64,
    /// Root of the receipts' trie.
    pub receipts_root: B256,
    /// Root of the state's trie.
    pub state_root: B256,
    /// 256 bytes: which addresses and topics the block's logs can have.
    pub logs_bloom: Bytes,
    /// Wei per gas; `None` before EIP-1559.
    pub base_fee: Option<u128>,
    /// Everything that the node said of the header (without transactions and uncles).
    pub raw: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireHeader {
    #[serde(with = "quantity")]
    number: u64,
    hash: B256,
    parent_hash: B256,
    #[serde(with = "quantity")]
    timestamp: i64,
    receipts_root: B256,
    state_root: B256,
    logs_bloom: Bytes,
    base_fee_per_gas: Option<Quantity<u128>>,
}

impl Header {
    pub(super) fn parse(mut raw: Value) -> Result<Self, RpcError> {
        if let Some(members) = raw.as_object_mut() {
            for heavy in [
                "transactions",
                "uncles",
                "withdrawals",
                "size",
                "totalDifficulty",
            ] {
                members.remove(heavy);
            }
        }
        let wire = WireHeader::deserialize(&raw)
            .map_err(|error| RpcError::unexpected(format!("this is no block: {error}")))?;
        Ok(Self {
            number: wire.number,
            hash: wire.hash,
            parent: wire.parent_hash,
            time: wire.timestamp,
            receipts_root: wire.receipts_root,
            state_root: wire.state_root,
            logs_bloom: wire.logs_bloom,
            base_fee: wire.base_fee_per_gas.map(|fee| fee.0),
            raw,
        })
    }

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
        let header: consensus::Header = serde_json::from_value(self.raw.clone()).ok()?;
        (header.hash_slow() == self.hash).then_some(header)
    }
}

/// What became of a mined transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The transaction.
    pub tx: B256,
    /// Height of its block.
    pub block_number: u64,
    /// Hash of its block.
    pub block_hash: B256,
    /// False: it reverted.
    pub success: bool,
    /// What it used.
    pub gas_used: u64,
    /// Wei per gas that it paid.
    pub gas_price: Option<u128>,
    /// The contract that it created.
    pub created: Option<Address>,
    /// What it emitted.
    pub logs: Vec<Log>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReceipt {
    transaction_hash: B256,
    #[serde(with = "quantity")]
    block_number: u64,
    block_hash: B256,
    #[serde(with = "quantity")]
    status: u8,
    #[serde(with = "quantity")]
    gas_used: u64,
    effective_gas_price: Option<Quantity<u128>>,
    contract_address: Option<Address>,
    logs: Vec<WireLog>,
}

impl Receipt {
    /// `None`: the transaction still waits. Most nodes answer null then, some a receipt without a
    /// block.
    pub(super) fn parse(raw: Value, chain: u64) -> Result<Option<Self>, RpcError> {
        if raw["blockHash"].is_null() {
            return Ok(None);
        }
        let wire: WireReceipt = serde_json::from_value(raw)
            .map_err(|error| RpcError::unexpected(format!("this is no receipt: {error}")))?;
        Ok(Some(Self {
            tx: wire.transaction_hash,
            block_number: wire.block_number,
            block_hash: wire.block_hash,
            success: wire.status == 1,
            gas_used: wire.gas_used,
            gas_price: wire.effective_gas_price.map(|price| price.0),
            created: wire.contract_address,
            logs: wire
                .logs
                .into_iter()
                .map(|log| log.into_log(chain))
                .collect(),
        }))
    }
}

/// What a transaction pays per gas (EIP-1559), in wei.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fees {
    /// The most in all.
    pub max_fee: u128,
    /// The most for the block's builder.
    pub max_priority_fee: u128,
}

impl Fees {
    /// One gwei, where a node does not advise.
    pub(super) const USUAL_TIP: u128 = 1_000_000_000;

    /// Enough for six full blocks in a row, each of which raises the base fee by an eighth.
    pub(super) fn over(base: u128, tip: u128) -> Self {
        let max_fee = base.saturating_mul(2).saturating_add(tip);
        Self {
            max_fee,
            max_priority_fee: tip,
        }
    }

    /// The least that replaces a waiting transaction: nodes ask for an eighth (geth for a tenth)
    /// more of both. Never less than the market asks now.
    #[must_use]
    pub fn bumped(self, market: Self) -> Self {
        let eighth_more = |fee: u128| fee.saturating_add(fee.div_ceil(8)).saturating_add(1);
        Self {
            max_fee: eighth_more(self.max_fee).max(market.max_fee),
            max_priority_fee: eighth_more(self.max_priority_fee).max(market.max_priority_fee),
        }
    }

    /// What a whole transaction of `gas` can cost at most.
    pub fn most(self, gas: u64) -> U256 {
        U256::from(self.max_fee) * U256::from(gas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bump_is_at_least_an_eighth_and_never_below_the_market() {
        let market = Fees {
            max_fee: 1,
            max_priority_fee: 900,
        };
        let fees = Fees {
            max_fee: 1001,
            max_priority_fee: 0,
        };
        let bumped = fees.bumped(market);
        assert!(bumped.max_fee * 8 >= 1001 * 9);
        assert_eq!(bumped.max_priority_fee, 900);
        let most = Fees {
            max_fee: u128::MAX,
            max_priority_fee: u128::MAX,
        };
        assert_eq!(most.bumped(market), most);
    }

    #[test]
    fn the_base_fee_may_rise_for_some_blocks() {
        let base_fee = 1_000_000_000;
        assert_eq!(Fees::over(base_fee, 5).max_fee, base_fee * 2 + 5);
    }
}
