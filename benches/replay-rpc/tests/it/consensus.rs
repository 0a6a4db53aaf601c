//! What is served, computed again by alloy from the JSON alone.

use std::net::SocketAddr;

use alloy::{
    consensus::{
        Header, ReceiptEnvelope, Transaction as _, TxEnvelope,
        proofs::{calculate_receipt_root, calculate_transaction_root},
        transaction::TxHashRef,
    },
    rpc::types::{Block, Transaction, TransactionReceipt},
};
use alloy_primitives::{B256, Bloom, keccak256};
use replay_rpc::{
    model::{Draft, Fork, Spec},
    node::{Chain, Faults, Network},
};
use serde_json::{Value, json};

use crate::kit::{CONTRACT, ask, draft, network};

/// Fails unless every part of a block follows from its other parts.
pub fn check_block(address: SocketAddr, number: u64) -> Block<Transaction> {
    let tag = json!(format!("{number:#x}"));
    let full = ask(address, "eth_getBlockByNumber", &json!([tag, true]));
    let short = ask(address, "eth_getBlockByNumber", &json!([tag, false]));
    let block: Block<Transaction> = serde_json::from_value(full.clone()).unwrap();
    let hashes: Vec<Value> = block
        .transactions
        .txns()
        .map(|tx| json!(tx.inner.tx_hash()))
        .collect();
    assert_eq!(short["transactions"], json!(hashes));

    let header: &Header = &block.header.inner;
    assert_eq!(
        keccak256(alloy::rlp::encode(header)),
        block.header.hash,
        "block {number}"
    );
    let bodies: Vec<TxEnvelope> = block
        .transactions
        .txns()
        .map(|tx| tx.inner.inner().clone())
        .collect();
    assert_eq!(
        calculate_transaction_root(&bodies),
        header.transactions_root
    );
    for (body, tx) in bodies.iter().zip(full["transactions"].as_array().unwrap()) {
        let again = match body {
            TxEnvelope::Legacy(tx) => tx.clone().into_parts(),
            TxEnvelope::Eip2930(_) | TxEnvelope::Eip1559(_) => {
                assert_eq!(json!(body.chain_id()), json!(Some(31_337)));
                assert_eq!(json!(body.tx_hash()), tx["hash"]);
                continue;
            }
            _ => panic!("a kind that is not made"),
        };
        assert_eq!(json!(again.2), tx["hash"]);
    }

    let receipts = ask(address, "eth_getBlockReceipts", &json!([tag]));
    let receipts: Vec<TransactionReceipt> = serde_json::from_value(receipts).unwrap();
    check_receipts(&receipts, &block);
    block
}

fn check_receipts(receipts: &[TransactionReceipt], block: &Block<Transaction>) {
    let header = &block.header.inner;
    let envelopes: Vec<ReceiptEnvelope> = receipts
        .iter()
        .map(|receipt| receipt.inner.clone().into_primitives_receipt())
        .collect();
    assert_eq!(calculate_receipt_root(&envelopes), header.receipts_root);
    let (mut bloom, mut gas, mut index) = (Bloom::ZERO, 0, 0);
    for (place, receipt) in (0..).zip(receipts) {
        let mut own = Bloom::ZERO;
        for log in receipt.inner.logs() {
            own.accrue_log(&log.inner);
            assert_eq!(log.log_index, Some(index));
            assert_eq!(log.block_hash, Some(block.header.hash));
            assert_eq!(log.block_timestamp, Some(header.timestamp));
            assert_eq!(log.transaction_hash, Some(receipt.transaction_hash));
            index += 1;
        }
        assert_eq!(receipt.inner.logs_bloom(), &own);
        assert_eq!(receipt.transaction_index, Some(place));
        bloom |= own;
        gas += receipt.gas_used;
        assert_eq!(receipt.inner.cumulative_gas_used(), gas);
    }
    assert_eq!((header.logs_bloom, header.gas_used), (bloom, gas));
}

#[test]
fn headers_bodies_and_receipts_follow_from_each_other() {
    for fork in [Fork::London, Fork::Shanghai, Fork::Cancun, Fork::Prague] {
        let spec = Spec {
            chain_id: 31_337,
            fork,
        };
        let mut chain = Chain::new(spec, Draft::default());
        for number in 1..=3 {
            chain.extend(draft(number, 0));
        }
        chain.extend(Draft::default());
        let provider = Network::new(chain).provider(Faults::default()).unwrap();
        let mut parent = B256::ZERO;
        for number in 0..=4 {
            let block = check_block(provider.address(), number);
            assert_eq!(block.header.inner.parent_hash, parent, "{fork:?}");
            parent = block.header.hash;
        }
    }
}

#[test]
fn a_block_with_more_transactions_than_one_byte_counts_has_a_true_root() {
    let mut draft = draft(1, 0);
    draft.txs = (0..300)
        .map(|nonce| {
            let mut tx = draft.txs[0].clone();
            tx.nonce = nonce;
            tx
        })
        .collect();
    let network = network(0);
    network.change(|chain| chain.extend(draft));
    let provider = network.provider(Faults::default()).unwrap();
    let block = check_block(provider.address(), 1);
    assert_eq!(block.transactions.len(), 300);
}

#[test]
fn what_is_created_lies_where_its_receipt_says() {
    let provider = network(1).provider(Faults::default()).unwrap();
    let receipts = ask(
        provider.address(),
        "eth_getBlockReceipts",
        &json!(["latest"]),
    );
    let created: Vec<bool> = receipts
        .as_array()
        .unwrap()
        .iter()
        .map(|receipt| receipt["to"].is_null() && receipt["contractAddress"].is_string())
        .collect();
    assert_eq!(created, [false, false, false, true]);
    assert_eq!(receipts[0]["to"], json!(CONTRACT));
}
