use alloy::{
    consensus::{Eip658Value, Receipt, ReceiptEnvelope, TxType, proofs::calculate_receipt_root},
    primitives::Log as PlainLog,
};
use kernel::{Address, Bytes};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{testing::*, *};

/// The same receipts by alloy's own types.
fn root_by_alloy(txs: &[Tx]) -> B256 {
    let receipts: Vec<ReceiptEnvelope> = txs
        .iter()
        .map(|tx| {
            let receipt = Receipt {
                status: Eip658Value::Eip658(tx.success),
                cumulative_gas_used: tx.gas,
                logs: tx
                    .logs
                    .iter()
                    .map(|(address, topics, data)| {
                        PlainLog::new_unchecked(*address, topics.clone(), data.clone())
                    })
                    .collect(),
            };
            let kind = TxType::try_from(tx.kind).expect("a type of Ethereum's");
            ReceiptEnvelope::from_typed(kind, receipt)
        })
        .collect();
    calculate_receipt_root(&receipts)
}

fn root(answer: &Value) -> B256 {
    parsed(answer)
        .root(ReceiptFormat::Ethereum)
        .expect("a root")
}

fn block_of(transactions: u8, logs: u8) -> Vec<Tx> {
    let emitted = |tx: u8, log: u8| {
        let topics = (0..3).map(|topic| B256::repeat_byte(tx.wrapping_add(log * topic)));
        (
            Address::repeat_byte(log),
            topics.collect(),
            Bytes::from(vec![log; 160]),
        )
    };
    (0..transactions)
        .map(|tx| Tx {
            kind: 2,
            success: true,
            gas: 21_000 * u64::from(tx),
            logs: (0..logs).map(|log| emitted(tx, log)).collect(),
        })
        .collect()
}

proptest! {
    #[test]
    fn the_root_is_alloys(txs in blocks(20)) {
        prop_assert_eq!(root(&answer(&txs)), root_by_alloy(&txs));
    }

    #[test]
    fn the_bloom_is_that_of_all_logs(txs in blocks(20)) {
        let receipts = parsed(&answer(&txs));
        prop_assert_eq!(receipts.bloom(), bloom(receipts.logs()));
    }

    #[test]
    fn a_flipped_bit_gives_another_root(
        txs in blocks(6).prop_filter("transactions", |txs| !txs.is_empty()),
        tx in any::<prop::sample::Index>(),
        log in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        what in 0..6,
        bit in 0..8_u32,
    ) {
        let before = root(&answer(&txs));
        let mut bent = txs;
        let tx = tx.get_mut(&mut bent);
        let flip = |bytes: &mut [u8]| {
            if !bytes.is_empty() {
                bytes[place.index(bytes.len())] ^= 1_u8 << bit;
            }
            !bytes.is_empty()
        };
        let bent_one = match (what, tx.logs.len()) {
            (0, _) => { tx.success = !tx.success; true }
            (1, _) => { tx.kind = (tx.kind + 1) % 5; true }
            (2, _) | (_, 0) => { tx.gas ^= 1_u64 << (bit * 8); true }
            (_, logs) => {
                let (address, topics, data) = &mut tx.logs[log.index(logs)];
                match what {
                    3 => flip(&mut address[..]),
                    4 => {
                        let mut all = topics.concat();
                        let flipped = flip(&mut all);
                        *topics = all.chunks(32).map(B256::from_slice).collect();
                        flipped
                    }
                    _ => {
                        let mut all = data.to_vec();
                        let flipped = flip(&mut all);
                        *data = all.into();
                        flipped
                    }
                }
            }
        };
        prop_assert_eq!(root(&answer(&bent)) == before, !bent_one);
    }

    #[test]
    fn nothing_that_is_told_makes_it_panic(
        txs in blocks(3),
        place in any::<prop::sample::Index>(),
        byte in any::<char>(),
    ) {
        let mut told: Vec<char> = answer(&txs).to_string().chars().collect();
        let place = place.index(told.len());
        told[place] = byte;
        let told: String = told.into_iter().collect();
        if let Ok(Some(receipts)) = BlockReceipts::parse(CHAIN, &told) {
            receipts.root(ReceiptFormat::Ethereum);
        }
        let _ = BlockReceipts::parse(CHAIN, &told[..told.floor_char_boundary(place)]);
    }

    #[test]
    fn a_proof_with_a_flipped_bit_proves_nothing(
        txs in blocks(20).prop_filter("transactions", |txs| !txs.is_empty()),
        tx in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let receipts = parsed(&answer(&txs));
        let root = receipts.root(ReceiptFormat::Ethereum).expect("a root");
        let tx = tx.index(txs.len());
        let proof = receipts.proof(ReceiptFormat::Ethereum, tx).expect("a proof");
        prop_assert_eq!(proof.verify(root), Ok(()));

        let flipped = |bytes: &Bytes, at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= 1_u8 << bit;
            Bytes::from(bytes)
        };
        let total: usize = proof.nodes.iter().map(|node| node.len()).sum();
        let mut at = place.index(total);
        let mut bent = proof.clone();
        for node in &mut bent.nodes {
            if at < node.len() {
                *node = flipped(node, at);
                break;
            }
            at -= node.len();
        }
        prop_assert!(bent.verify(root).is_err());

        let mut bent = proof.clone();
        bent.receipt = flipped(&proof.receipt, place.index(proof.receipt.len()));
        prop_assert!(bent.verify(root).is_err());
        let bent = ReceiptProof { tx_index: tx + 1, ..proof.clone() };
        prop_assert!(bent.verify(root).is_err());
        prop_assert!(proof.verify(B256::repeat_byte(1)).is_err());
    }
}

#[test]
fn real_blocks_have_the_roots_of_their_headers() {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Real {
        what: String,
        receipts_root: B256,
        receipts: Vec<Value>,
    }
    let text = include_str!("../../../../tests/vectors/chain/receipts.json");
    let blocks: Vec<Real> = serde_json::from_str(text).expect("json");
    for block in blocks {
        assert_eq!(
            root(&placed(block.receipts)),
            block.receipts_root,
            "{}",
            block.what
        );
    }
}

/// Adds what consensus does not keep.
fn placed(receipts: Vec<Value>) -> Value {
    let mut logs = 0..;
    let place = |value: &mut Value, tx: usize| {
        value["blockNumber"] = json!("0x7");
        value["blockHash"] = json!(HASH);
        value["transactionHash"] = json!(B256::ZERO);
        value["transactionIndex"] = json!(tx);
    };
    receipts
        .into_iter()
        .enumerate()
        .map(|(tx, mut receipt)| {
            for log in receipt["logs"].as_array_mut().expect("logs") {
                place(log, tx);
                log["logIndex"] = json!(logs.next());
            }
            place(&mut receipt, tx);
            receipt
        })
        .collect()
}

fn one(members: &Value) -> Value {
    let mut receipt = json!({ "status": "0x1", "cumulativeGasUsed": 46_913, "logs": [] });
    for (name, value) in members.as_object().expect("members") {
        receipt[name] = value.clone();
    }
    placed(vec![receipt])
}

fn encoded(answer: &Value) -> Vec<u8> {
    let proof = parsed(answer).proof(ReceiptFormat::Ethereum, 0);
    proof.expect("a proof").receipt.to_vec()
}

#[test]
fn a_deposit_commits_to_its_nonce_since_canyon() {
    let told = json!({
        "type": "0x7e", "depositNonce": "0x3d3bbf", "depositReceiptVersion": "0x1",
    });
    let expected = [
        &kernel_hex("7ef9010d0182b741b90100")[..],
        &[0; 256],
        &kernel_hex("c0833d3bbf01"),
    ];
    assert_eq!(encoded(&one(&told)), expected.concat());
}

#[test]
fn what_chains_append_is_encoded_behind_the_logs() {
    for (told, tail) in [
        (json!({ "type": "0x2" }), "c0"),
        (json!({ "type": "0x7e", "depositNonce": "0x5" }), "c0"),
        (
            json!({ "type": "0x7e", "depositReceiptVersion": "0x1" }),
            "c08001",
        ),
        (json!({ "type": "0x7b", "baseFee": "0x1234" }), "c0821234"),
        (json!({ "type": "0x7b" }), "c0"),
        (
            json!({ "type": "0x2", "baseFee": "0x1234", "depositReceiptVersion": "0x1" }),
            "c0",
        ),
    ] {
        let encoded = encoded(&one(&told));
        let tail = kernel_hex(tail);
        assert!(encoded.ends_with(&tail), "{told}");
        assert_eq!(
            encoded[encoded.len() - tail.len() - 1],
            0,
            "the bloom ends before: {told}"
        );
    }
}

#[test]
fn receipts_before_byzantium_hold_a_root() {
    let state = B256::repeat_byte(3);
    let told = one(&json!({ "status": null, "root": state }));
    let encoded = encoded(&told);
    assert_eq!(encoded[3..36], [&[0xa0], state.as_slice()].concat());
}

fn kernel_hex(text: &str) -> Vec<u8> {
    format!("0x{text}").parse::<Bytes>().expect("hex").to_vec()
}

#[test]
fn every_receipt_of_a_block_has_a_path() {
    for transactions in [1, 2, 16, 17, 127, 128, 129, 200] {
        let receipts = parsed(&answer(&block_of(transactions, 1)));
        let root = receipts.root(ReceiptFormat::Ethereum).expect("a root");
        let transactions = usize::from(transactions);
        for tx in [0, 1, transactions / 2, transactions - 1] {
            if tx < transactions {
                let proof = receipts
                    .proof(ReceiptFormat::Ethereum, tx)
                    .expect("a proof");
                assert_eq!(proof.verify(root), Ok(()), "{tx} of {transactions}");
            }
        }
        assert_eq!(receipts.proof(ReceiptFormat::Ethereum, transactions), None);
        assert_eq!(receipts.proof(ReceiptFormat::Unknown, 0), None);
    }
}

#[test]
fn a_block_without_transactions_has_the_root_of_nothing() {
    let receipts = parsed(&json!([]));
    assert!(receipts.is_empty() && receipts.block().is_none());
    assert_eq!(
        receipts.root(ReceiptFormat::Ethereum),
        Some(EMPTY_ROOT_HASH)
    );
    assert_eq!(receipts.proof(ReceiptFormat::Ethereum, 0), None);
    assert_eq!(BlockReceipts::parse(CHAIN, "null"), Ok(None));
}

#[test]
fn receipts_that_contradict_themselves_are_refused() {
    let two = block_of(2, 2);
    for (pointer, value, words) in [
        (
            "/1/transactionIndex",
            json!("0x2"),
            "transaction 1 stands at another place",
        ),
        (
            "/1/blockHash",
            json!(B256::ZERO),
            "transaction 1 is of another block",
        ),
        (
            "/1/blockNumber",
            json!("0x8"),
            "transaction 1 is of another block",
        ),
        ("/0/type", json!("0x80"), "transaction 0 has a type"),
        ("/0/status", json!("0x2"), "transaction 0 has a status"),
        (
            "/0/status",
            json!(null),
            "transaction 0 has neither a status nor a root",
        ),
        (
            "/1/logs/0/blockHash",
            json!(B256::ZERO),
            "transaction 1 has a log of another block",
        ),
        (
            "/1/logs/0/blockNumber",
            json!("0x8"),
            "transaction 1 has a log of another block",
        ),
        (
            "/1/logs/1/transactionHash",
            json!(B256::ZERO),
            "a log of another transaction",
        ),
        (
            "/1/logs/1/transactionIndex",
            json!("0x0"),
            "a log of another transaction",
        ),
        (
            "/1/logs/1/logIndex",
            json!("0x4"),
            "whose index does not follow",
        ),
        (
            "/0/logs/0/logIndex",
            json!("0x1"),
            "whose index does not follow",
        ),
        (
            "/0/logs/0/removed",
            json!(true),
            "transaction 0 has a removed log",
        ),
        (
            "/0/logs/0/topics",
            json!(vec![B256::ZERO; 5]),
            "four topics",
        ),
        ("/0/logs", json!(null), "these are no receipts"),
        ("/0", json!(null), "these are no receipts"),
        (
            "/0/cumulativeGasUsed",
            json!("0x1ffffffffffffffff"),
            "too large",
        ),
    ] {
        let mut told = answer(&two);
        *told.pointer_mut(pointer).expect(pointer) = value;
        let error = BlockReceipts::parse(CHAIN, &told.to_string()).expect_err(pointer);
        assert!(error.to_string().contains(words), "{pointer}: {error}");
        assert_eq!(error.kind(), Kind::Unavailable);
    }
}

#[test]
fn other_json_is_refused() {
    for told in [
        "",
        "[",
        "{}",
        "[[]]",
        "\"0x\"",
        "[{}]",
        "0",
        &"[".repeat(100_000),
    ] {
        assert!(BlockReceipts::parse(CHAIN, told).is_err(), "{told:.20}");
    }
}

#[test]
fn only_chains_that_we_can_recompute_have_roots() {
    use ReceiptFormat::{Assumed, Ethereum, Opaque, Unknown};
    for (chain, expected, root, bloom) in [
        (1, Ethereum, true, true),
        (8_453, Ethereum, true, true),
        (42_161, Ethereum, true, true),
        (31_337, Ethereum, true, true),
        (42_220, Assumed, true, true),
        (987_654, Assumed, true, true),
        (137, Unknown, false, true),
        (2_741, Opaque, false, false),
    ] {
        let format = ReceiptFormat::of_chain(chain);
        assert_eq!(format, expected, "{chain}");
        assert_eq!(
            (format.has_root(), format.has_bloom()),
            (root, bloom),
            "{chain}"
        );
        let empty = parsed(&json!([]));
        assert_eq!(empty.root(format).is_some(), root, "{chain}");
    }
}
