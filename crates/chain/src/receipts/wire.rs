//! `eth_getBlockReceipts`, read in one pass. Every claim that is told twice must be told alike.

use std::borrow::Cow;

use kernel::B256;
use serde::Deserialize;

use super::{BlockReceipts, Extra, OneReceipt, Outcome, ReceiptsError};
use crate::{
    log::WireLog,
    quantity::{self, Quantity},
};

/// The OP stack's deposits.
const DEPOSIT: u8 = 0x7e;
/// Celo's transactions that pay in another currency (CIP-64).
const CELO_CURRENCY: u8 = 0x7b;
/// EIP-2718 leaves the rest to RLP's lists, which legacy receipts begin with.
const LARGEST_TYPE: u8 = 0x7f;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReceipt<'a> {
    #[serde(rename = "type")]
    kind: Option<Quantity<u8>>,
    status: Option<Quantity<u8>>,
    /// Some nodes tell an empty one beside the status.
    #[serde(borrow)]
    root: Option<Cow<'a, str>>,
    #[serde(with = "quantity")]
    cumulative_gas_used: u64,
    transaction_hash: B256,
    #[serde(with = "quantity")]
    transaction_index: u64,
    block_hash: B256,
    #[serde(with = "quantity")]
    block_number: u64,
    logs: Vec<WireLog>,
    deposit_nonce: Option<Quantity<u64>>,
    deposit_receipt_version: Option<Quantity<u64>>,
    base_fee: Option<Quantity<u128>>,
}

pub(super) fn parse(chain: u64, json: &str) -> Result<Option<BlockReceipts>, ReceiptsError> {
    let told: Option<Vec<WireReceipt>> =
        serde_json::from_str(json).map_err(|error| ReceiptsError::Malformed(error.to_string()))?;
    let Some(told) = told else { return Ok(None) };
    let mut all = BlockReceipts {
        block: told
            .first()
            .map(|receipt| (receipt.block_number, receipt.block_hash)),
        receipts: Vec::with_capacity(told.len()),
        logs: Vec::with_capacity(told.iter().map(|receipt| receipt.logs.len()).sum()),
    };
    for (tx, receipt) in told.into_iter().enumerate() {
        all.push(chain, tx, receipt)
            .map_err(|what| ReceiptsError::Inconsistent { tx, what })?;
    }
    Ok(Some(all))
}

impl BlockReceipts {
    fn push(&mut self, chain: u64, tx: usize, told: WireReceipt) -> Result<(), &'static str> {
        if usize::try_from(told.transaction_index) != Ok(tx) {
            return Err("stands at another place than it says");
        }
        if self.block != Some((told.block_number, told.block_hash)) {
            return Err("is of another block than the first");
        }
        let kind = told.kind.as_ref().map_or(0, |kind| kind.0);
        if kind > LARGEST_TYPE {
            return Err("has a type that there cannot be");
        }
        let outcome = outcome(&told)?;
        let extra = extra(kind, &told);
        let first = self.logs.len();
        for log in told.logs {
            if log.removed {
                return Err("has a removed log");
            }
            if (log.block_number, log.block_hash) != (told.block_number, told.block_hash) {
                return Err("has a log of another block");
            }
            if log.transaction_hash != told.transaction_hash
                || u64::from(log.transaction_index) != told.transaction_index
            {
                return Err("has a log of another transaction");
            }
            if usize::try_from(log.log_index) != Ok(self.logs.len()) {
                return Err("has a log whose index does not follow the one before");
            }
            self.logs.push(log.into_log(chain));
        }
        self.receipts.push(OneReceipt {
            kind,
            outcome,
            cumulative_gas: told.cumulative_gas_used,
            logs: first..self.logs.len(),
            extra,
        });
        Ok(())
    }
}

fn outcome(told: &WireReceipt) -> Result<Outcome, &'static str> {
    match &told.status {
        Some(Quantity(0)) => Ok(Outcome::Status(false)),
        Some(Quantity(1)) => Ok(Outcome::Status(true)),
        Some(_) => Err("has a status that is neither 0 nor 1"),
        None => told
            .root
            .as_deref()
            .and_then(|root| root.parse().ok())
            .map(Outcome::Root)
            .ok_or("has neither a status nor a root"),
    }
}

fn extra(kind: u8, told: &WireReceipt) -> Extra {
    match (kind, &told.deposit_receipt_version, &told.base_fee) {
        (DEPOSIT, Some(version), _) => Extra::Deposit {
            nonce: told.deposit_nonce.as_ref().map(|nonce| nonce.0),
            version: version.0,
        },
        (CELO_CURRENCY, _, Some(fee)) => Extra::BaseFee(fee.0),
        _ => Extra::None,
    }
}
