use alloy::primitives::Bloom;
use kernel::Address;
use proptest::{prelude::*, sample::Index};
use serde_json::json;

use super::*;
use crate::{
    receipts::testing::{self, HASH, NUMBER, TIME, answer, blocks, header, parsed},
    rpc::LogFilter,
};

const ETHEREUM: ReceiptFormat = ReceiptFormat::Ethereum;

/// Logs of the contract that [`blocks`] has most of, with two of its events.
fn sieve() -> Sieve {
    let mut filter = LogFilter {
        addresses: vec![Address::repeat_byte(1), Address::repeat_byte(9)],
        ..LogFilter::default()
    };
    filter.topics[0] = vec![
        B256::repeat_byte(1),
        B256::repeat_byte(2),
        B256::repeat_byte(3),
    ];
    Sieve::new(filter)
}

/// A block with logs that are asked for, and with others.
fn block() -> (Header, BlockReceipts, Vec<Log>) {
    let emitted = |contract: u8, event: u8, data: u8| {
        let topics = vec![B256::repeat_byte(event), B256::repeat_byte(data)];
        (
            Address::repeat_byte(contract),
            topics,
            vec![data; 40].into(),
        )
    };
    let tx = |logs| testing::Tx {
        kind: 2,
        success: true,
        gas: 50_000,
        logs,
    };
    let receipts = parsed(&answer(&[
        tx(vec![emitted(1, 1, 0), emitted(2, 1, 1)]),
        tx(vec![]),
        tx(vec![emitted(1, 2, 2), emitted(1, 7, 3), emitted(1, 3, 4)]),
    ]));
    let told = asked(&receipts);
    assert_eq!(told.len(), 3);
    (header(&receipts), receipts, told)
}

fn asked(receipts: &BlockReceipts) -> Vec<Log> {
    let sieve = sieve();
    let logs = receipts.logs().iter().filter(|log| sieve.takes(log));
    logs.cloned().collect()
}

fn kinds(verdict: &Verdict) -> Found {
    let kinds = verdict.findings.iter();
    kinds
        .map(|finding| (finding.kind, finding.log_index))
        .collect()
}

/// What somebody does to an answer.
type Fault = fn(&mut Vec<Log>);
/// Kind and place of each finding.
type Found = Vec<(FindingKind, u32)>;

/// How an answer is bent.
#[derive(Debug, Clone, Copy)]
enum Bend {
    Drop,
    DropAll,
    Repeat,
    Swap,
    Data,
    Topic,
    Contract,
    Transaction,
    Index,
    Time,
    Block,
}

fn bends() -> impl Strategy<Value = Bend> {
    prop::sample::select(vec![
        Bend::Drop,
        Bend::DropAll,
        Bend::Repeat,
        Bend::Swap,
        Bend::Data,
        Bend::Topic,
        Bend::Contract,
        Bend::Transaction,
        Bend::Index,
        Bend::Time,
        Bend::Block,
    ])
}

fn bend(told: &mut Vec<Log>, how: Bend, at: Index) {
    let at = at.index(told.len());
    let log = &mut told[at];
    match how {
        Bend::Drop => drop(told.remove(at)),
        Bend::DropAll => told.clear(),
        Bend::Repeat => {
            let again = log.clone();
            told.push(again);
        }
        Bend::Swap => {
            let to = (at + 1) % told.len();
            if at == to {
                told.clear();
            } else {
                told.swap(at, to);
            }
        }
        Bend::Data => log.data = [log.data.as_ref(), &[1]].concat().into(),
        Bend::Topic => log.topics[0].0[5] ^= 1,
        Bend::Contract => log.address = Address::repeat_byte(9),
        Bend::Transaction => log.tx_hash.0[0] ^= 1,
        Bend::Index => log.log_index += 1000,
        Bend::Time => log.block_time = Some(TIME + 1),
        Bend::Block => log.block_hash = B256::ZERO,
    }
}

proptest! {
    #[test]
    fn receipts_prove_what_was_told_rightly(txs in blocks(12), dated in any::<bool>()) {
        let receipts = parsed(&answer(&txs));
        let mut told = asked(&receipts);
        for log in &mut told {
            log.block_time = dated.then_some(TIME);
        }
        let verdict = examine(&header(&receipts), &told, Some(&receipts), &sieve(), ETHEREUM);
        prop_assert_eq!((verdict.level, kinds(&verdict)), (Level::Proven, vec![]));
        for log in &mut told {
            log.block_time = Some(TIME);
        }
        prop_assert_eq!(verdict.truth, Some(told));
    }

    #[test]
    fn whatever_is_dropped_altered_reordered_or_added_is_found(
        txs in blocks(12).prop_filter("logs", |txs| !asked(&parsed(&answer(txs))).is_empty()),
        how in prop::collection::vec((bends(), any::<Index>()), 1..3),
    ) {
        let receipts = parsed(&answer(&txs));
        let right = asked(&receipts);
        let mut told = right.clone();
        for (how, at) in &how {
            if !told.is_empty() {
                bend(&mut told, *how, *at);
            }
        }
        prop_assume!(told != right);
        let verdict = examine(&header(&receipts), &told, Some(&receipts), &sieve(), ETHEREUM);
        prop_assert_ne!(&verdict.findings, &vec![]);
        prop_assert_eq!(verdict.level, Level::Proven);
        let truth: Vec<Log> = right.iter().map(|log| dated(log, &header(&receipts))).collect();
        prop_assert_eq!(verdict.truth, Some(truth));
    }

    #[test]
    fn false_receipts_prove_nothing(
        txs in blocks(12).prop_filter("logs", |txs| !asked(&parsed(&answer(txs))).is_empty()),
        at in any::<Index>(),
    ) {
        let receipts = parsed(&answer(&txs));
        let mut bent = txs;
        let with_logs: Vec<usize> =
            (0..bent.len()).filter(|tx| !bent[*tx].logs.is_empty()).collect();
        bent[with_logs[at.index(with_logs.len())]].logs.pop();
        let told = asked(&receipts);
        let bent = parsed(&answer(&bent));
        for format in [ETHEREUM, ReceiptFormat::Assumed] {
            let verdict = examine(&header(&receipts), &told, Some(&bent), &sieve(), format);
            prop_assert_eq!(verdict.evidence, Evidence::Unequal);
            prop_assert_eq!(verdict.level, Level::Bloom);
            prop_assert_eq!(verdict.truth, None);
        }
    }
}

#[test]
fn each_fault_has_its_name() {
    use FindingKind::{Altered, Extra, Lost, Reordered};
    let (header, receipts, right) = block();
    let second = right[1].log_index;
    let faults: [(Fault, Found); 11] = [
        (|told| drop(told.remove(1)), vec![(Lost, second)]),
        (
            |told| told.clear(),
            right.iter().map(|log| (Lost, log.log_index)).collect(),
        ),
        (|told| told.push(told[1].clone()), vec![(Extra, second)]),
        (
            |told| told.swap(0, 1),
            vec![(Reordered, right[0].log_index)],
        ),
        (
            |told| told[1].data = vec![1].into(),
            vec![(Altered, second)],
        ),
        (|told| told[1].topics.clear(), vec![(Altered, second)]),
        (
            |told| told[1].address = Address::ZERO,
            vec![(Altered, second)],
        ),
        (|told| told[1].tx_index += 1, vec![(Altered, second)]),
        (|told| told[1].block_time = Some(1), vec![(Altered, second)]),
        (
            |told| told[1].log_index = 99,
            vec![(Extra, 99), (Lost, second)],
        ),
        (
            |told| {
                told.push(Log {
                    log_index: 5,
                    ..told[2].clone()
                });
            },
            vec![(Extra, 5)],
        ),
    ];
    for (case, (fault, expected)) in faults.into_iter().enumerate() {
        let mut told = right.clone();
        fault(&mut told);
        let verdict = examine(&header, &told, Some(&receipts), &sieve(), ETHEREUM);
        assert_eq!(kinds(&verdict), expected, "case {case}");
        for finding in &verdict.findings {
            assert_eq!(finding.told.is_none(), finding.kind == Lost);
            assert_eq!(
                finding.real.is_none(),
                finding.kind == Extra && finding.log_index != second
            );
        }
    }
}

#[test]
fn without_receipts_the_bloom_and_the_logs_themselves_must_do() {
    use FindingKind::{Altered, Extra, Reordered};
    let (header, _, right) = block();
    let second = right[1].log_index;
    let faults: [(Fault, Found, Level); 8] = [
        (|_| (), vec![], Level::Bloom),
        // What is missing cannot be seen.
        (|told| drop(told.remove(1)), vec![], Level::Bloom),
        (
            |told| told.swap(0, 1),
            vec![(Reordered, right[0].log_index)],
            Level::Reported,
        ),
        (
            |told| told.insert(1, told[1].clone()),
            vec![(Extra, second)],
            Level::Reported,
        ),
        (
            |told| told[1].block_hash = B256::ZERO,
            vec![(Extra, second)],
            Level::Reported,
        ),
        (
            |told| told[1].address = Address::repeat_byte(9),
            vec![(Extra, second)],
            Level::Reported,
        ),
        (
            |told| told[1].topics[1] = B256::repeat_byte(0xee),
            vec![(Extra, second)],
            Level::Reported,
        ),
        (
            |told| told[1].block_time = Some(1),
            vec![(Altered, second)],
            Level::Reported,
        ),
    ];
    for (case, (fault, expected, level)) in faults.into_iter().enumerate() {
        let mut told = right.clone();
        fault(&mut told);
        let verdict = examine(&header, &told, None, &sieve(), ETHEREUM);
        assert_eq!(
            (kinds(&verdict), verdict.level),
            (expected, level),
            "case {case}"
        );
        assert_eq!(
            (verdict.evidence, &verdict.truth),
            (Evidence::Missing, &None)
        );
        assert!(verdict.receipts_help(ETHEREUM), "case {case}");
    }
}

#[test]
fn silence_where_the_bloom_may_hold_something_is_suspicious() {
    let (header, receipts, _) = block();
    for format in [ETHEREUM, ReceiptFormat::Assumed, ReceiptFormat::Unknown] {
        let verdict = examine(&header, &[], None, &sieve(), format);
        assert!(
            verdict.suspicious && verdict.receipts_help(format),
            "{format:?}"
        );
        assert_eq!(
            (verdict.level, verdict.truth),
            (Level::Reported, None),
            "{format:?}"
        );
    }
    let settled = examine(&header, &[], Some(&receipts), &sieve(), ETHEREUM);
    assert!(!settled.suspicious && !settled.receipts_help(ETHEREUM));
    let opaque = examine(&header, &[], None, &sieve(), ReceiptFormat::Opaque);
    assert!(!opaque.suspicious && !opaque.receipts_help(ReceiptFormat::Opaque));
}

#[test]
fn a_bloom_that_excludes_what_was_asked_for_proves_that_there_is_none() {
    let (mut header, _, told) = block();
    header.logs_bloom = Bloom::ZERO.to_vec().into();
    for (format, level) in [
        (ETHEREUM, Level::Proven),
        (ReceiptFormat::Assumed, Level::Proven),
        (ReceiptFormat::Unknown, Level::Bloom),
        (ReceiptFormat::Opaque, Level::Reported),
    ] {
        let verdict = examine(&header, &[], None, &sieve(), format);
        assert_eq!(
            (verdict.level, kinds(&verdict)),
            (level, vec![]),
            "{format:?}"
        );
        assert!(!verdict.receipts_help(format), "{format:?}");

        let verdict = examine(&header, &told, None, &sieve(), format);
        let extra = told.iter().map(|log| (FindingKind::Extra, log.log_index));
        let expected = if format.has_bloom() {
            extra.collect()
        } else {
            vec![]
        };
        assert_eq!(
            (verdict.level, kinds(&verdict)),
            (level, expected),
            "{format:?}"
        );
    }
}

#[test]
fn a_chain_whose_receipts_cannot_be_recomputed_gets_no_further_than_their_bloom() {
    let (header, receipts, right) = block();
    for (format, evidence, level) in [
        (ReceiptFormat::Unknown, Evidence::Bloom, Level::Bloom),
        (ReceiptFormat::Opaque, Evidence::Hearsay, Level::Reported),
    ] {
        let verdict = examine(&header, &right[1..], Some(&receipts), &sieve(), format);
        assert_eq!(
            (verdict.evidence, verdict.level),
            (evidence, level),
            "{format:?}"
        );
        assert_eq!(kinds(&verdict), [(FindingKind::Lost, 0)], "{format:?}");
        assert_eq!(
            verdict.truth.map(|truth| truth.len()),
            Some(3),
            "{format:?}"
        );
    }
    let mut other = header;
    other.logs_bloom = Bloom::repeat_byte(0xff).to_vec().into();
    let verdict = examine(
        &other,
        &right,
        Some(&receipts),
        &sieve(),
        ReceiptFormat::Unknown,
    );
    assert_eq!((verdict.evidence, verdict.truth), (Evidence::Unequal, None));
}

/// anvil's `--transaction-block-keeper` forgets transactions and keeps headers: it then answers
/// `[]` to everything, without an error.
#[test]
fn a_node_that_forgot_the_blocks_transactions_is_no_evidence() {
    let (header, _, _) = block();
    let nothing = parsed(&json!([]));
    let verdict = examine(&header, &[], Some(&nothing), &sieve(), ETHEREUM);
    assert_eq!(
        (verdict.evidence, verdict.suspicious),
        (Evidence::Unequal, true)
    );
    assert_eq!((verdict.level, verdict.truth), (Level::Reported, None));
}

#[test]
fn receipts_of_another_block_are_no_evidence() {
    let (mut header, receipts, right) = block();
    assert_eq!(receipts.block(), Some((NUMBER, HASH)));
    header.hash = B256::ZERO;
    let verdict = examine(&header, &right, Some(&receipts), &sieve(), ETHEREUM);
    assert_eq!((verdict.evidence, verdict.truth), (Evidence::Unequal, None));
    assert_eq!(
        verdict.findings.len(),
        3,
        "the logs are of another block too"
    );
}
