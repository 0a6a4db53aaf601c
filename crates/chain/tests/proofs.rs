//! Receipts, blooms and state of a real chain (anvil), held against its headers.

#[path = "kit/node.rs"]
mod node;

use chain::{
    At, BlockReceipts, Call, Evidence, Header, Level, LogFilter, ReceiptFormat, Rpc, Sieve, deploy,
    examine,
    layout::{self, Text},
    registry::{self, MetadataEntry},
    state::{Account, StateProof},
};
use kernel::{Address, B256, Bytes, U256};
use node::{ALICE, Anvil, BOB, sender};
use serde_json::{Value, json, value::RawValue};

const ETHEREUM: ReceiptFormat = ReceiptFormat::Ethereum;

async fn header(rpc: &Rpc, at: At) -> Header {
    rpc.block(at).await.expect("answer").expect("known")
}

async fn receipts(rpc: &Rpc, hash: B256) -> BlockReceipts {
    let raw: Box<RawValue> = rpc
        .ask("eth_getBlockReceipts", json!([hash]))
        .await
        .expect("receipts");
    BlockReceipts::parse(rpc.chain(), raw.get())
        .expect("receipts")
        .expect("a known block")
}

async fn state(rpc: &Rpc, address: Address, slots: &[B256], header: &Header) -> Account {
    let params = json!([address, slots, format!("{:#x}", header.number)]);
    let raw: Box<RawValue> = rpc.ask("eth_getProof", params).await.expect("a proof");
    StateProof::parse(raw.get())
        .expect("a proof")
        .verify(header.state_root, address, slots)
        .expect("proven")
}

/// Sends from an account that anvil signs for, without asking whether it will work.
async fn send(rpc: &Rpc, mut transaction: Value) {
    transaction["from"] = json!(node::signer(ALICE).address());
    transaction["gas"] = json!("0x200000");
    let _: B256 = rpc
        .ask("eth_sendTransaction", json!([transaction]))
        .await
        .expect("taken");
}

#[tokio::test]
async fn blocks_of_every_sort_are_proven_by_their_receipts() {
    for hardfork in ["cancun", "prague", "osaka"] {
        let anvil = Anvil::start(&["--hardfork", hardfork]);
        let rpc = anvil.rpc().await;
        let alice = sender(&rpc, ALICE);
        let identity = deploy::identity_registry(&alice)
            .await
            .expect("deployed")
            .address;
        let _: Value = rpc
            .ask("evm_setAutomine", json!([false]))
            .await
            .expect("set");
        let register = registry::register_with_uri("ipfs://one");
        let to_registry = |more: Value| {
            let mut transaction = json!({ "to": identity, "data": register });
            for (name, value) in more.as_object().expect("members") {
                transaction[name] = value.clone();
            }
            transaction
        };
        // Types 0, 1 and 2, one that reverts, one without logs, then a block without any.
        send(&rpc, to_registry(json!({ "gasPrice": "0x77359400" }))).await;
        let access = json!([{ "address": identity, "storageKeys": [B256::ZERO] }]);
        send(
            &rpc,
            to_registry(json!({ "gasPrice": "0x77359400", "accessList": access })),
        )
        .await;
        send(&rpc, to_registry(json!({ "maxFeePerGas": "0x77359400" }))).await;
        send(&rpc, to_registry(json!({ "data": "0xdeadbeef" }))).await;
        send(&rpc, json!({ "to": Address::ZERO, "value": "0x1" })).await;
        for _ in 0..2 {
            let _: Value = rpc.ask("evm_mine", json!([])).await.expect("mined");
        }

        let head = header(&rpc, At::Latest).await;
        let sieve = Sieve::new(LogFilter {
            addresses: vec![identity],
            ..LogFilter::default()
        });
        let mut logs = 0;
        for number in 0..=head.number {
            let header = header(&rpc, At::Number(number)).await;
            let receipts = receipts(&rpc, header.hash).await;
            assert_eq!(
                receipts.root(ETHEREUM),
                Some(header.receipts_root),
                "{hardfork}, block {number}"
            );
            assert_eq!(receipts.bloom().as_slice(), &header.logs_bloom[..]);
            for tx in 0..receipts.len() {
                let proof = receipts.proof(ETHEREUM, tx).expect("a path");
                assert_eq!(proof.verify(header.receipts_root), Ok(()));
            }
            let told = rpc
                .logs_of_block(header.hash, sieve.filter())
                .await
                .expect("logs");
            let verdict = examine(&header, &told, Some(&receipts), &sieve, ETHEREUM);
            assert_eq!(
                (verdict.level, verdict.evidence),
                (Level::Proven, Evidence::Root)
            );
            assert_eq!(
                (verdict.findings, told.len()),
                (vec![], verdict.truth.expect("known").len())
            );
            logs += told.len();
        }
        let full = receipts(&rpc, header(&rpc, At::Number(head.number - 1)).await.hash).await;
        assert_eq!((full.len(), full.logs().len()), (5, 12), "{hardfork}");
        assert!(logs > 12, "the deployment's too");
    }
}

/// With `--transaction-block-keeper`, anvil keeps headers and forgets transactions: it answers
/// that there are no receipts and logs, without error.
#[tokio::test]
async fn a_node_that_forgets_logs_silently_is_caught() {
    let anvil = Anvil::start(&["--transaction-block-keeper", "2"]);
    let rpc = anvil.rpc().await;
    let alice = sender(&rpc, ALICE);
    let identity = deploy::identity_registry(&alice)
        .await
        .expect("deployed")
        .address;
    let call = Call::new(identity, registry::register());
    let forgotten = alice.send(call).await.expect("registered").block_hash;
    for _ in 0..8 {
        let _: Value = rpc.ask("evm_mine", json!([])).await.expect("mined");
    }
    let header = header(&rpc, At::Hash(forgotten)).await;
    let sieve = Sieve::new(LogFilter {
        addresses: vec![identity],
        ..LogFilter::default()
    });
    let number = header.number;
    let told = rpc
        .logs(number..=number, sieve.filter())
        .await
        .expect("logs");
    assert_eq!(told, [], "anvil forgot them");
    let suspect = examine(&header, &told, None, &sieve, ETHEREUM);
    assert!(suspect.suspicious && suspect.receipts_help(ETHEREUM));

    let raw: Box<RawValue> = rpc
        .ask("eth_getBlockReceipts", json!([forgotten]))
        .await
        .expect("an answer");
    let receipts = BlockReceipts::parse(rpc.chain(), raw.get()).expect("receipts or null");
    let verdict = examine(&header, &told, receipts.as_ref(), &sieve, ETHEREUM);
    assert_ne!(verdict.evidence, Evidence::Root);
    assert_eq!((verdict.level, verdict.truth), (Level::Reported, None));
}

#[tokio::test]
async fn everything_that_a_registry_says_stands_in_proven_slots() {
    let anvil = Anvil::start(&[]);
    let rpc = anvil.rpc().await;
    let (alice, bob) = (sender(&rpc, ALICE), sender(&rpc, BOB));
    let identity = deploy::identity_registry(&alice)
        .await
        .expect("deployed")
        .address;
    let long = format!("data:application/json,{}", "x".repeat(3000));
    let uris = [
        "",
        "ipfs://short",
        &"b".repeat(31),
        &"c".repeat(32),
        &"d".repeat(33),
        &long,
    ];
    for uri in uris {
        let metadata = vec![
            MetadataEntry {
                metadataKey: "name".to_owned(),
                metadataValue: Bytes::from_static(b"A"),
            },
            MetadataEntry {
                metadataKey: String::new(),
                metadataValue: vec![0xff; 70].into(),
            },
        ];
        let register = registry::register_with_metadata(uri, metadata);
        alice
            .send(Call::new(identity, register))
            .await
            .expect("registered");
    }
    let last = U256::from(uris.len() - 1);
    let transfer = registry::transfer(alice.address(), bob.address(), last);
    alice
        .send(Call::new(identity, transfer))
        .await
        .expect("moved");

    let header = header(&rpc, At::Latest).await;
    let word = async |slot: B256| state(&rpc, identity, &[slot], &header).await.words[0];
    let text = async |slot: B256| match Text::read(slot, word(slot).await, 10_000) {
        Some(Text::Short(text)) => text,
        Some(Text::Long(long)) => {
            let slots: Vec<B256> = long.slots().collect();
            let account = state(&rpc, identity, &slots, &header).await;
            long.join(&account.words).expect("as many words")
        }
        None => panic!("no text in {slot}"),
    };
    assert_eq!(
        word(layout::LAST_ID).await,
        B256::from(U256::from(uris.len()))
    );
    let code = layout::address(word(layout::IMPLEMENTATION).await).expect("an address");
    assert!(!rpc.code(code, At::Latest).await.expect("code").is_empty());
    for (agent, uri) in uris.iter().enumerate() {
        let agent = U256::from(agent);
        assert_eq!(&text(layout::uri(agent)).await[..], uri.as_bytes());
        let owner = layout::address(word(layout::owner(agent)).await);
        let wallet = layout::wallet_of(&text(layout::wallet(agent)).await);
        let expected = if agent == last {
            (bob.address(), Address::ZERO)
        } else {
            (alice.address(), alice.address())
        };
        assert_eq!((owner, wallet), (Some(expected.0), Some(expected.1)));
        let metadata = async |key: &[u8]| text(layout::metadata(agent, key)).await;
        assert_eq!(metadata(b"name").await, Bytes::from_static(b"A"));
        assert_eq!(metadata(b"").await, Bytes::from(vec![0xff; 70]));
        assert_eq!(metadata(b"none").await, Bytes::new());
    }
    let unknown = U256::from(uris.len());
    assert_eq!(word(layout::owner(unknown)).await, B256::ZERO);

    // An account without storage, one that does not exist, and the state before all this.
    let slots = [layout::LAST_ID];
    let plain = state(&rpc, alice.address(), &slots, &header).await;
    assert_eq!((plain.exists, plain.words), (true, vec![B256::ZERO]));
    let absent = state(&rpc, Address::repeat_byte(0xab), &slots, &header).await;
    assert_eq!((absent.exists, absent.words), (false, vec![B256::ZERO]));
    // (anvil's genesis has the state root of nothing, in spite of its rich accounts.)
    let before = self::header(&rpc, At::Number(1)).await;
    assert!(!state(&rpc, identity, &slots, &before).await.exists);
}
