//! Steps: whole or not at all, once, and the same in any size.

use sqlx::PgPool;
use store::Cause;

use crate::kit::{ACTIVE, ALICE, BOB, REGISTRY, SLEEP, Script, World, start};

#[sqlx::test(migrations = "../migrations")]
async fn s04_two_changes_in_one_step_are_two_rows(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    script.block(start() + 2, |b| {
        b.status(1, SLEEP, "a").status(1, ACTIVE, "b")
    });
    world.follow(&script).await?;
    assert_eq!(
        world.history(agent).await,
        [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>ACTIVE"]
    );
    let distinct = "SELECT count(DISTINCT id) || ' ' || count(DISTINCT cause) FROM identity.agent_status_history";
    assert_eq!(world.one(distinct).await, "3 3");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s14_one_registry_address_on_two_chains_is_two_registries(
    pool: PgPool,
) -> anyhow::Result<()> {
    let world = World::new(pool);
    let (mut one, mut two) = (Script::new(31337), Script::new(8453));
    one.block(start() + 1, |b| b.register(1, ALICE, "ipfs://same"));
    two.block(start() + 1, |b| b.register(1, BOB, "ipfs://same"));
    world.follow(&one).await?;
    world.follow(&two).await?;
    assert_ne!(one.agent(1), two.agent(1));
    world
        .judge("ipfs://same", &serde_json::json!({ "name": "Shared" }))
        .await?;
    world.sweep().await;
    let names = "SELECT value FROM identity.agent_identifiers WHERE kind = 'short' ORDER BY value";
    assert_eq!(world.list(names).await, ["31337:1", "8453:1"]);
    assert_eq!(
        world
            .list("SELECT DISTINCT name FROM identity.agents")
            .await,
        ["Shared"]
    );
    world.rewind(&one, 0).await?;
    one.fork(0);
    assert_eq!(
        world
            .list("SELECT owner_address FROM identity.agents")
            .await,
        [format!("{BOB:#x}")]
    );
    world.assert_fresh(&[&one, &two]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_second_registry_has_no_short_names(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let second = kernel::Address::repeat_byte(0x33);
    script.registries = vec![REGISTRY, second];
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "");
        b.registry(second)
            .register(1, BOB, "")
            .status(1, SLEEP, "of the second")
    });
    world.follow(&script).await?;
    assert_eq!(
        world
            .one("SELECT count(*) FROM identity.agent_identifiers WHERE kind = 'short'")
            .await,
        "1"
    );
    assert_eq!(world.history(script.agent(1)).await, [">ACTIVE"]);
    assert_eq!(
        world.history(script.agent_at(second, 1)).await,
        [">ACTIVE", "ACTIVE>SLEEP"]
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_malformed_log_is_an_incident_once(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, "ipfs://a"));
    script.block(start() + 2, |b| b.malformed(1).malformed(9));
    world.open(&script).await?;
    world.extend(&script, 1).await?;
    // Somebody holds the agent meanwhile: it is told nevertheless.
    let mut psql = pool.begin().await?;
    sqlx::query("SELECT FROM identity.agents WHERE id = $1 FOR UPDATE")
        .bind(agent.0)
        .execute(&mut *psql)
        .await?;
    world.extend(&script, 2).await?;
    psql.rollback().await?;
    let incidents = "SELECT count(*) FROM journal.entries WHERE kind = 'incident'";
    assert_eq!(world.one(incidents).await, "2");
    script.block(start() + 3, |b| b.uri(1, "ipfs://b"));
    world.follow(&script).await?;
    world.sweep().await;
    world
        .act(agent, identity::fact::RuntimeStatus::Sleep)
        .await?;
    assert_eq!(world.one(incidents).await, "2");
    assert_eq!(
        world.one("SELECT count(*) FROM identity.agents").await,
        "1",
        "9 was only spoken of badly"
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn the_same_step_is_refused_the_second_time(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    world.open(&script).await?;
    let cursor = indexer::standing(&world.db, script.id).await?.ground;
    let step = || world.step(&script, 0, 1);
    let contracts = script.contracts();
    indexer::apply(&world.db, script.id, &contracts, cursor, step(), None).await?;
    let before = world.entries().await;
    let again = indexer::apply(&world.db, script.id, &contracts, cursor, step(), None).await;
    let again = again.expect_err("the cursor moved");
    assert!(
        matches!(again, indexer::Error::Store(store::Error::Moved { .. })),
        "{again}"
    );
    assert_eq!(world.entries().await, before);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_step_that_dies_leaves_nothing(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| b.register(1, ALICE, "ipfs://a"));
    script.block(start() + 2, |b| b.status(1, SLEEP, "x"));
    world.follow(&script).await?;
    let counts = "SELECT concat_ws(' ', (SELECT count(*) FROM journal.entries), (SELECT count(*) FROM chain.logs),
        (SELECT count(*) FROM identity.agent_status_history), (SELECT count(*) FROM identity.folds), (SELECT count(*) FROM identity.acts))";
    let before = world.one(counts).await;
    // All that a rewind's and an act's projection do, and then the process dies before the commit.
    let mut tx = world.db.begin(Cause::Job("dies")).await?;
    identity::project(
        &mut tx,
        &[script.agent(1)],
        identity::Mode::Refold,
        identity::Feed::Told,
    )
    .await?;
    identity::act::set_status(
        &mut tx,
        script.agent(1),
        identity::fact::RuntimeStatus::Active,
        None,
    )
    .await?;
    drop(tx);
    assert_eq!(world.one(counts).await, before);
    script.block(start() + 3, |b| b.status(1, ACTIVE, "y"));
    world.follow(&script).await?;
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn another_chain_under_the_same_id_is_refused(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    script.blocks[0].0.hash = kernel::B256::repeat_byte(9);
    let error = world.open(&script).await.expect_err("another genesis");
    assert!(
        matches!(error, indexer::Error::OtherChain { .. }),
        "{error}"
    );
    Ok(())
}
