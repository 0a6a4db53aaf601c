//! The client, the sender and our contracts on a real chain: anvil, as npm brings it.

#[path = "kit/node.rs"]
mod node;

use std::{net::TcpListener, num::NonZeroU32};

use alloy::sol_types::SolCall;
use chain::{
    At, Call, Limits, LogFilter, Registries, Rpc, RpcError, Said, SeenTopics, SendError, Sender,
    SenderConfig,
    contracts::{IdentityRegistry, topics},
    decode_token, deploy, registry,
    sender::{prepare, relay},
    subject,
};
use kernel::{Address, B256, Bytes, Kind, U256};
use node::{ALICE, Anvil, BOB, config, sender, signer};
use serde_json::{Value, json};

#[tokio::test]
async fn our_contracts_are_deployed_and_read_back() {
    let anvil = Anvil::start(&[]);
    let rpc = anvil.rpc().await;
    assert_eq!(rpc.chain(), 31_337);
    let (alice, bob) = (sender(&rpc, ALICE), sender(&rpc, BOB));
    let identity = deploy::identity_registry(&alice)
        .await
        .expect("deployed")
        .address;
    let status = deploy::agent_status(&alice)
        .await
        .expect("deployed")
        .address;
    assert!(
        !rpc.code(identity, At::Latest)
            .await
            .expect("code")
            .is_empty()
    );
    assert!(
        rpc.code(Address::repeat_byte(9), At::Latest)
            .await
            .expect("code")
            .is_empty()
    );

    let id = U256::ZERO;
    let from = rpc
        .block(At::Latest)
        .await
        .expect("head")
        .expect("known")
        .number
        + 1;
    let call = |data: Bytes| Call::new(identity, data);
    alice
        .send(call(registry::register_with_uri("ipfs://one")))
        .await
        .expect("registered");
    alice
        .send(call(registry::set_agent_uri(id, "ipfs://two")))
        .await
        .expect("set");
    let consent = registry::WalletConsent {
        chain: rpc.chain(),
        registry: identity,
        id,
        wallet: bob.address(),
        owner: alice.address(),
        deadline: U256::from(consent_deadline(&rpc).await),
    };
    let signature = consent.sign(&signer(BOB)).expect("signed");
    let set = registry::set_agent_wallet(id, bob.address(), consent.deadline, signature);
    alice.send(call(set)).await.expect("wallet");
    let sleep = registry::set_status(identity, id, 1, "tired");
    bob.send(Call::new(status, sleep))
        .await
        .expect("the wallet may speak");
    bob.send(Call::new(status, registry::heartbeat(identity, id)))
        .await
        .expect("beat");

    assert_eq!(owner(&rpc, identity, id).await, Some(alice.address()));
    assert_eq!(owner(&rpc, identity, U256::from(1)).await, None);
    let uri = registry::token_uri(&rpc, identity, id, At::Latest)
        .await
        .expect("uri");
    assert_eq!(uri, Some(Bytes::from_static(b"ipfs://two")));
    let wallet = registry::agent_wallet(&rpc, identity, id, At::Latest)
        .await
        .expect("wallet");
    assert_eq!(wallet, Some(bob.address()));

    let transfer = registry::transfer(alice.address(), bob.address(), id);
    let moved = alice.send(call(transfer)).await.expect("moved");
    assert_eq!(owner(&rpc, identity, id).await, Some(bob.address()));

    // The same from logs, by range and by block.
    let mut filter = LogFilter {
        addresses: vec![identity, status],
        ..LogFilter::default()
    };
    let logs = rpc
        .logs(from..=moved.block_number, &filter)
        .await
        .expect("logs");
    let registries = Registries {
        identity: vec![identity],
        status: vec![status],
        ..Registries::default()
    };
    assert!(
        logs.iter()
            .all(|log| subject(log, &registries).is_some_and(|token| token.id == id))
    );
    let said: Vec<Said> = decode_token(&logs, SeenTopics::ALL)
        .into_iter()
        .map(|(_, said)| said.expect("well formed"))
        .filter(|said| *said != Said::Noted)
        .collect();
    let wallet_set = |wallet| Said::WalletSet {
        wallet,
        confirmed: true,
    };
    let uri_set = |uri: &'static str| Said::UriSet {
        uri: uri.as_bytes().into(),
        confirmed: true,
    };
    assert_eq!(
        said,
        [
            Said::Founded {
                owner: alice.address(),
                confirmed: true
            },
            wallet_set(Some(alice.address())),
            uri_set("ipfs://one"),
            uri_set("ipfs://two"),
            wallet_set(Some(bob.address())),
            Said::StatusSet {
                status: 1,
                reason: "tired".into(),
                speaker: bob.address()
            },
            Said::Heartbeat,
            wallet_set(None),
            Said::OwnerMoved {
                from: alice.address(),
                to: bob.address()
            },
        ]
    );
    filter.topics[0] = vec![topics::TRANSFER];
    let last = rpc
        .logs_of_block(moved.block_hash, &filter)
        .await
        .expect("logs");
    assert_eq!(last.len(), 1);
    assert_eq!(last, moved.logs[1..]);
}

async fn owner(rpc: &Rpc, identity: Address, id: U256) -> Option<Address> {
    registry::owner_of(rpc, identity, id, At::Latest)
        .await
        .expect("owner")
}

async fn consent_deadline(rpc: &Rpc) -> i64 {
    rpc.block(At::Latest)
        .await
        .expect("head")
        .expect("known")
        .time
        + 200
}

#[tokio::test]
async fn a_refusal_is_told_in_words_before_it_costs_anything() {
    let anvil = Anvil::start(&[]);
    let rpc = anvil.rpc().await;
    let alice = sender(&rpc, ALICE);
    let identity = deploy::identity_registry(&alice)
        .await
        .expect("deployed")
        .address;
    let before = rpc.nonce(alice.address(), At::Latest).await.expect("nonce");

    let unknown = registry::set_agent_uri(U256::from(7), "x");
    let error = alice
        .send(Call::new(identity, unknown))
        .await
        .expect_err("unknown");
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(
        error.to_string(),
        "the contract refused: there is no agent 7"
    );
    let entry = registry::MetadataEntry {
        metadataKey: "agentWallet".to_owned(),
        metadataValue: Bytes::new(),
    };
    let reserved = registry::register_with_metadata("", vec![entry]);
    let error = alice
        .send(Call::new(identity, reserved))
        .await
        .expect_err("reserved");
    assert_eq!(error.to_string(), "the contract refused: reserved key");
    let status = deploy::agent_status(&alice)
        .await
        .expect("deployed")
        .address;
    let speak = registry::set_status(identity, U256::from(7), 1, "");
    let error = alice
        .send(Call::new(status, speak))
        .await
        .expect_err("may not");
    assert!(
        error.to_string().contains("may not speak for agent 7"),
        "{error}"
    );
    let after = rpc.nonce(alice.address(), At::Latest).await.expect("nonce");
    assert_eq!(after, before + 1);

    let poor = sender(
        &rpc,
        "0x0101010101010101010101010101010101010101010101010101010101010101",
    );
    let gift = Call {
        to: Some(identity),
        value: U256::from(1),
        ..Call::default()
    };
    assert!(poor.send(gift).await.is_err());
}

#[tokio::test]
async fn a_transaction_that_reverts_in_its_block_tells_its_reason() {
    let anvil = Anvil::start(&[]);
    let rpc = anvil.rpc().await;
    let (alice, bob) = (sender(&rpc, ALICE), sender(&rpc, BOB));
    let identity = deploy::identity_registry(&alice)
        .await
        .expect("deployed")
        .address;
    alice
        .send(Call::new(identity, registry::register()))
        .await
        .expect("registered");

    let operator = IdentityRegistry::setApprovalForAllCall {
        operator: bob.address(),
        approved: true,
    };
    alice
        .send(Call::new(identity, operator.abi_encode().into()))
        .await
        .expect("allowed");

    // Both wait for one block, in which Bob's transfer goes first because it pays more.
    rpc.ask::<Value>("evm_setAutomine", json!([false]))
        .await
        .expect("paused");
    let change = registry::set_agent_uri(U256::ZERO, "late");
    let change = alice
        .submit(Call::new(identity, change))
        .await
        .expect("out");
    let transfer = registry::transfer(alice.address(), bob.address(), U256::ZERO);
    let transfer = Call::new(identity, transfer);
    let mut transfer = prepare(&rpc, bob.address(), &transfer, 20)
        .await
        .expect("prepared");
    transfer.max_fee_per_gas *= 4;
    transfer.max_priority_fee_per_gas = transfer.max_fee_per_gas / 2;
    let (_, raw) = transfer.sign(&signer(BOB)).expect("signed");
    relay(&rpc, &raw).await.expect("out");
    rpc.ask::<Value>("evm_mine", json!([]))
        .await
        .expect("mined");
    let error = alice.wait(change).await.expect_err("too late");
    assert!(matches!(error, SendError::Reverted { .. }), "{error}");
    assert!(
        error.to_string().ends_with("reverted: Not authorized"),
        "{error}"
    );
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced() {
    let anvil = Anvil::start(&["--no-mining"]);
    let rpc = anvil.rpc().await;
    let impatient = SenderConfig {
        replace_after: NonZeroU32::MIN,
        most_replacements: 10_000,
        ..config()
    };
    let alice = Sender::new(rpc.clone(), signer(ALICE), impatient.clone());
    let first = alice.submit(gift()).await.expect("out");
    let offered = first.prepared.max_fee_per_gas;
    let nonce = first.prepared.nonce;
    let waiting = tokio::spawn({
        let (alice, first) = (alice.clone(), first.clone());
        async move { alice.wait(first).await }
    });
    while waiting_fee(&rpc, nonce).await <= offered {
        tokio::task::yield_now().await;
    }
    rpc.ask::<Value>("evm_mine", json!([]))
        .await
        .expect("mined");
    let receipt = waiting.await.expect("no panic").expect("mined");
    assert!(receipt.success);
    assert_ne!(receipt.tx, first.hashes[0]);
    assert_eq!(
        rpc.nonce(alice.address(), At::Latest).await.expect("nonce"),
        nonce + 1
    );

    // One that nobody mines is given up, and says what may still be mined.
    let hasty = SenderConfig {
        most_replacements: 1,
        ..impatient
    };
    let alice = Sender::new(rpc.clone(), signer(ALICE), hasty);
    let error = alice.send(gift()).await.expect_err("nobody mines");
    assert!(
        matches!(&error, SendError::Stuck { hashes } if hashes.len() == 2),
        "{error}"
    );
}

fn gift() -> Call {
    Call {
        to: Some(Address::repeat_byte(3)),
        value: U256::from(1),
        ..Call::default()
    }
}

/// What the pool's transaction with this nonce offers per gas.
async fn waiting_fee(rpc: &Rpc, nonce: u64) -> u128 {
    let pool: Value = rpc.ask("txpool_content", json!([])).await.expect("pool");
    let accounts = pool["pending"].as_object().expect("accounts");
    let transactions = accounts.values().next().expect("one account");
    let fee = transactions[nonce.to_string()]["maxFeePerGas"]
        .as_str()
        .expect("a fee");
    u128::from_str_radix(&fee[2..], 16).expect("hex")
}

#[tokio::test]
async fn a_nonce_that_was_taken_elsewhere_is_noticed() {
    let anvil = Anvil::start(&["--no-mining"]);
    let rpc = anvil.rpc().await;
    let (one, other) = (sender(&rpc, ALICE), sender(&rpc, ALICE));
    let first = one.submit(gift()).await.expect("out");
    // The same nonce from elsewhere, paying far more.
    let mut taken = first.prepared.clone();
    taken.max_fee_per_gas *= 4;
    taken.max_priority_fee_per_gas *= 4;
    let (_, raw) = taken.sign(&signer(ALICE)).expect("signed");
    relay(&rpc, &raw).await.expect("replaced");
    rpc.ask::<Value>("evm_mine", json!([]))
        .await
        .expect("mined");
    let hasty = SenderConfig {
        replace_after: NonZeroU32::MIN,
        ..config()
    };
    let hasty = Sender::new(rpc.clone(), signer(ALICE), hasty);
    let error = hasty.wait(first).await.expect_err("taken");
    assert!(
        matches!(error, SendError::Superseded { nonce: 0, .. }),
        "{error}"
    );
    let next = other.submit(gift()).await.expect("out");
    assert_eq!(next.prepared.nonce, 1);
}

#[tokio::test]
async fn many_at_once_get_one_nonce_each() {
    let anvil = Anvil::start(&[]);
    let rpc = anvil.rpc().await;
    let alice = sender(&rpc, ALICE);
    let sends: Vec<_> = (0..12)
        .map(|_| {
            let alice = alice.clone();
            tokio::spawn(async move { alice.send(gift()).await })
        })
        .collect();
    for send in sends {
        send.await.expect("no panic").expect("mined");
    }
    assert_eq!(
        rpc.nonce(alice.address(), At::Latest).await.expect("nonce"),
        12
    );
}

#[tokio::test]
async fn a_prepared_transaction_is_signed_elsewhere_and_relayed() {
    let anvil = Anvil::start(&[]);
    let rpc = anvil.rpc().await;
    let bob = signer(BOB);
    let prepared = prepare(&rpc, bob.address(), &gift(), 20)
        .await
        .expect("prepared");
    let json = serde_json::to_string(&prepared).expect("json");
    let received: chain::Prepared = serde_json::from_str(&json).expect("read");
    let (hash, raw) = received.sign(&bob).expect("signed");
    let relayed = relay(&rpc, &raw).await.expect("relayed");
    assert_eq!(
        (relayed.hash, relayed.from, relayed.nonce),
        (hash, bob.address(), 0)
    );

    let other = chain::Prepared {
        chain_id: 1,
        ..received
    };
    let (_, raw) = other.sign(&bob).expect("signed");
    let error = relay(&rpc, &raw).await.expect_err("another chain");
    assert!(matches!(
        error,
        SendError::WrongChain {
            transaction: Some(1),
            node: 31_337
        }
    ));
    let error = relay(&rpc, b"junk").await.expect_err("junk");
    assert_eq!(error.kind(), Kind::Invalid);
}

#[tokio::test]
async fn what_a_node_knows_of_its_blocks() {
    let anvil = Anvil::start(&[]);
    let rpc = anvil.rpc().await;
    let receipt = sender(&rpc, ALICE).send(gift()).await.expect("mined");
    let header = rpc
        .block(At::Hash(receipt.block_hash))
        .await
        .expect("block")
        .expect("known");
    assert_eq!(header.number, receipt.block_number);
    assert!(header.verified().is_some(), "the header hashes to its hash");
    let by_number = rpc.block(At::Number(header.number)).await.expect("block");
    assert_eq!(by_number, Some(header.clone()));
    assert_eq!(
        rpc.block(At::Number(1_000_000)).await.expect("answer"),
        None
    );
    assert_eq!(
        rpc.block(At::Hash(B256::repeat_byte(7)))
            .await
            .expect("answer"),
        None
    );
    for tag in [At::Finalized, At::Safe] {
        rpc.block(tag).await.expect("anvil serves the tags");
    }
    let unknown = B256::repeat_byte(7);
    let receipts = rpc
        .block_receipts(&[header.hash, unknown])
        .await
        .expect("receipts");
    let known = receipts[0].as_ref().expect("known");
    let known: Vec<Value> = serde_json::from_str(known.get()).expect("an array");
    assert_eq!(known.len(), 1);
    assert!(receipts[1].is_none());
    let by_hash = rpc.headers_by_hash(&[unknown, header.hash]).await;
    assert_eq!(by_hash.expect("headers"), [None, Some(header.clone())]);
    let json = serde_json::to_string(&header).expect("json");
    let read: chain::Header = serde_json::from_str(&json).expect("a header");
    assert!(read.verified().is_some(), "its JSON has all that proves it");

    let beyond = rpc.logs(1_000_000..=1_000_001, &LogFilter::default()).await;
    assert!(
        matches!(beyond, Err(RpcError::BeyondHead { .. })),
        "{beyond:?}"
    );
    let unknown = rpc.logs_of_block(unknown, &LogFilter::default()).await;
    assert_eq!(unknown.expect_err("unknown").kind(), Kind::NotFound);
    let code = rpc
        .code(Address::ZERO, At::Hash(header.hash))
        .await
        .expect("EIP-1898");
    assert!(code.is_empty());
}

#[tokio::test]
async fn many_blocks_and_slots_are_read_at_once() {
    let anvil = Anvil::start(&[]);
    let limits = Limits {
        batch: 7,
        ..Limits::default()
    };
    let rpc = anvil.rpc_within(limits).await;
    rpc.ask::<Value>("anvil_mine", json!(["0x1e"]))
        .await
        .expect("mined");
    let headers = rpc.headers(0..=30).await.expect("headers");
    assert_eq!(headers.len(), 31);
    for (parent, child) in headers.iter().zip(&headers[1..]) {
        assert_eq!(child.parent, parent.hash);
    }
    assert!(headers.iter().all(|header| header.verified().is_some()));
    assert_eq!(rpc.counters().requests, 7, "chain id, mining, five batches");
    let beyond = rpc.headers(29..=31).await.expect_err("not mined");
    assert!(matches!(beyond, RpcError::BeyondHead { .. }), "{beyond:?}");
    assert_eq!(rpc.counters().errors["beyond_head"], 1);

    let (contract, slot) = (Address::repeat_byte(5), B256::ZERO);
    let word = B256::repeat_byte(0x66);
    rpc.ask::<Value>("anvil_setStorageAt", (contract, slot, word))
        .await
        .expect("set");
    let slots = [(contract, slot), (contract, B256::with_last_byte(1))];
    let words = rpc.storage(&slots, At::Latest).await.expect("words");
    assert_eq!(words, [word, B256::ZERO]);
    let proof = rpc.proof(contract, &[slot], At::Latest).await;
    let proof: Value = serde_json::from_str(proof.expect("proof").get()).expect("json");
    assert_eq!(proof["storageProof"][0]["value"], word.to_string());
}

#[tokio::test]
async fn headers_of_every_fork_hash_to_their_hash() {
    for fork in [
        "berlin", "london", "paris", "shanghai", "cancun", "prague", "osaka",
    ] {
        let anvil = Anvil::start(&["--hardfork", fork]);
        let rpc = anvil.rpc().await;
        rpc.ask::<Value>("evm_mine", json!([]))
            .await
            .expect("mined");
        let headers = rpc.headers(0..=1).await.expect("headers");
        assert!(
            headers.iter().all(|header| header.verified().is_some()),
            "{fork}"
        );
    }
}

#[tokio::test]
async fn new_heads_are_told_over_a_socket() {
    let anvil = Anvil::start(&[]);
    let rpc = anvil.rpc().await;
    let url = anvil.url.replace("http", "ws").parse().expect("url");
    let mut heads = chain::heads(url).await.expect("subscribed");
    for _ in 0..2 {
        rpc.ask::<Value>("evm_mine", json!([]))
            .await
            .expect("mined");
        let head = heads.next().await.expect("told");
        let header = rpc.block(At::Latest).await.expect("head").expect("known");
        let expected = (header.number, header.hash, header.parent);
        assert_eq!((head.number, head.hash, head.parent), expected);
    }
    drop(anvil);
    let error = heads.next().await.expect_err("gone");
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[tokio::test]
async fn an_address_that_is_no_node_is_told() {
    use std::io::{Read, Write};
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("address");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a request");
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).expect("read");
        let body = "<html>welcome</html>";
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("written");
    });
    let url = |path: &str| format!("http://{address}/{path}").parse().expect("url");
    let error = Rpc::connect(url("secret"), Limits::default())
        .await
        .expect_err("a web page");
    assert!(matches!(error, RpcError::NotAnRpc { .. }), "{error:?}");
    assert!(!error.to_string().contains("secret"));
    server.join().expect("served");

    // Now nobody listens there.
    let error = Rpc::connect(url("secret"), Limits::default())
        .await
        .expect_err("nobody");
    assert!(matches!(error, RpcError::Unavailable { .. }), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
}
