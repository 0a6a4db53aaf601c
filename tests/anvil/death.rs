//! anvil dies without saving, with us or alone: what its state file lost is lost (sequence 16 of
//! `model.md` §7).

use std::{fs, time::Duration};

use chain::Registries;
use indexer::Settling;
use nix::sys::signal::{Signal, kill};
use sqlx::PgPool;
use store::Db;

use crate::{
    instance::{Instance, Place},
    kit::{
        anvil::Chain,
        equal,
        index::{Index, agents, list},
        left::Left,
        until,
    },
};

const PATIENCE: Duration = Duration::from_mins(1);

/// The dev chain of an instance.
async fn chain_of(instance: &Instance, db: &Db) -> Chain {
    let contracts = until("the contracts are known", PATIENCE, || async {
        let stored = indexer::stored_contracts(db, 31_337).await.ok()?;
        (!stored.identity.is_empty()).then_some(stored)
    });
    let contracts: Registries = contracts.await;
    Chain::of_instance(instance.ready["rpc"].as_str().unwrap(), &contracts).await
}

/// Waits until everything on the chain is indexed, judged and projected.
async fn indexed(db: &Db, chain: &Chain) {
    until("everything is indexed", PATIENCE, || async {
        let head = indexer::standing(db, 31_337).await.ok()?.ground;
        let newest = chain.rpc.block(chain::At::Latest).await.ok()??;
        let open = list(
            db.pool(),
            "SELECT (SELECT count(*) FROM identity.dirty) + (SELECT count(*) FROM store.jobs
              WHERE kind = 'fetch' AND run_at <= now())",
        );
        (open.await == ["0"] && head.hash == Some(newest.hash)).then_some(())
    })
    .await;
}

/// anvil's state, once it holds everything that is on the chain now.
async fn saved_state(place: &Place, chain: &Chain) -> Vec<u8> {
    let height = chain.height().await;
    until("anvil saved its state", PATIENCE, || async {
        let bytes = fs::read(place.dir().join("anvil/state.json")).ok()?;
        let state: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let number = &state["best_block_number"];
        let saved = number
            .as_i64()
            .or_else(|| i64::from_str_radix(number.as_str()?.strip_prefix("0x")?, 16).ok());
        (saved == Some(height)).then_some(bytes)
    })
    .await
}

/// Kills anvil in the moment before it saved anything after `state`.
fn kill_anvil(place: &Place, left: &Left, state: &[u8]) {
    let anvil = left.anvil().unwrap();
    kill(anvil, Signal::SIGSTOP).unwrap();
    fs::write(place.dir().join("anvil/state.json"), state).unwrap();
    kill(anvil, Signal::SIGKILL).unwrap();
}

#[sqlx::test(migrations = "./migrations")]
async fn what_anvil_lost_is_taken_back_and_the_index_is_the_chains(pool: PgPool) {
    let place = Place::new("data");
    let left = Left::on(place.dir());
    let up = place.up();
    let db = equal::of_instance(place.dir()).await;
    let chain = chain_of(&up, &db).await;
    let [alice, bob] = [chain.people[1], chain.people[2]];
    let file = |name: &str| format!("data:application/json,{{\"name\":\"{name}\"}}");
    chain.send(chain.register(alice, &file("Kept"))).await;
    chain.send(chain.register(alice, &file("Sold"))).await;
    indexed(&db, &chain).await;
    let kept = chain.height().await;
    let state = saved_state(&place, &chain).await;

    // The tail that is lost, and what people said meanwhile.
    chain.send(chain.transfer(alice, bob, 1)).await;
    chain.send(chain.says(alice, 0, 1, "lost")).await;
    chain.send(chain.register(bob, &file("Lost"))).await;
    indexed(&db, &chain).await;
    let act = "UPDATE identity.agents SET runtime_status = 'TERMINATED' WHERE name = 'Kept'";
    sqlx::query(act).execute(db.pool()).await.unwrap();
    indexed(&db, &chain).await;
    assert_eq!(agents(db.pool()).await.len(), 3);
    let retracted = "SELECT count(*) FROM journal.entries WHERE kind = 'retracted'";
    assert_eq!(list(db.pool(), retracted).await, ["0"]);

    // We go first, so that nobody starts anvil again.
    db.close().await;
    up.stop(Signal::SIGKILL);
    kill_anvil(&place, &left, &state);

    let up = place.up();
    let db = equal::of_instance(place.dir()).await;
    let chain = chain_of(&up, &db).await;
    assert_eq!(chain.height().await, kept, "the tail is lost");
    indexed(&db, &chain).await;
    assert_eq!(agents(db.pool()).await, chain.agents().await);
    assert_eq!(agents(db.pool()).await.len(), 2);
    assert_ne!(list(db.pool(), retracted).await, ["0"], "{}", up.log());
    assert!(up.log().contains("3 blocks taken back"), "{}", up.log());

    // The chain goes on where it is now, and somebody else gets the lost number.
    chain.send(chain.register(alice, &file("Found"))).await;
    chain.send(chain.says(alice, 1, 1, "after the loss")).await;
    indexed(&db, &chain).await;
    let state = saved_state(&place, &chain).await;

    // anvil dies alone: we start it again, and see the loss while we run.
    chain.send(chain.uri(alice, 2, &file("Lost again"))).await;
    chain.send(chain.register(bob, &file("Lost too"))).await;
    indexed(&db, &chain).await;
    kill_anvil(&place, &left, &state);
    until("anvil is back", PATIENCE, || async {
        left.anvil().filter(|_| up.chain_listens())
    })
    .await;
    indexed(&db, &chain).await;
    assert_eq!(agents(db.pool()).await, chain.agents().await);
    assert_eq!(agents(db.pool()).await.len(), 3);
    let names = list(
        db.pool(),
        "SELECT name || ' ' || runtime_status FROM identity.agents ORDER BY 1",
    );
    assert_eq!(
        names.await,
        ["Found ACTIVE", "Kept TERMINATED", "Sold SLEEP"]
    );

    let grown = Index::open(db.pool(), &chain, Settling::Depth(0)).await;
    assert_eq!(grown.head().await, chain.height().await);
    equal::assert_fresh(&grown, &chain, &pool, "after two deaths").await;
    assert!(up.stop(Signal::SIGTERM).success());
    assert_eq!(place.processes(), Vec::<String>::new());
}

#[sqlx::test(migrations = "./migrations")]
async fn a_chain_that_lost_everything_begins_anew_under_the_same_agents(pool: PgPool) {
    let place = Place::new("data");
    let left = Left::on(place.dir());
    let up = place.up();
    let db = equal::of_instance(place.dir()).await;
    let chain = chain_of(&up, &db).await;
    let [alice, bob] = [chain.people[1], chain.people[2]];
    for name in ["Ada", "Bea"] {
        let uri = format!("data:application/json,{{\"name\":\"{name}\"}}");
        chain.send(chain.register(alice, &uri)).await;
    }
    indexed(&db, &chain).await;
    assert_eq!(agents(db.pool()).await.len(), 2);
    db.close().await;
    up.stop(Signal::SIGKILL);
    kill_anvil(&place, &left, b"{");
    let _ = fs::remove_file(place.dir().join("anvil/state.whole.json"));

    // Its first block is the same, its contracts come anew to the same places.
    let up = place.up();
    let db = equal::of_instance(place.dir()).await;
    let again = chain_of(&up, &db).await;
    assert_eq!(
        (again.registry, again.status),
        (chain.registry, chain.status)
    );
    indexed(&db, &again).await;
    assert_eq!(agents(db.pool()).await, []);
    again
        .send(again.register(bob, "data:application/json,{\"name\":\"Cid\"}"))
        .await;
    indexed(&db, &again).await;
    assert_eq!(agents(db.pool()).await, again.agents().await);
    let grown = Index::open(db.pool(), &again, Settling::Depth(0)).await;
    equal::assert_fresh(&grown, &again, &pool, "after the loss of everything").await;
    assert!(up.stop(Signal::SIGTERM).success());
    assert_eq!(place.processes(), Vec::<String>::new());
}
