//! The follower going from the head into a backfill: after a long pause it reads ground ahead and projects a
//! window on top of what it projected block by block.

#[allow(dead_code, unused_imports)] // The other tests use what this one does not.
mod kit;

use std::collections::VecDeque;

use indexer::{Cursor, Follower, Source, Step, Trail};
use sqlx::PgPool;
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

/// Blocks up to `to` of which those up to `settled` are, as they come with the head at `head`.
fn step(world: &World, script: &Script, (above, to, settled): (i64, i64, i64), head: i64) -> Step {
    match world.step(script, above, to) {
        Step::Extend(mut extend) => {
            (extend.settled, extend.head) = (settled, head);
            Step::Extend(extend)
        }
        other => other,
    }
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
