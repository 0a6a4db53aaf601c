//! Made-up blocks for tests: transactions with logs, as a node tells them.

use alloy::primitives::Bloom;
use kernel::{Address, B256, Bytes};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{BlockReceipts, ReceiptFormat};
use crate::{log::Log, rpc::Header};

pub(crate) const CHAIN: u64 = 1;
pub(crate) const NUMBER: u64 = 7;
pub(crate) const HASH: B256 = B256::repeat_byte(0x77);
pub(crate) const TIME: i64 = 1_760_000_000;

/// A transaction's outcome.
#[derive(Debug, Clone)]
pub(crate) struct Tx {
    pub kind: u8,
    pub success: bool,
    pub gas: u64,
    pub logs: Vec<Emitted>,
}

/// Contract, topics, data.
pub(crate) type Emitted = (Address, Vec<B256>, Bytes);

/// A log of the block's first transaction.
pub(crate) fn log(address: Address, topics: &[B256]) -> Log {
    Log {
        chain: CHAIN,
        block_number: NUMBER,
        block_hash: HASH,
        block_time: None,
        tx_hash: tx_hash(0),
        tx_index: 0,
        log_index: 0,
        address,
        topics: topics.to_vec(),
        data: Bytes::new(),
    }
}

pub(crate) fn bloom(logs: &[Log]) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in logs {
        bloom.accrue_raw_log(log.address, &log.topics);
    }
    bloom
}

fn tx_hash(tx: usize) -> B256 {
    kernel::keccak256(tx.to_be_bytes())
}

/// The answer of `eth_getBlockReceipts`, as JSON that a test may bend.
pub(crate) fn answer(txs: &[Tx]) -> Value {
    let mut next = 0_usize;
    let receipts = txs.iter().enumerate().map(
        |(
            tx,
            Tx {
                kind,
                success,
                gas,
                logs,
            },
        )| {
            let logs: Vec<Value> = logs
                .iter()
                .map(|(address, topics, data)| {
                    next += 1;
                    json!({
                        "address": address, "topics": topics, "data": data,
                        "blockNumber": format!("{NUMBER:#x}"), "blockHash": HASH,
                        "transactionHash": tx_hash(tx), "transactionIndex": format!("{tx:#x}"),
                        "logIndex": format!("{:#x}", next - 1), "removed": false,
                    })
                })
                .collect();
            json!({
                "type": format!("{kind:#x}"), "status": if *success { "0x1" } else { "0x0" },
                "cumulativeGasUsed": format!("{gas:#x}"), "logsBloom": Bloom::ZERO, "logs": logs,
                "blockNumber": format!("{NUMBER:#x}"), "blockHash": HASH,
                "transactionHash": tx_hash(tx), "transactionIndex": format!("{tx:#x}"),
                "from": Address::ZERO, "to": null, "contractAddress": null,
                "gasUsed": "0x5208", "effectiveGasPrice": "0x1",
            })
        },
    );
    receipts.collect()
}

pub(crate) fn parsed(answer: &Value) -> BlockReceipts {
    BlockReceipts::parse(CHAIN, &answer.to_string())
        .expect("receipts")
        .expect("a known block")
}

/// The header that commits to the receipts.
pub(crate) fn header(receipts: &BlockReceipts) -> Header {
    let header = json!({
        "number": NUMBER,
        "hash": HASH,
        "parentHash": B256::ZERO,
        "timestamp": TIME,
        "receiptsRoot": receipts.root(ReceiptFormat::Ethereum).expect("a root"),
        "stateRoot": B256::ZERO,
        "logsBloom": receipts.bloom(),
    });
    serde_json::from_value(header).expect("a header")
}

/// Blocks of at most `most` transactions, from few contracts and events, so that filters match.
pub(crate) fn blocks(most: usize) -> impl Strategy<Value = Vec<Tx>> {
    let topic = prop_oneof![
        (0..4_u8).prop_map(B256::repeat_byte),
        any::<[u8; 32]>().prop_map(B256::from)
    ];
    let emitted = (
        (0..3_u8).prop_map(Address::repeat_byte),
        prop::collection::vec(topic, 0..=4),
        prop::collection::vec(any::<u8>(), 0..80).prop_map(Bytes::from),
    );
    let tx = (
        0..=4_u8,
        any::<bool>(),
        any::<u64>(),
        prop::collection::vec(emitted, 0..4),
    );
    prop::collection::vec(
        tx.prop_map(|(kind, success, gas, logs)| Tx {
            kind,
            success,
            gas,
            logs,
        }),
        0..=most,
    )
}
