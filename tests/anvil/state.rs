//! Whatever happens on the chain, our rows are the contracts' state.

use chain::registry;
use indexer::Settling;
use kernel::{Address, Bytes, U256};
use serde::Deserialize;
use sqlx::PgPool;

use crate::kit::{
    anvil::{Chain, Wanted},
    calls::{Arg, approve, call, operator},
    index::Index,
};

/// The minter that acts on an agent before `register` has returned, as `contracts/build.mjs` made it.
pub async fn minter(chain: &Chain) -> Address {
    #[derive(Deserialize)]
    struct Artifact {
        bytecode: Bytes,
    }
    let artifact = include_str!("../../contracts/artifacts/ReentrantMinter.json");
    let artifact: Artifact = serde_json::from_str(artifact).unwrap();
    let code = [
        artifact.bytecode.as_ref(),
        chain.registry.into_word().as_slice(),
    ]
    .concat();
    chain.deploy(code.into()).await
}

/// Sends these and looks after each.
async fn one_by_one(chain: &Chain, index: &mut Index, transactions: &[Wanted]) {
    for (number, transaction) in transactions.iter().enumerate() {
        chain.send(transaction.clone()).await;
        index.catch_up().await;
        assert_eq!(
            index.agents().await,
            chain.agents().await,
            "after transaction {number}"
        );
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn what_a_receiver_does_before_register_returns_is_in_our_rows(pool: PgPool) {
    let chain = Chain::start().await;
    let minter = minter(&chain).await;
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    let (alice, bob) = (chain.people[1], chain.people[2]);
    let forward = |uri, to| {
        let data = call(
            "registerAndForward(string,address)",
            &[Arg::Text(uri), Arg::Account(to)],
        );
        (alice, minter, data)
    };
    let early = |uri| {
        (
            alice,
            minter,
            call("registerWithEarlyURI(string)", &[Arg::Text(uri)]),
        )
    };
    let over = |early, uri| {
        let arguments = [Arg::Text(early), Arg::Text(uri)];
        (
            alice,
            minter,
            call("registerOverEarlyURI(string,string)", &arguments),
        )
    };
    let transactions = [
        forward("ipfs://forwarded", bob),
        early("ipfs://early"),
        over("ipfs://early", "ipfs://late"),
        over("ipfs://early", ""),
        forward("", bob),
    ];
    one_by_one(&chain, &mut index, &transactions).await;
    // What comes after such a registration must find it as it is.
    let transactions = [
        chain.uri(bob, 0, "ipfs://by-bob"),
        chain.wallet(bob, 0, alice).await,
        chain.transfer(bob, alice, 4),
        forward("ipfs://to-the-registry's-owner", chain.people[0]),
    ];
    one_by_one(&chain, &mut index, &transactions).await;
    let agents = chain.agents().await;
    assert_eq!(agents.len(), 6);
    let uris: Vec<&str> = agents.iter().map(|agent| agent.uri.as_str()).collect();
    let expected = [
        "ipfs://by-bob",
        "ipfs://early",
        "ipfs://late",
        "",
        "",
        "ipfs://to-the-registry's-owner",
    ];
    assert_eq!(uris, expected, "what the contract helper is for");
    assert_eq!(
        (agents[5].owner, agents[5].wallet),
        (Some(chain.people[0]), None)
    );

    // All in one block: their logs stand side by side.
    let block = [
        over("ipfs://a", "ipfs://b"),
        forward("ipfs://c", bob),
        early("ipfs://d"),
        early(""),
    ];
    chain.block(&block).await;
    index.catch_up().await;
    assert_eq!(index.agents().await, chain.agents().await);
    index.assert_fresh(&chain, "at the end").await;
}

#[sqlx::test(migrations = "./migrations")]
async fn all_that_owners_wallets_and_operators_do_is_in_our_rows(pool: PgPool) {
    let chain = Chain::start().await;
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    let people = chain.people.clone();
    let [alice, bob, carol, dave] = [people[1], people[2], people[3], people[4]];
    let at = |from: Address, data: Bytes| -> Wanted { (from, chain.registry, data) };
    let id = U256::from;

    for owner in [alice, alice, bob, carol] {
        chain.send(chain.register(owner, "ipfs://first")).await;
    }
    chain.send(at(dave, registry::register())).await;
    index.catch_up().await;
    assert_eq!(index.agents().await, chain.agents().await, "registered");

    let steps = [
        // Approvals: of one token, which a transfer ends, and of all.
        at(alice, approve(bob, id(0))),
        chain.uri(bob, 0, "ipfs://by-the-approved"),
        chain.wallet(bob, 0, carol).await,
        chain.says(carol, 0, 1, "the wallet sleeps"),
        chain.beats(carol, 0),
        chain.transfer(alice, dave, 0),
        at(alice, approve(bob, id(1))),
        at(alice, approve(Address::ZERO, id(1))),
        at(bob, operator(carol, true)),
        chain.transfer(bob, alice, 2),
        at(alice, operator(carol, true)),
        chain.transfer(alice, alice, 1),
        chain.says(carol, 1, 2, "ended by an operator"),
        chain.says(alice, 1, 0, ""),
        at(alice, operator(carol, false)),
        // Wallets, by consent and away again.
        chain.wallet(carol, 3, dave).await,
        at(carol, registry::unset_agent_wallet(id(3))),
        chain.beats(carol, 3),
        chain.wallet(dave, 4, bob).await,
        // Files, the empty one and one with what no text may hold.
        chain.uri(dave, 4, ""),
        chain.uri(dave, 4, "data:application/json,{\"name\":\"Dave\u{0}\"}"),
        chain.uri(dave, 4, &format!("ipfs://{}", "long/".repeat(300))),
        chain.says(bob, 4, 1, "said by the wallet"),
        at(
            dave,
            registry::set_metadata(id(4), "region", Bytes::from_static(b"eu")),
        ),
    ];
    one_by_one(&chain, &mut index, &steps).await;

    let operators = index
        .list(
            "SELECT encode(owner, 'hex') || ' ' || encode(operator, 'hex') || ' ' || approved
               FROM identity.v_operators ORDER BY 1",
        )
        .await;
    let mut expected = Vec::new();
    for owner in [bob, alice] {
        let approved = chain.is_operator(owner, carol).await;
        expected.push(format!(
            "{} {} {approved}",
            hex::encode(owner),
            hex::encode(carol)
        ));
    }
    expected.sort();
    assert_eq!(operators, expected);
    assert!(expected.iter().any(|line| line.ends_with("true")));
    assert!(expected.iter().any(|line| line.ends_with("false")));

    let statuses = index
        .list(
            "SELECT t.token_id || ' ' || a.runtime_status || ' ' || a.liveness
               FROM identity.agents a JOIN identity.tokens t ON t.agent_id = a.id ORDER BY 1",
        )
        .await;
    // A heartbeat moves liveness only; who said a status does not matter, the contract let them.
    let expected = [
        "0 SLEEP active",
        "1 ACTIVE unknown",
        "2 ACTIVE unknown",
        "3 ACTIVE active",
        "4 SLEEP unknown",
    ];
    assert_eq!(statuses, expected);
    let reasons = index
        .list(
            "SELECT h.reason FROM identity.agent_status_history h JOIN identity.tokens t USING (agent_id)
              WHERE h.seq > 0 ORDER BY t.token_id, h.seq",
        )
        .await;
    assert_eq!(
        reasons,
        [
            "the wallet sleeps",
            "ended by an operator",
            "",
            "said by the wallet"
        ]
    );
    let metadata = index
        .list("SELECT onchain FROM identity.v_tokens WHERE token_id = 4")
        .await;
    assert!(metadata[0].contains("region"), "{metadata:?}");
    index.assert_fresh(&chain, "at the end").await;
}
