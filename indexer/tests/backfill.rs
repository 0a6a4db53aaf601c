//! The follower going from the head into a backfill: after a long pause it reads ground ahead and projects a
//! window on top of what it projected block by block.

#[allow(dead_code, unused_imports)] // The other tests use what this one does not.
mod kit;

use std::collections::VecDeque;

use indexer::{Cursor, Extend, Follower, Level, Proof, Source, Step, Trail};
use kernel::B256;
use sqlx::{Executor as _, PgPool};
use store::Outcome;
use uuid::Uuid;

use self::kit::{ALICE, BOB, Script, TERMINATED, World, start};

/// Steps that were prepared.
struct Prepared(VecDeque<Step>);

impl Source for Prepared {
    async fn next(&mut self, _: Cursor, _: Trail<'_>) -> indexer::Result<Option<Step>> {
        Ok(self.0.pop_front())
    }
}

/// The step, an extending one, with something else about it.
fn changed(step: Step, change: impl FnOnce(&mut Extend)) -> Step {
    match step {
        Step::Extend(mut extend) => {
            change(&mut extend);
            Step::Extend(extend)
        }
        other => other,
    }
}

/// Blocks up to `to` of which those up to `settled` are, as they come with the head at `head`.
fn step(world: &World, script: &Script, (above, to, settled): (i64, i64, i64), head: i64) -> Step {
    changed(world.step(script, above, to), |extend| {
        (extend.settled, extend.head) = (settled, head);
    })
}

async fn follow(world: &World, script: &Script, steps: Vec<Step>) -> anyhow::Result<()> {
    world.open(script).await?;
    let mut follower = Follower::new(
        world.db.clone(),
        script.id,
        script.contracts(),
        Prepared(steps.into()),
        Uuid::from_u128(1),
    );
    while follower.round().await? == Outcome::Busy {}
    Ok(())
}

/// Far behind this head a step is part of a backfill.
const FAR: i64 = 1_000;

#[sqlx::test(migrations = "../migrations")]
async fn a_window_goes_on_from_what_was_not_settled_at_the_head(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::rpc(pool, 0), Script::new(1));
    script
        .block(start() + 1, |b| b.register(1, ALICE, "ipfs://a"))
        .block(start() + 2, |b| b.uri(1, "ipfs://b"))
        .block(start() + 3, |b| {
            b.transfer(1, ALICE, BOB).register(2, ALICE, "")
        })
        .block(start() + 4, |b| b.status(1, TERMINATED, "over"));
    let steps = vec![
        step(&world, &script, (0, 3, 1), 3),
        // It speaks of 1 only; what is said of 2 is settled by it all the same.
        step(&world, &script, (3, 4, 4), FAR),
    ];
    follow(&world, &script, steps).await?;
    let uri = "SELECT uri FROM identity.v_tokens WHERE token_id = 1";
    assert_eq!(world.one(uri).await, "ipfs://b");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_log_that_names_nobody_is_an_incident_on_each_way(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(1));
    script
        .block(start() + 1, |b| b.nameless())
        .block(start() + 2, |b| b.nameless());
    let steps = vec![
        step(&world, &script, (0, 1, 1), 1),
        step(&world, &script, (1, 2, 2), FAR),
    ];
    follow(&world, &script, steps).await?;
    let incidents = "SELECT count(*) FROM journal.entries WHERE kind = 'incident'";
    assert_eq!(world.one(incidents).await, "2");
    Ok(())
}

/// The step with headers that were proven to go on from a block of hash `below`.
fn proven(step: Step, below: B256) -> Step {
    changed(step, |extend| {
        extend.proof = Proof {
            level: Level::Proven,
            below: Some(below),
            top: Some(extend.to.hash),
        };
    })
}

/// Proven blocks that do not go on from what is stored, as they come with the head at `head`.
async fn refused(pool: PgPool, head: i64) -> anyhow::Result<()> {
    let (world, mut script) = (World::rpc(pool, 0), Script::new(1));
    script
        .block(start() + 1, |b| b.register(1, ALICE, "ipfs://a"))
        .block(start() + 2, |b| b.uri(1, "ipfs://b"));
    let below = script.blocks[0].0.hash;
    let steps = vec![
        proven(step(&world, &script, (0, 1, 1), head), below),
        proven(step(&world, &script, (1, 2, 2), head), B256::repeat_byte(7)),
    ];
    let error = follow(&world, &script, steps).await;
    let error = error.expect_err("another chain's").to_string();
    assert!(error.contains("moved"), "{error}");
    let ground = "SELECT ground_number FROM chain.chains";
    assert_eq!(world.one(ground).await, "1", "nothing of it is stored");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn proven_blocks_of_another_chain_are_refused_at_the_head(
    pool: PgPool,
) -> anyhow::Result<()> {
    refused(pool, 2).await
}

#[sqlx::test(migrations = "../migrations")]
async fn proven_blocks_of_another_chain_are_refused_in_a_backfill(
    pool: PgPool,
) -> anyhow::Result<()> {
    refused(pool, FAR).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_chain_is_complete_when_all_its_blocks_are_one_chain_of_hashes(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::rpc(pool, 0), Script::new(1));
    script
        .block(start() + 1, |b| b.register(1, ALICE, "ipfs://a"))
        .block(start() + 2, |b| b.uri(1, "ipfs://b"))
        .block(start() + 3, |b| b.uri(1, "ipfs://c"));
    world.open(&script).await?;
    let complete = async || anyhow::Ok(indexer::view::chains(&world.db).await?[0].complete);
    assert!(!complete().await?, "nothing is indexed yet");
    let hash = |number: usize| script.blocks[number].0.hash;
    let steps = vec![
        proven(step(&world, &script, (0, 1, 1), 3), hash(0)),
        proven(step(&world, &script, (1, 2, 2), 3), hash(1)),
        proven(step(&world, &script, (2, 3, 3), 3), hash(2)),
    ];
    follow(&world, &script, steps).await?;
    assert!(complete().await?);
    let ranges = "SELECT count(*) FROM chain.ranges";
    assert_eq!(world.one(ranges).await, "1", "their ends meet");
    // As an older release, or a hand, may have left them.
    let apart =
        "WITH cut AS (UPDATE chain.ranges SET to_block = 1, top_hash = sha256('a') RETURNING *)
        INSERT INTO chain.ranges SELECT chain_id, 2, 3, level, sha256('b'), sha256('c') FROM cut";
    world.pool.execute(apart).await?;
    assert!(!complete().await?, "there is a seam");
    Ok(())
}
