//! The decoder against what real contracts emitted and answered (`tests/vectors/chain/ORIGIN`).

use std::collections::BTreeMap;

use kernel::{Address, B256, Bytes, Token, U256};
use serde_json::Value;

use super::*;
use crate::{log::Log, recording::Recording};

/// What a fold of everything said about a token ends in.
#[derive(Debug, Default, PartialEq)]
struct State {
    owner: Option<Address>,
    uri: Bytes,
    wallet: Option<Address>,
    approved: Option<Address>,
}

fn state(said: &[(usize, Result<Said, Malformed>)]) -> State {
    let mut state = State::default();
    for (_, said) in said {
        match said.clone().expect("well formed") {
            Said::Founded { owner, confirmed } => {
                assert!(confirmed);
                state = State {
                    owner: Some(owner),
                    ..State::default()
                };
            }
            Said::OwnerMoved { from, to } => {
                assert_eq!(state.owner, Some(from));
                state.owner = Some(to);
                state.approved = None;
            }
            Said::WalletSet { wallet, .. } => state.wallet = wallet,
            Said::UriSet { uri, .. } => state.uri = uri,
            Said::Approved { approved } => state.approved = approved,
            _ => {}
        }
    }
    state
}

fn reference() -> Value {
    let text = include_str!("../../../../tests/vectors/chain/anvil-reference-contract-logs.json");
    serde_json::from_str(text).expect("json")
}

/// The run's logs in chain order; the file numbers them by transaction, one in each block.
fn reference_logs(reference: &Value) -> Vec<(String, Log)> {
    let mut logs = Vec::new();
    for step in reference["out"].as_array().expect("out") {
        let Some(block) = step["block"].as_u64() else {
            continue;
        };
        for raw in step["logs"].as_array().expect("logs") {
            let log = Log {
                chain: 1,
                block_number: block,
                block_hash: B256::from(U256::from(block)),
                block_time: None,
                tx_hash: B256::from(U256::from(block)),
                tx_index: 0,
                log_index: raw["i"].as_u64().expect("i").try_into().expect("small"),
                address: serde_json::from_value(raw["address"].clone()).expect("address"),
                topics: serde_json::from_value(raw["topics"].clone()).expect("topics"),
                data: serde_json::from_value(raw["data"].clone()).expect("data"),
            };
            logs.push((step["label"].as_str().expect("label").to_owned(), log));
        }
    }
    logs
}

fn registries(reference: &Value) -> Registries {
    let id = serde_json::from_value(reference["addr"]["ID"].clone()).expect("address");
    Registries {
        identity: vec![id],
        ..Registries::default()
    }
}

fn by_token<'a>(
    logs: impl Iterator<Item = &'a Log>,
    registries: &Registries,
) -> BTreeMap<Token, Vec<Log>> {
    let mut tokens: BTreeMap<Token, Vec<Log>> = BTreeMap::new();
    for log in logs {
        if let Some(token) = subject(log, registries) {
            tokens.entry(token).or_default().push(log.clone());
        }
    }
    tokens
}

#[test]
fn owner_uri_and_wallet_equal_the_state_also_where_events_lie() {
    let reference = reference();
    let registries = registries(&reference);
    let logs = reference_logs(&reference);
    let tokens = by_token(logs.iter().map(|(_, log)| log), &registries);
    assert_eq!(tokens.len(), 5);
    let read = |name: &str| {
        reference["reads"][name]
            .as_str()
            .expect("a read")
            .to_owned()
    };
    let address = |name: &str| {
        let address: Address = read(name).parse().expect("an address");
        (!address.is_zero()).then_some(address)
    };
    for (token, logs) in &tokens {
        let state = state(&decode_token(logs, SeenTopics::ALL));
        match token.id.to::<u64>() {
            0 => {
                assert_eq!(state.wallet, address("wallet0"));
                assert_eq!(state.approved, address("approved0"));
                assert_eq!(state.uri.as_ref(), b"https://example.com/a.json");
            }
            1 => {
                assert_eq!(state.wallet, address("wallet1"));
                assert!(state.uri.starts_with(b"data:application/json;base64,"));
            }
            2 => {
                assert_eq!(state.wallet, state.owner);
                assert!(state.uri.starts_with(b"ipfs://bafkrei"));
            }
            id => {
                assert_eq!(state.owner, address(&format!("owner{id}")));
                assert_eq!(state.wallet, address(&format!("wallet{id}")));
                assert_eq!(state.uri.as_ref(), read(&format!("uri{id}")).as_bytes());
            }
        }
    }
}

#[test]
fn each_step_of_the_reference_run_says_what_it_did() {
    let reference = reference();
    let registries = registries(&reference);
    let logs = reference_logs(&reference);
    let mut steps: BTreeMap<String, Vec<Said>> = BTreeMap::new();
    for logs_of_token in by_token(logs.iter().map(|(_, log)| log), &registries).values() {
        for (index, said) in decode_token(logs_of_token, SeenTopics::ALL) {
            let log = &logs_of_token[index];
            let (label, _) = logs.iter().find(|(_, known)| known == log).expect("a step");
            steps
                .entry(label.clone())
                .or_default()
                .push(said.expect("well formed"));
        }
    }
    let accounts: Vec<Address> =
        serde_json::from_value(reference["addr"]["accts"].clone()).expect("accounts");
    let (alice, bob) = (accounts[1], accounts[2]);
    let set = |uri: &'static str| Said::UriSet {
        uri: uri.as_bytes().into(),
        confirmed: true,
    };
    let wallet = |wallet| Said::WalletSet {
        wallet,
        confirmed: true,
    };
    let minted = [
        Said::Founded {
            owner: alice,
            confirmed: true,
        },
        wallet(Some(alice)),
    ];
    assert_eq!(
        steps["register()"],
        [&minted[..], &[Said::Noted, Said::Noted]].concat()
    );
    assert_eq!(steps["register(uri)"][..2], minted);
    assert!(matches!(
        steps["register(uri)"][3],
        Said::UriSet {
            confirmed: true,
            ..
        }
    ));
    assert_eq!(steps["register(uri,meta)"].len(), 7);
    assert_eq!(
        steps["register(uri,meta)"][5..],
        [
            Said::MetadataSet {
                key: "agentName".into(),
                value: "bob".into()
            },
            Said::MetadataSet {
                key: Bytes::new(),
                value: Bytes::new()
            },
        ]
    );
    assert_eq!(steps["setAgentURI same"], [Said::Noted, set("")]);
    assert_eq!(
        steps["setAgentURI"],
        [Said::Noted, set("https://example.com/a.json")]
    );
    assert!(matches!(
        steps["setAgentWallet EOA"][..],
        [Said::WalletSet {
            wallet: Some(_),
            ..
        }]
    ));
    assert!(matches!(
        steps["setAgentWallet 1271"][..],
        [Said::WalletSet {
            wallet: Some(_),
            ..
        }]
    ));
    assert_eq!(steps["unsetAgentWallet"], [wallet(None)]);
    let moved = |from, to| Said::OwnerMoved { from, to };
    assert_eq!(steps["self transfer"], [wallet(None), moved(alice, alice)]);
    assert_eq!(steps["transfer"], [wallet(None), moved(alice, bob)]);
    assert_eq!(
        steps["approve"],
        [Said::Approved {
            approved: Some(accounts[3])
        }]
    );

    let sets: Vec<_> = logs.iter().filter_map(|(_, log)| operator(log)).collect();
    assert!(matches!(sets[..], [Ok(OperatorSet { approved: true, .. })]));
}

#[test]
fn recorded_mainnet_logs_decode_entirely() {
    let json = include_bytes!("../../../../tests/vectors/chain/mainnet-logs.json");
    let recording = Recording::parse(json).expect("a recording");
    assert_eq!((recording.chain, recording.logs.len()), (1, 108));
    let seen = SeenTopics::of(&recording.logs);
    assert_eq!(
        (seen.transfer, seen.metadata_update, seen.metadata_set),
        (false, false, false)
    );
    let registry = crate::preset::by_id(1).expect("mainnet").registry;
    let registries = Registries {
        identity: vec![registry],
        ..Registries::default()
    };
    let tokens = by_token(recording.logs.iter(), &registries);
    assert_eq!(tokens.len(), 92);
    let mut unowned = 0;
    let mut answered = 0;
    for logs in tokens.values() {
        let said = decode_token(logs, seen);
        answered += logs.len();
        assert!(said.iter().all(|(_, said)| said.is_ok()));
        let founded = said
            .iter()
            .any(|(_, said)| matches!(said, Ok(Said::Founded { .. })));
        unowned += usize::from(!founded);
        assert!(
            said.iter()
                .any(|(_, said)| matches!(said, Ok(Said::UriSet { .. })))
        );
    }
    assert_eq!((answered, unowned), (108, 19));
}
