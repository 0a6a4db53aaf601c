//! Documents: early or late, once or twice, the rows are the same.

use std::sync::Arc;

use chain::SeenTopics;
use identity::Window;
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::kit::{ACTIVE, ALICE, Fresh, SLEEP, Script, TERMINATED, Way, World, start};

fn file(name: &str, active: bool) -> Value {
    json!({
        "type": "https://eips.ethereum.org/EIPS/eip-8004#registration-v1", "name": name, "active": active,
        "services": [{ "name": "MCP", "endpoint": format!("https://{name}.example/mcp") }],
    })
}

#[sqlx::test(migrations = "../migrations")]
async fn s10_active_false_loses_to_a_later_status_however_late_it_is_read(
    pool: PgPool,
) -> anyhow::Result<()> {
    let world = World::new(pool);
    // Two chains that differ in nothing but when the file was judged.
    let (mut early, mut late) = (Script::new(1001), Script::new(1002));
    for script in [&mut early, &mut late] {
        script.block(start() + 10, |b| b.register(1, ALICE, "ipfs://0"));
        script.block(start() + 20, |b| b.status(1, ACTIVE, "awake"));
    }
    world.open(&early).await?;
    world.extend(&early, 1).await?;
    world.at(start() + 12);
    world.judge("ipfs://0", &file("a", false)).await?;
    world.sweep().await;
    assert_eq!(
        world.history(early.agent(1)).await,
        [">ACTIVE", "ACTIVE>SLEEP"]
    );
    world.extend(&early, 2).await?;
    let expected = [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>ACTIVE"];
    assert_eq!(world.history(early.agent(1)).await, expected);
    world.at(start() + 100);
    world.follow(&late).await?;
    world.sweep().await;
    assert_eq!(world.history(late.agent(1)).await, expected);
    world.assert_fresh(&[&early, &late]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s10_a_file_that_is_judged_last_stands_at_its_log(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 10, |b| b.register(1, ALICE, "ipfs://a"));
    script.block(start() + 20, |b| b.status(1, ACTIVE, "awake"));
    world.at(start() + 100);
    world.follow(&script).await?;
    world.judge("ipfs://a", &file("a", false)).await?;
    world.sweep().await;
    let history = world.history(script.agent(1)).await;
    assert_eq!(history, [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>ACTIVE"]);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s10_a_uri_that_returns_brings_its_document_back(pool: PgPool) -> anyhow::Result<()> {
    let orders = [
        // After which block which of the two is judged.
        [(1, 'a'), (2, 'b')],
        [(1, 'a'), (3, 'b')],
        [(2, 'b'), (3, 'a')],
        [(3, 'a'), (3, 'b')],
        [(3, 'b'), (3, 'a')],
    ];
    for (chain, order) in (1..).zip(orders) {
        let (world, mut script) = (World::new(pool.clone()), Script::new(chain));
        let (a, b) = (format!("ipfs://a{chain}"), format!("ipfs://b{chain}"));
        script.block(start() + 10, |w| w.register(1, ALICE, &a));
        script.block(start() + 20, |w| w.uri(1, &b));
        script.block(start() + 30, |w| w.uri(1, &a));
        world.open(&script).await?;
        world.at(start() + 50);
        for block in 1..=3 {
            world.extend(&script, block).await?;
            for (_, which) in order.iter().filter(|(after, _)| *after == block) {
                let uri = if *which == 'a' { &a } else { &b };
                world
                    .judge(uri, &file(&which.to_string(), *which == 'b'))
                    .await?;
                world.sweep().await;
            }
        }
        let name = "SELECT name || ' ' || runtime_status FROM identity.agents WHERE id = ";
        let name = format!("{name}'{}'", script.agent(1));
        assert_eq!(world.one(&name).await, "a SLEEP", "order {order:?}");
        let history = world.history(script.agent(1)).await;
        assert_eq!(
            history,
            [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>ACTIVE", "ACTIVE>SLEEP"],
            "{order:?}"
        );
        world.assert_fresh(&[&script]).await;
        // The next one has a database of its own, as far as agents go.
        world.rewind(&script, 0).await?;
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn versions_say_what_changed_and_do_not_undo_what_people_set(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, "https://x/a"));
    world.at(start() + 10);
    world.follow(&script).await?;
    world
        .judge(
            "https://x/a",
            &json!({ "name": "A", "description": "d", "skills": ["s1"] }),
        )
        .await?;
    world.sweep().await;
    world.at(start() + 20);
    let mut tx = world
        .db
        .begin(store::Cause::Request(kernel::Principal::Operator))
        .await?;
    let changes = [
        ("description".to_owned(), json!("by hand")),
        ("category".to_owned(), json!("c")),
    ];
    identity::act::update(&mut tx, agent, &changes.into(), None).await?;
    tx.commit().await?;
    world.at(start() + 30);
    world
        .judge(
            "https://x/a",
            &json!({ "name": "B", "description": "d", "skills": ["s2"] }),
        )
        .await?;
    world.sweep().await;
    let row = format!(
        "SELECT concat_ws('|', name, description, category) FROM identity.agents WHERE id = '{agent}'"
    );
    assert_eq!(world.one(&row).await, "B|by hand|c");
    world.assert_fresh(&[&script]).await;
    // Nothing is found there any more: what the file said is gone, what people set stays.
    world.at(start() + 40);
    world.judge("https://x/a", &Value::Null).await?;
    world.sweep().await;
    assert_eq!(
        world.one(&row).await,
        "31337:1|c",
        "the file took its description along"
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn nul_and_other_poison_never_stop_a_sweep(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let long = "n".repeat(3_000);
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "ipfs://a")
            .metadata(1, "k\0", b"\0")
            .status(1, SLEEP, "r\0\0");
        b.metadata(1, &long, long.as_bytes())
            .uri(1, "data:\0")
            .uri(1, &long)
            .uri(1, "ipfs://a")
    });
    world.follow(&script).await?;
    world.judge("ipfs://a", &json!({
        "name": format!("\0{long}"), "description": "\0", "version": 1e300, "category": long,
        "skills": ["\0", long], "services": [{ "name": "\0x", "endpoint": "\0" }], "\0": { "\0": ["\0"] },
    })).await?;
    world.sweep().await;
    assert_eq!(world.one("SELECT count(*) FROM identity.dirty").await, "0");
    assert_eq!(
        world.one("SELECT length(name) FROM identity.agents").await,
        "255"
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s11_five_thousand_agents_share_a_file_whose_active_flips(
    pool: PgPool,
) -> anyhow::Result<()> {
    let agents: u64 = 5_000;
    let (world, mut script) = (World::new(pool), Script::new(31337));
    for block in 0..10 {
        script.block(start() + block, |b| {
            let each = agents / 10;
            let first = u64::try_from(block).expect("small") * each;
            (first..first + each).fold(b, |b, token| b.register(token, ALICE, "https://x/shared"))
        });
    }
    world.follow(&script).await?;
    assert_eq!(
        world
            .one("SELECT count(*) FROM store.jobs WHERE kind = 'fetch'")
            .await,
        "1"
    );
    world.at(start() + 100);
    world
        .judge("https://x/shared", &file("shared", true))
        .await?;
    world.sweep().await;
    for (version, active) in [(2, false), (3, true), (4, false)] {
        world.at(start() + 100 * version);
        world
            .judge("https://x/shared", &file("shared", active))
            .await?;
        assert_eq!(
            world
                .one("SELECT count(*) FROM identity.dirty WHERE NOT refold")
                .await,
            "5000"
        );
        world.sweep().await;
    }
    let states =
        "SELECT runtime_status || ' ' || count(*) FROM identity.agents GROUP BY runtime_status";
    assert_eq!(world.list(states).await, ["SLEEP 5000"]);
    assert_eq!(
        world
            .one("SELECT count(*) FROM identity.agent_status_history")
            .await,
        "20000"
    );
    let fresh = Fresh::new(&world).await;
    if let Some(difference) = fresh.differs(&world, &[&script], Way::Steps(4)).await {
        panic!("{}", difference.chars().take(2_000).collect::<String>());
    }
    fresh.drop(&world).await;
    Ok(())
}

/// As many as the model says, who found the file judged when they came. Each flip marks all of them at once, and a step
/// that comes while they wait for the sweep does not wait.
#[sqlx::test(migrations = "../migrations")]
async fn s11_a_hundred_thousand_agents_share_a_file_whose_active_flips(
    pool: PgPool,
) -> anyhow::Result<()> {
    const AGENTS: u64 = 100_000;
    const EACH: u64 = 2_000;
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| b.register(0, ALICE, "https://x/shared"));
    world.follow(&script).await?;
    world.at(start() + 5);
    world
        .judge("https://x/shared", &file("shared", true))
        .await?;
    world.sweep().await;
    let known = script.tip();
    for block in 0..AGENTS / EACH {
        let time = start() + 10 + i64::try_from(block)?;
        let first = 1 + block * EACH;
        script.block(time, |b| {
            (first..AGENTS.min(first + EACH)).fold(b, |b, token| {
                b.mint(token, ALICE).uri(token, "https://x/shared")
            })
        });
    }
    // As a backfill takes them, which is faster than block by block.
    let mut ahead = Window::new(script.id, SeenTopics::ALL, known);
    world.ground(&script, &mut ahead, script.tip()).await;
    world.flush(&script, &Arc::new(ahead)).await?;
    let states = "SELECT runtime_status || ' ' || name || ' ' || count(*)
                    FROM identity.agents GROUP BY runtime_status, name ORDER BY 1";
    assert_eq!(world.list(states).await, ["ACTIVE shared 100000"]);

    world.at(start() + 1_000);
    world
        .judge("https://x/shared", &file("shared", false))
        .await?;
    let waiting = "SELECT count(*) FROM identity.dirty WHERE NOT refold";
    assert_eq!(world.one(waiting).await, "100000");
    script.block(start() + 1_001, |b| b.status(7, TERMINATED, "enough"));
    world.follow(&script).await?;
    assert_eq!(
        world.list(states).await,
        ["ACTIVE shared 99999", "TERMINATED shared 1"]
    );
    world.sweep().await;
    assert_eq!(
        world.list(states).await,
        ["SLEEP shared 99999", "TERMINATED shared 1"]
    );
    let history = "SELECT concat_ws('>', previous_status, new_status) || ' ' || count(*)
                     FROM identity.agent_status_history GROUP BY previous_status, new_status ORDER BY 1";
    let changes = ["ACTIVE 100000", "ACTIVE>SLEEP 100000", "SLEEP>TERMINATED 1"];
    assert_eq!(world.list(history).await, changes);
    // One entry for each agent and step that touched it: the first one came before its file was judged.
    assert_eq!(world.entries().await, 200_001);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s20_an_agent_with_4000_uris_costs_no_more_than_another(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    let agent = script.agent(1);
    script.block(start(), |b| b.register(1, ALICE, "ipfs://0"));
    for block in 1..=40 {
        script.block(start() + block, |b| {
            (0..100).fold(b, |b, n| b.uri(1, &format!("ipfs://{block}/{n}")))
        });
    }
    world.follow(&script).await?;
    let size = "SELECT octet_length(state) FROM identity.folds";
    let before: i64 = world.one(size).await.parse()?;
    let read = "SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)::bigint FROM pg_stat_xact_user_tables
                 WHERE relname IN ('logs', 'blocks', 'uris', 'documents', 'uri_agents', 'acts', 'said', 'entries')";
    script.block(start() + 50, |b| b.uri(1, "ipfs://last"));
    world.follow(&script).await?;
    let after: i64 = world.one(size).await.parse()?;
    assert!(
        before < 4_000 && (after - before).abs() < 100,
        "the saved state grew: {before} to {after}"
    );

    // What one more projection reads, by the plan of a database that autovacuum has been to: what a plan made of the
    // statistics of a table's first rows reads is up to the minute at which they were taken.
    sqlx::query("ANALYZE").execute(&pool).await?;
    let mut tx = world.db.begin(store::Cause::Job("test")).await?;
    let feed = identity::Feed::Told;
    let before: i64 = sqlx::query_scalar(read).fetch_one(tx.conn()).await?;
    identity::project(&mut tx, &[agent], identity::Mode::Forward, feed).await?;
    let after: i64 = sqlx::query_scalar(read).fetch_one(tx.conn()).await?;
    assert!(
        after - before < 200,
        "{} rows were read for nothing new",
        after - before
    );
    drop(tx);
    world.judge("ipfs://last", &file("last", true)).await?;
    assert_eq!(
        world
            .one("SELECT string_agg(refold::text, '') FROM identity.dirty")
            .await,
        "false"
    );
    world.sweep().await;
    assert_eq!(world.one("SELECT name FROM identity.agents").await, "last");
    script.block(start() + 60, |b| b.status(1, TERMINATED, "enough"));
    world.follow(&script).await?;
    world.assert_fresh(&[&script]).await;
    Ok(())
}
