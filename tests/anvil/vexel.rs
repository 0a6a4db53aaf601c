//! VEXEL's contracts on a real chain, by a stand-in of our own that emits what theirs emit.

use identity::vexel::{Filter, list};
use indexer::Settling;
use kernel::{Bytes, Limit, keccak256};
use sqlx::PgPool;

use crate::kit::{
    anvil::{Chain, Wanted},
    calls::{Arg, call},
    index::Index,
};

const DID: &str = "did:vexel:anvil";

/// The stand-in's bytecode.
fn code() -> Bytes {
    let artifact = include_str!("../../contracts/artifacts/VexelStandIn.json");
    let artifact: serde_json::Value = serde_json::from_str(artifact).unwrap();
    artifact["bytecode"].as_str().unwrap().parse().unwrap()
}

/// keccak-256 of the DID as an argument.
fn hash(did: &str) -> Arg<'static> {
    Arg::Number(kernel::U256::from_be_bytes(keccak256(did.as_bytes()).0))
}

#[sqlx::test(migrations = "./migrations")]
async fn an_agent_of_vexel_is_registered_beats_and_sleeps(pool: PgPool) {
    let mut chain = Chain::start().await;
    let contract = chain.deploy(code()).await;
    chain.vexel.push(contract);
    let [alice, bob] = [chain.people[1], chain.people[2]];
    let mut index = Index::open(&pool, &chain, Settling::Depth(0)).await;
    let say = |from, signature: &str, arguments: &[Arg<'_>]| -> Wanted {
        (from, contract, call(signature, arguments))
    };
    let beat = |from| say(from, "recordHeartbeat(bytes32)", &[hash(DID)]);
    let state = "SELECT runtime_status || ' ' || liveness FROM identity.agents WHERE did = 'did:vexel:anvil'";

    // The heartbeat contract knows the hash before anybody knows the DID.
    let enrol = [
        hash(DID),
        Arg::Account(alice),
        Arg::Number(kernel::U256::from(86_400)),
    ];
    chain
        .send(say(bob, "registerAgent(bytes32,address,uint256)", &enrol))
        .await;
    index.catch_up().await;
    assert_eq!(index.list(state).await, [] as [String; 0]);
    let texts = [DID, "Anvil", "is tried", "Qm"].map(Arg::Text);
    chain
        .send(say(alice, "register(string,string,string,string)", &texts))
        .await;
    index.catch_up().await;
    assert_eq!(
        index.list(state).await,
        ["ACTIVE active"],
        "what was said before is hers"
    );

    // Not yet: it never beat after it was registered there.
    chain
        .send(say(bob, "detectInactivity(bytes32)", &[hash(DID)]))
        .await;
    chain
        .send(say(bob, "deactivateAgent(bytes32)", &[hash(DID)]))
        .await;
    index.catch_up().await;
    assert_eq!(index.list(state).await, ["ACTIVE active"]);
    chain.send(beat(alice)).await;
    chain
        .send(say(bob, "detectInactivity(bytes32)", &[hash(DID)]))
        .await;
    index.catch_up().await;
    assert_eq!(index.list(state).await, ["SLEEP inactive"]);
    chain.send(beat(alice)).await;
    index.catch_up().await;
    assert_eq!(index.list(state).await, ["ACTIVE active"]);
    // The block with the beat goes.
    chain.reorg(1, &[]).await;
    index.catch_up().await;
    assert_eq!(index.list(state).await, ["SLEEP inactive"]);

    let filter = Filter {
        did: Some(DID.to_owned()),
        ..Filter::default()
    };
    let events = list(&index.db, &filter, None, Limit::new(50).unwrap())
        .await
        .unwrap()
        .items;
    let shown: Vec<String> = events
        .iter()
        .rev()
        .map(|e| format!("{} {}", e.event, e.attributed))
        .collect();
    assert_eq!(
        shown,
        [
            "AgentRegistered true",
            "HeartbeatRecorded true",
            "AgentRegistered true",
            "InactivityDetected false",
            "AgentDeactivated false",
            "HeartbeatRecorded true",
            "InactivityDetected true",
        ]
    );
    index
        .assert_fresh(&chain, "with what VEXEL's contracts said")
        .await;
}
