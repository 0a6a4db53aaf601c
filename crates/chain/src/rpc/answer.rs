//! What a node answers, as far as we read it.

use kernel::{Address, B256, U256};
use serde::Deserialize;

use crate::{
    log::{Log, WireLog},
    quantity::{self, Quantity},
};

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

/// A receipt as the node gives it; one of a transaction that still waits has no block.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireReceipt {
    transaction_hash: B256,
    #[serde(default, with = "quantity::optional")]
    block_number: Option<u64>,
    block_hash: Option<B256>,
    #[serde(default, with = "quantity::optional")]
    status: Option<u8>,
    #[serde(default, with = "quantity::optional")]
    gas_used: Option<u64>,
    effective_gas_price: Option<Quantity<u128>>,
    contract_address: Option<Address>,
    #[serde(default)]
    logs: Vec<WireLog>,
}

impl WireReceipt {
    /// `None`: the transaction still waits. Most nodes answer null then, some a receipt without a
    /// block.
    pub(super) fn into_receipt(self, chain: u64) -> Option<Receipt> {
        Some(Receipt {
            tx: self.transaction_hash,
            block_number: self.block_number?,
            block_hash: self.block_hash?,
            success: self.status == Some(1),
            gas_used: self.gas_used.unwrap_or_default(),
            gas_price: self.effective_gas_price.map(|price| price.0),
            created: self.contract_address,
            logs: self
                .logs
                .into_iter()
                .map(|log| log.into_log(chain))
                .collect(),
        })
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
