//! Windows: what happens while ground is stored and not projected yet.

use std::sync::Arc;

use chain::SeenTopics;
use identity::Window;
use kernel::keccak256;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    concurrency::{run, waiting},
    kit::{ALICE, BOB, REGISTRY, SLEEP, Script, World, start},
};

fn window(script: &Script, after: i64) -> Window {
    Window::new(script.id, SeenTopics::ALL, after)
}

#[sqlx::test(migrations = "../migrations")]
async fn what_people_do_meanwhile_is_in_the_rows(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(1));
    let (known, new) = (script.agent(1), script.agent(2));
    script.block(start() + 1, |b| b.register(1, ALICE, "ipfs://a"));
    world.follow(&script).await?;
    script.block(start() + 2, |b| {
        b.transfer(1, ALICE, BOB).uri(1, "ipfs://b")
    });
    script.block(start() + 3, |b| b.register(2, ALICE, "ipfs://a"));
    let mut ahead = window(&script, 1);
    world.ground(&script, &mut ahead, 3).await;

    // Nothing of it is seen, not even by a sweep.
    world.at(start() + 10);
    world
        .sql(&format!(
            "UPDATE identity.agents SET name = 'sql' WHERE id = '{known}'"
        ))
        .await?;
    world
        .judge("ipfs://a", &json!({ "name": "A", "description": "a file" }))
        .await?;
    world.sweep().await;
    let owner = world
        .one("SELECT encode(owner, 'hex') FROM identity.tokens")
        .await;
    assert_eq!(owner, hex::encode(ALICE));
    assert_eq!(world.one("SELECT name FROM identity.agents").await, "sql");

    world.flush(&script, &Arc::new(ahead)).await?;
    let description = format!("SELECT description FROM identity.agents WHERE id = '{new}'");
    assert_eq!(world.one(&description).await, "a file");
    world.sweep().await;
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn an_agent_that_is_held_misses_no_window(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(1));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    world.follow(&script).await?;
    let mut holder = world.pool.begin().await?;
    sqlx::query("SELECT FROM identity.agents WHERE id = $1 FOR UPDATE")
        .bind(agent.0)
        .execute(&mut *holder)
        .await?;
    script.block(start() + 2, |b| {
        b.status(1, SLEEP, "a").register(2, BOB, "")
    });
    script.block(start() + 3, |b| b.transfer(1, ALICE, BOB));
    for to in [2, 3] {
        let mut ahead = window(&script, to - 1);
        world.ground(&script, &mut ahead, to).await;
        let report = world.flush(&script, &Arc::new(ahead)).await?;
        assert_eq!(report.busy, [agent], "block {to}");
    }
    holder.rollback().await?;
    // It is dirty still: what is in this window is not all that its saved state lacks.
    script.block(start() + 4, |b| b.metadata(1, "k", b"v"));
    let mut ahead = window(&script, 3);
    world.ground(&script, &mut ahead, 4).await;
    assert_eq!(world.flush(&script, &Arc::new(ahead)).await?.busy, []);
    assert_eq!(world.history(agent).await, [">ACTIVE", "ACTIVE>SLEEP"]);
    world.sweep().await;
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_window_that_does_not_end_at_the_cursor_is_refused(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(1));
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    script.block(start() + 2, |b| b.transfer(1, ALICE, BOB));
    world.open(&script).await?;
    let mut ahead = window(&script, 0);
    world.ground(&script, &mut ahead, 1).await;
    let mut tx = world.db.begin(store::Cause::Job("test")).await?;
    let ahead = Arc::new(ahead);
    let early = identity::project_window(
        &mut tx,
        None,
        &ahead,
        identity::Feed::Watched,
        identity::States::Saved,
    )
    .await;
    let early = early.expect_err("the cursor did not move");
    assert!(early.to_string().contains("cursor stands at 0"), "{early}");
    Ok(())
}

/// The journal outlives the rows of a database that is migrated down and up.
#[sqlx::test(migrations = "../migrations")]
async fn what_the_journal_says_already_is_not_said_again(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(1));
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "ipfs://a").register(2, BOB, "")
    });
    world.follow(&script).await?;
    let entries = world.entries().await;
    world
        .sql(
            "BEGIN; SET LOCAL session_replication_role = replica;
             TRUNCATE identity.subjects, identity.agents, identity.tokens, identity.folds, identity.uris,
                      identity.uri_agents, identity.agent_identifiers, chain.chains, chain.logs, chain.blocks, chain.tips, chain.ranges CASCADE;
             COMMIT",
        )
        .await?;
    script.block(start() + 2, |b| b.transfer(1, ALICE, BOB));
    world.open(&script).await?;
    let mut ahead = window(&script, 0);
    world.ground(&script, &mut ahead, 2).await;
    world.flush(&script, &Arc::new(ahead)).await?;
    assert_eq!(world.entries().await, entries + 1);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// Rows that can be made again are committed before the others; a death between the two leaves them.
#[sqlx::test(migrations = "../migrations")]
async fn a_death_between_two_commits_loses_and_doubles_nothing(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(1));
    for token in 1..=5 {
        let uri = format!("ipfs://{}", token % 3);
        let time = start() + i64::try_from(token)?;
        script.block(time, |b| {
            b.register(token, ALICE, &uri).metadata(token, "k", b"v")
        });
    }
    script.block(start() + 6, |b| {
        b.transfer(2, ALICE, BOB).uri(2, "ipfs://b")
    });
    world.open(&script).await?;
    let deferred = store::deferred::begin(&world.db).await?;
    assert!(deferred > 0);
    let mut first = window(&script, 0);
    world.ground(&script, &mut first, 3).await;
    let first = Arc::new(first);
    world.flush_by_two(&script, &first, true).await?;
    let tokens = "SELECT count(*) FROM identity.tokens";
    assert_eq!(world.one(tokens).await, "3", "what is left");
    assert_eq!(world.one("SELECT count(*) FROM identity.agents").await, "0");
    // The next process takes less into its window, and dies as well.
    let mut less = window(&script, 0);
    world.ground_again(&script, &mut less, 2);
    world.flush_by_two(&script, &Arc::new(less), true).await?;
    assert_eq!(world.one(tokens).await, "2");
    world.flush_by_two(&script, &first, false).await?;
    let mut second = window(&script, 3);
    world.ground(&script, &mut second, 6).await;
    world
        .flush_by_two(&script, &Arc::new(second), false)
        .await?;
    assert_eq!(store::deferred::build(&world.db, "").await?, deferred);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// No cascade takes along then what an agent had, and it would be in the way of the rows that it gets when it comes back.
#[sqlx::test(migrations = "../migrations")]
async fn who_goes_while_foreign_keys_are_deferred_comes_back(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(1));
    world.open(&script).await?;
    let deferred = store::deferred::begin(&world.db).await?;
    assert!(deferred > 0);
    let agent = script.agent(1);
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "").status(1, SLEEP, "a")
    });
    world.follow(&script).await?;
    let left = "SELECT (SELECT count(*) FROM identity.agent_identifiers) || ' '
                    || (SELECT count(*) FROM identity.agent_status_history)";
    assert_eq!(world.one(left).await, "3 2");
    // A person deletes it, and brings it back before anybody sweeps, or after.
    for swept in [false, true] {
        let delete = format!("DELETE FROM identity.agents WHERE id = '{agent}'");
        world.sql(&delete).await?;
        assert_eq!(world.one(left).await, "0 0");
        if swept {
            world.sweep().await;
        }
        let restore = format!("SELECT identity.restore_agent('{agent}')");
        world.sql(&restore).await?;
        world.sweep().await;
        assert_eq!(world.one(left).await, "3 2", "swept between: {swept}");
    }
    // A reorganisation takes its mint, and another block has it again.
    world.rewind(&script, 0).await?;
    script.fork(0);
    assert_eq!(world.one(left).await, "0 0");
    script.block(start() + 2, |b| b.register(1, ALICE, ""));
    world.follow(&script).await?;
    assert_eq!(world.history(agent).await, [">ACTIVE"]);
    assert_eq!(store::deferred::build(&world.db, "").await?, deferred);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// What contracts of VEXEL's know by its hash, a step takes before subjects: so does a window.
#[sqlx::test(migrations = "../migrations")]
async fn a_window_takes_hashes_before_subjects(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(1));
    let known = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    world.follow(&script).await?;
    script.block(start() + 2, |b| {
        b.transfer(1, ALICE, BOB).register(2, ALICE, "")
    });
    let mut ahead = window(&script, 1);
    world.ground(&script, &mut ahead, 2).await;
    let ahead = Arc::new(ahead);

    let did = format!("did:nft:eip155:1_erc721:{REGISTRY:#x}_2");
    let hash = hex::encode(keccak256(did.as_bytes()));
    let mut other = pool.begin().await?;
    let insert = format!("INSERT INTO identity.did_hashes (hash) VALUES ('\\x{hash}')");
    run(&mut other, &insert).await;
    let flush = world.flush(&script, &ahead);
    let rest = async {
        waiting(&pool, 1).await;
        let subject =
            format!("SELECT FROM identity.subjects WHERE id = '{known}' FOR UPDATE NOWAIT");
        run(&mut other, &subject).await;
        other.rollback().await.expect("rolled back");
    };
    let (flush, ()) = futures::join!(flush, rest);
    flush?;
    let owners = "SELECT encode(owner, 'hex') FROM identity.tokens ORDER BY token_id";
    let both = [BOB, ALICE].map(hex::encode);
    assert_eq!(world.list(owners).await, both);
    Ok(())
}
