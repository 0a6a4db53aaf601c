//! Rewinds: whatever they take, rows and journal are a fresh index's.

use identity::fact::RuntimeStatus;
use sqlx::PgPool;

use crate::kit::{ACTIVE, ALICE, BOB, NOBODY, SLEEP, Script, TERMINATED, World, start};

#[sqlx::test(migrations = "../migrations")]
async fn s03_an_act_outlives_the_status_that_a_reorg_drops(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    for number in 1..=4 {
        script.block(start() + number, |b| {
            if number == 1 {
                b.register(1, ALICE, "")
            } else {
                b
            }
        });
    }
    script.block(start() + 5, |b| b.status(1, SLEEP, "night"));
    world.at(start() + 100);
    world.follow(&script).await?;
    world.act(agent, RuntimeStatus::Terminated).await?;
    assert_eq!(
        world.history(agent).await,
        [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>TERMINATED"]
    );

    world.rewind(&script, 4).await?;
    script.fork(4);
    assert_eq!(world.history(agent).await, [">ACTIVE", "ACTIVE>TERMINATED"]);
    let said = world.said(agent).await;
    assert!(
        said.contains(&"runtime_status=\"ACTIVE\"".to_owned()),
        "{said:?}"
    );
    assert!(
        said.contains(&"runtime_status=\"TERMINATED\"".to_owned()),
        "{said:?}"
    );
    assert!(
        !said.contains(&"runtime_status=\"SLEEP\"".to_owned()),
        "{said:?}"
    );
    assert_eq!(
        world
            .one("SELECT count(*) FROM journal.entries WHERE kind = 'retracted'")
            .await,
        "1"
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s07_an_act_about_a_founding_sleeps_and_wakes_with_it(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(5);
    script.block(start() + 1, |b| b.mint(1, BOB));
    script.block(start() + 2, |b| b.tx("alice mints").register(5, ALICE, ""));
    world.at(start() + 10);
    world.follow(&script).await?;
    world.act(agent, RuntimeStatus::Sleep).await?;
    world
        .sql(&format!(
            "UPDATE identity.agents SET description = 'of Alice' WHERE id = '{agent}'"
        ))
        .await?;
    world.sweep().await;
    let shown = format!(
        "SELECT concat_ws(' ', owner_address, runtime_status, description) FROM identity.agents WHERE id = '{agent}'"
    );
    assert_eq!(
        world.one(&shown).await,
        format!("{ALICE:#x} SLEEP of Alice")
    );

    world.rewind(&script, 1).await?;
    script.fork(1);
    assert_eq!(world.one(&shown).await, "", "it never was");
    script.block(start() + 20, |b| b.tx("bob mints").register(5, BOB, ""));
    world.follow(&script).await?;
    assert_eq!(
        world.one(&shown).await,
        format!("{BOB:#x} ACTIVE"),
        "Alice's acts are not his"
    );
    world.assert_fresh(&[&script]).await;

    world.rewind(&script, 1).await?;
    script.fork(1);
    // Her mint returns later than her acts: they stand at the mint. (SQL's is later by the machine's clock.)
    script.block(start() + 3_000, |b| {
        b.tx("alice mints").register(5, ALICE, "")
    });
    world.follow(&script).await?;
    assert_eq!(
        world.one(&shown).await,
        format!("{ALICE:#x} SLEEP of Alice")
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s15_a_burn_is_final_until_a_reorg_or_a_new_mint(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, "").heartbeat(1));
    script.block(start() + 2, |b| b.burn(1, ALICE));
    world.at(start() + 50);
    world.follow(&script).await?;
    let shown = format!(
        "SELECT concat_ws(' ', owner_address, runtime_status, status_final, liveness) FROM identity.agents WHERE id = '{agent}'"
    );
    assert_eq!(world.one(&shown).await, "TERMINATED t active");
    let refused = world
        .act(agent, RuntimeStatus::Active)
        .await
        .expect_err("final");
    assert_eq!(refused.kind(), kernel::Kind::Conflict, "{refused}");
    let wake = format!("UPDATE identity.agents SET runtime_status = 'ACTIVE' WHERE id = '{agent}'");
    world.sql(&wake).await.expect_err("final for psql too");

    world.rewind(&script, 1).await?;
    assert_eq!(
        world.one(&shown).await,
        format!("{ALICE:#x} ACTIVE f active")
    );
    script.fork(1);
    script.block(start() + 3, |b| b.burn(1, ALICE));
    script.block(start() + 4, |b| b.status(1, ACTIVE, "nobody may"));
    script.block(start() + 5, |b| {
        b.register(1, BOB, "").status(1, SLEEP, "he may")
    });
    world.follow(&script).await?;
    assert_eq!(world.one(&shown).await, format!("{BOB:#x} SLEEP f unknown"));
    let history = world.history(agent).await;
    assert_eq!(
        history,
        [
            ">ACTIVE",
            "ACTIVE>TERMINATED",
            "TERMINATED>ACTIVE",
            "ACTIVE>SLEEP"
        ]
    );
    let seqs = world
        .list("SELECT seq FROM identity.agent_status_history ORDER BY changed_at, seq")
        .await;
    assert_eq!(seqs, ["0", "1", "2", "3"]);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s17_a_log_retracted_and_included_again_is_said_twice(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    script.block(start() + 2, |b| b.tx("tag").metadata(1, "tag", b"x"));
    world.follow(&script).await?;
    let before = world.said(agent).await;
    let entries = world.entries().await;
    world.rewind(&script, 1).await?;
    assert_eq!(world.entries().await, entries + 1, "one retraction");
    // The very same block comes back.
    world.follow(&script).await?;
    assert_eq!(world.entries().await, entries + 2, "and one entry more");
    assert_eq!(world.said(agent).await, before);
    assert_eq!(
        world
            .one("SELECT count(DISTINCT cid) = count(*) FROM journal.entries")
            .await,
        "true"
    );
    let feed = world.list("SELECT what || ' ' || undone FROM identity.head_changes WHERE what LIKE 'onchain%' ORDER BY seq");
    assert_eq!(
        feed.await,
        ["onchain:tag false", "onchain:tag true", "onchain:tag false"]
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s19_a_block_older_than_an_act_retracts_nothing(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    world.at(start() + 30);
    world.follow(&script).await?;
    world.act(agent, RuntimeStatus::Terminated).await?;
    // Mined before the act, seen after it.
    script.block(start() + 20, |b| {
        b.status(1, SLEEP, "early").metadata(1, "k", b"v")
    });
    world.follow(&script).await?;
    assert_eq!(
        world
            .one("SELECT count(*) FROM journal.entries WHERE kind = 'retracted'")
            .await,
        "0"
    );
    let history = world.history(agent).await;
    assert_eq!(history, [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>TERMINATED"]);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn what_was_named_on_lost_ground_is_forgotten(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "ipfs://a")
            .register(2, ALICE, "ipfs://a")
    });
    script.block(start() + 2, |b| {
        b.uri(1, "ipfs://b")
            .uri(1, "ipfs://a")
            .transfer(2, ALICE, BOB)
    });
    world.follow(&script).await?;
    let named = "SELECT count(*) || ' ' || bool_or(again) FROM identity.uri_agents";
    assert_eq!(world.one(named).await, "3 true");
    world.rewind(&script, 1).await?;
    script.fork(1);
    assert_eq!(world.one(named).await, "2 false");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_busy_agent_is_rewound_later_but_never_continued(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    script.block(start() + 2, |b| {
        b.status(1, TERMINATED, "lost").metadata(1, "lost", b"x")
    });
    world.follow(&script).await?;
    let mut psql = pool.begin().await?;
    sqlx::query("SELECT FROM identity.agents WHERE id = $1 FOR UPDATE")
        .bind(agent.0)
        .execute(&mut *psql)
        .await?;
    world.rewind(&script, 1).await?;
    psql.rollback().await?;
    script.fork(1);
    // The next step comes before the sweep.
    script.block(start() + 3, |b| b.transfer(1, ALICE, BOB));
    world.follow(&script).await?;
    assert_eq!(world.history(agent).await, [">ACTIVE"]);
    world.assert_fresh(&[&script]).await;
    world.sweep().await;
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_token_known_only_from_a_later_word_has_one_first_status(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| {
        b.status(1, SLEEP, "first")
            .burn(2, ALICE)
            .transfer(3, ALICE, BOB)
            .heartbeat(4);
        b.transfer(5, NOBODY, ALICE)
    });
    world.follow(&script).await?;
    assert_eq!(world.history(script.agent(1)).await, [">SLEEP"]);
    assert_eq!(world.history(script.agent(2)).await, [">TERMINATED"]);
    assert_eq!(world.history(script.agent(3)).await, [">ACTIVE"]);
    assert_eq!(
        world
            .one("SELECT count(*) FROM identity.tokens WHERE complete")
            .await,
        "1"
    );
    // No founding is known: an act names none, and counts; one founding later it still does not move.
    world.at(start() + 5);
    world.act(script.agent(3), RuntimeStatus::Sleep).await?;
    assert_eq!(
        world.history(script.agent(3)).await,
        [">ACTIVE", "ACTIVE>SLEEP"]
    );
    script.block(start() + 9, |b| b.mint(3, BOB));
    world.follow(&script).await?;
    assert_eq!(
        world.history(script.agent(3)).await,
        [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>ACTIVE"]
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}
