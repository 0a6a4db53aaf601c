//! Rules that need crafted logs, and proof that no bytes make the decoder panic.

use kernel::{B256, U256, keccak256};
use proptest::prelude::*;

use super::*;
use crate::{
    contracts::topics,
    decode::{Registries, operator, subject, upgraded},
};

const REGISTRY: Address = Address::repeat_byte(0x11);
const STATUS: Address = Address::repeat_byte(0x22);
const ALICE: Address = Address::repeat_byte(0xaa);
const BOB: Address = Address::repeat_byte(0xbb);

fn log(index: u32, topics: &[B256], data: Vec<u8>) -> Log {
    Log {
        chain: 1,
        block_number: 1,
        block_hash: B256::repeat_byte(1),
        block_time: None,
        tx_hash: B256::repeat_byte(2),
        tx_index: 0,
        log_index: index,
        address: REGISTRY,
        topics: topics.to_vec(),
        data: data.into(),
    }
}

fn encoded(values: &[&[u8]]) -> Vec<u8> {
    let mut head = Vec::new();
    let mut tail = Vec::new();
    for value in values {
        let offset = U256::from(values.len() * 32 + tail.len());
        head.extend_from_slice(&offset.to_be_bytes::<32>());
        tail.extend_from_slice(&U256::from(value.len()).to_be_bytes::<32>());
        tail.extend_from_slice(value);
        tail.resize(tail.len().next_multiple_of(32), 0);
    }
    head.extend(tail);
    head
}

fn transfer_log(index: u32, from: Address, to: Address) -> Log {
    log(
        index,
        &[
            topics::TRANSFER,
            from.into_word(),
            to.into_word(),
            B256::ZERO,
        ],
        vec![],
    )
}

fn registered_log(index: u32, owner: Address, uri: &[u8]) -> Log {
    let topics = [topics::REGISTERED, B256::ZERO, owner.into_word()];
    log(index, &topics, encoded(&[uri]))
}

fn metadata_log(index: u32, key: &[u8], value: &[u8]) -> Log {
    log(
        index,
        &[topics::METADATA_SET, B256::ZERO, keccak256(key)],
        encoded(&[key, value]),
    )
}

fn update_log(index: u32) -> Log {
    log(index, &[topics::METADATA_UPDATE], vec![0; 32])
}

fn says(logs: &[Log], topics: SeenTopics) -> Vec<Said> {
    decode_token(logs, topics)
        .into_iter()
        .map(|(_, said)| said.expect("well formed"))
        .collect()
}

#[test]
fn adjacency_is_one_log_index_also_where_a_filter_left_logs_out() {
    let with_gap = [
        transfer_log(4, Address::ZERO, ALICE),
        update_log(5),
        registered_log(7, ALICE, b"a"),
    ];
    assert_eq!(says(&with_gap, SeenTopics::ALL).last(), Some(&Said::Noted));
    let without = [
        transfer_log(4, Address::ZERO, ALICE),
        update_log(6),
        registered_log(7, ALICE, b"a"),
    ];
    let uri = Bytes::from_static(b"a");
    assert_eq!(
        says(&without, SeenTopics::ALL).last(),
        Some(&Said::UriSet {
            uri,
            confirmed: true
        })
    );

    let mut other_tx = [update_log(6), registered_log(7, ALICE, b"a")];
    other_tx[0].tx_hash = B256::repeat_byte(9);
    assert_eq!(says(&other_tx, SeenTopics::ALL), [Said::Noted, Said::Noted]);
}

#[test]
fn a_wallet_set_later_counts_although_registered_once_stood_before() {
    let logs = [
        transfer_log(0, Address::ZERO, ALICE),
        registered_log(1, ALICE, b""),
        metadata_log(2, b"agentWallet", ALICE.as_slice()),
        metadata_log(3, b"agentWallet", BOB.as_slice()),
        metadata_log(9, b"agentWallet", b""),
        transfer_log(10, ALICE, BOB),
    ];
    assert_eq!(
        says(&logs, SeenTopics::ALL),
        [
            Said::Founded {
                owner: ALICE,
                confirmed: true
            },
            Said::WalletSet {
                wallet: Some(ALICE),
                confirmed: true
            },
            Said::Noted,
            Said::Noted,
            Said::WalletSet {
                wallet: Some(BOB),
                confirmed: true
            },
            Said::WalletSet {
                wallet: None,
                confirmed: true
            },
            Said::OwnerMoved {
                from: ALICE,
                to: BOB
            },
        ]
    );
}

#[test]
fn without_the_better_topics_the_next_best_counts_unconfirmed() {
    let logs = [
        registered_log(1, ALICE, b"uri"),
        metadata_log(2, b"agentWallet", ALICE.as_slice()),
    ];
    let nothing = SeenTopics {
        transfer: false,
        metadata_update: false,
        metadata_set: true,
    };
    let uri = Bytes::from_static(b"uri");
    assert_eq!(
        says(&logs, nothing),
        [
            Said::Founded {
                owner: ALICE,
                confirmed: false
            },
            Said::UriSet {
                uri,
                confirmed: false
            },
            Said::WalletSet {
                wallet: Some(ALICE),
                confirmed: false
            },
        ]
    );
    let no_metadata = SeenTopics {
        metadata_set: false,
        ..SeenTopics::ALL
    };
    let logs = [
        transfer_log(0, Address::ZERO, ALICE),
        transfer_log(5, ALICE, BOB),
    ];
    let said = says(&logs, no_metadata);
    assert_eq!(
        said.last(),
        Some(&Said::WalletSet {
            wallet: None,
            confirmed: false
        })
    );
    assert!(
        said.iter()
            .filter(|said| matches!(said, Said::WalletSet { .. }))
            .all(|said| !said.confirmed())
    );
}

#[test]
fn raw_bytes_stay_raw() {
    let odd = b"\xff\0\xfe";
    let logs = [metadata_log(0, odd, odd), metadata_log(1, b"", b"")];
    let odd = Bytes::from_static(odd);
    assert_eq!(
        says(&logs, SeenTopics::ALL),
        [
            Said::MetadataSet {
                key: odd.clone(),
                value: odd
            },
            Said::MetadataSet {
                key: Bytes::new(),
                value: Bytes::new()
            },
        ]
    );
}

#[test]
fn status_logs_belong_to_the_token_that_they_name() {
    let registries = Registries {
        identity: vec![REGISTRY],
        status: vec![STATUS],
        ..Registries::default()
    };
    let id = B256::with_last_byte(7);
    let mut data = U256::from(2).to_be_bytes::<32>().to_vec();
    data.extend(U256::from(96).to_be_bytes::<32>());
    data.extend(BOB.into_word());
    data.extend(U256::from(4).to_be_bytes::<32>());
    data.extend(b"done");
    let mut status = log(3, &[topics::STATUS_SET, REGISTRY.into_word(), id], data);
    status.address = STATUS;
    let token = subject(&status, &registries).expect("a subject");
    assert_eq!((token.registry, token.id), (REGISTRY, U256::from(7)));
    let reason = Bytes::from_static(b"done");
    assert_eq!(
        says(&[status.clone()], SeenTopics::ALL),
        [Said::StatusSet {
            status: 2,
            reason,
            speaker: BOB
        }]
    );

    // A registry that nobody configured, and a contract that nobody configured.
    let elsewhere = Registries {
        identity: vec![ALICE],
        status: vec![STATUS],
        ..Registries::default()
    };
    assert_eq!(subject(&status, &elsewhere), None);
    status.address = BOB;
    assert_eq!(subject(&status, &registries), None);
}

#[test]
fn what_is_not_the_encoding_is_malformed() {
    let short_wallet = metadata_log(0, b"agentWallet", b"short");
    let mut wrong_key = metadata_log(0, b"key", b"value");
    wrong_key.topics[2] = keccak256(b"another");
    let mut no_owner = registered_log(0, ALICE, b"a");
    no_owner.topics.pop();
    let mut cut = registered_log(0, ALICE, &[7; 40]);
    cut.data = cut.data.slice(..100);
    let nobody = transfer_log(0, Address::ZERO, Address::ZERO);
    for log in [short_wallet, wrong_key, no_owner, cut, nobody] {
        let out = decode_token(std::slice::from_ref(&log), SeenTopics::ALL);
        assert!(matches!(out[..], [(0, Err(_))]), "{log:?}");
    }
}

fn any_topic() -> impl Strategy<Value = B256> {
    let known = topics::OF_REGISTRY
        .into_iter()
        .chain(topics::OF_STATUS)
        .collect::<Vec<_>>();
    prop_oneof![
        proptest::sample::select(known),
        any::<[u8; 32]>().prop_map(B256::from),
        any::<u8>().prop_map(B256::with_last_byte),
        Just(keccak256(WALLET_KEY)),
    ]
}

fn any_data() -> impl Strategy<Value = Vec<u8>> {
    let words = proptest::collection::vec(
        prop_oneof![
            any::<u8>().prop_map(|byte| B256::with_last_byte(byte).0),
            any::<[u8; 32]>(),
            Just(U256::from(u64::MAX).to_be_bytes()),
        ],
        0..8,
    );
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        words.prop_map(|words| words.concat()),
        (any::<Vec<u8>>(), any::<Vec<u8>>()).prop_map(|(a, b)| encoded(&[&a, &b])),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic_and_every_log_is_answered(
        raw in proptest::collection::vec(
            (proptest::collection::vec(any_topic(), 0..6), any_data(), 0u32..3),
            0..12,
        ),
        seen in any::<[bool; 3]>(),
    ) {
        let mut index = 0;
        let logs: Vec<Log> = raw
            .into_iter()
            .map(|(topics, data, step)| {
                index += step;
                log(index, &topics, data)
            })
            .collect();
        let [transfer, metadata_update, metadata_set] = seen;
        let out = decode_token(&logs, SeenTopics { transfer, metadata_update, metadata_set });
        let mut answered: Vec<usize> = out.iter().map(|(index, _)| *index).collect();
        prop_assert!(answered.is_sorted());
        answered.dedup();
        prop_assert_eq!(answered, (0..logs.len()).collect::<Vec<_>>());
        let registries = Registries { identity: vec![REGISTRY], status: vec![REGISTRY], ..Registries::default() };
        for log in &logs {
            let _ = (subject(log, &registries), operator(log), upgraded(log));
        }
    }
}
