//! Beats that agents sign among everything else that moves liveness: new lives, contracts' words, blocks that come late
//! or go.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use did::ed25519;
use identity::{
    heartbeat::{Beat, Form, Heard, TTL, check, show, transit},
    statement::Action,
};
use serde_json::json;
use sqlx::PgPool;
use store::Outcome;

use crate::{
    kit::{Script, World, start},
    statements::{By, did, founded, key, owner, say, token},
};

/// Seconds of a month, which a beat on chain lasts unless its agent says otherwise.
const MONTH: i64 = 30 * 86_400;

/// An agent beats now. Gives until when it counts as alive, in seconds since the start.
async fn beat(world: &World, seed: u8) -> anyhow::Result<i64> {
    let timestamp = world.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let signature = key(seed).sign(timestamp.as_bytes());
    let beat = Beat {
        agent: did(seed),
        signature: ed25519::signature_wire(&signature),
        timestamp,
        form: Form::Zynd,
    };
    let heard = Heard::read(beat, world.db.clock().now());
    let checked = check(&world.db, "office.example", vec![heard]).await?;
    let taken = checked.keep(&world.db).await?.remove(0)?;
    Ok(taken.next_due.timestamp() - start())
}

/// The sweep's work, at a time in seconds since the start.
async fn told(world: &World, seconds: i64) -> anyhow::Result<String> {
    world.at(start() + seconds);
    while transit(&world.db).await? == Outcome::Busy {}
    Ok(liveness(world).await)
}

/// Liveness of the only agent.
async fn liveness(world: &World) -> String {
    world.one("SELECT liveness FROM identity.agents").await
}

#[sqlx::test(migrations = "../migrations")]
async fn whoever_begins_anew_within_its_ttl_is_alive_with_its_next_beat(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    founded(&world, 1).await?;
    beat(&world, 1).await?;
    assert_eq!(told(&world, 1).await?, "active");
    world.at(start() + 10);
    say(
        &world,
        Action::Deregister,
        &did(1),
        json!({}),
        &[By::Key(1)],
    )
    .await?;
    founded(&world, 1).await?;
    assert_eq!(liveness(&world).await, "unknown");
    assert_eq!(
        told(&world, 20).await?,
        "unknown",
        "it beat in its former life"
    );
    for second in [30, 60, 90] {
        world.at(start() + second);
        beat(&world, 1).await?;
        assert_eq!(told(&world, second).await?, "active");
    }
    assert_eq!(told(&world, 90 + TTL.num_seconds()).await?, "inactive");
    Ok(())
}

/// An agent with a key and an owner, whom a contract of VEXEL's heard at second 20.
async fn heard(world: &World, script: &mut Script) -> anyhow::Result<()> {
    world.open(script).await?;
    world.at(start() + 10);
    let named = json!({ "name": "Ada" });
    let both = [By::Key(1), By::Wallet(1)];
    say(world, Action::Register, &did(1), named, &both).await?;
    script.block(start() + 15, |b| b.enrol(&did(1), owner(1)));
    script.block(start() + 20, |b| b.tx("hers").beat(&did(1)));
    world.at(start() + 20);
    world.follow(script).await?;
    assert_eq!(liveness(world).await, "active");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_contracts_word_that_an_agent_sleeps_holds_until_its_next_beat(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    heard(&world, &mut script).await?;
    world.at(start() + 40);
    beat(&world, 1).await?;
    script.block(start() + 60, |b| b.inactive(&did(1)));
    world.at(start() + 60);
    world.follow(&script).await?;
    assert_eq!(liveness(&world).await, "inactive");
    assert_eq!(told(&world, 70).await?, "inactive", "the contract's word");
    let due = beat(&world, 1).await?;
    assert_eq!(due, 70 + TTL.num_seconds(), "the term on chain is over");
    assert_eq!(told(&world, 71).await?, "active");
    Ok(())
}

/// The same in one step: what the contract said last, holds.
#[sqlx::test(migrations = "../migrations")]
async fn a_beat_and_the_word_after_it_leave_nobody_alive(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    world.at(start() + 10);
    let named = json!({ "name": "Ada" });
    let both = [By::Key(1), By::Wallet(1)];
    say(&world, Action::Register, &did(1), named, &both).await?;
    script.block(start() + 20, |b| {
        b.tx("a")
            .enrol(&did(1), owner(1))
            .tx("b")
            .beat(&did(1))
            .inactive(&did(1))
    });
    world.follow(&script).await?;
    assert_eq!(liveness(&world).await, "inactive");
    assert_eq!(told(&world, 30).await?, "inactive");
    let alive = "SELECT count(*) FROM identity.heartbeats WHERE alive";
    assert_eq!(world.one(alive).await, "0");
    Ok(())
}

/// What an agent says of how long its beats last, holds for the one that it made last.
#[sqlx::test(migrations = "../migrations")]
async fn a_changed_ttl_counts_from_the_last_beat_on(pool: PgPool) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    founded(&world, 1).await?;
    let due = format!(
        "SELECT extract(epoch FROM next_due)::bigint - {} FROM identity.heartbeats",
        start()
    );
    let lasts = async |seconds: serde_json::Value| {
        let ttl = json!({ "ttl": seconds });
        say(&world, Action::Update, &did(1), ttl, &[By::Key(1)]).await
    };
    world.at(start() + 40);
    assert_eq!(beat(&world, 1).await?, 40 + TTL.num_seconds());
    assert_eq!(told(&world, 50).await?, "active");
    lasts(json!(3_600)).await?;
    assert_eq!(world.one(&due).await, "3640");
    assert_eq!(told(&world, 400).await?, "active");
    lasts(json!(null)).await?;
    assert_eq!(world.one(&due).await, "340");
    assert_eq!(told(&world, 401).await?, "inactive");
    // What is over begins again with a beat, and with nothing else.
    lasts(json!(3_600)).await?;
    assert_eq!(told(&world, 402).await?, "inactive");
    assert_eq!(beat(&world, 1).await?, 402 + 3_600);
    assert_eq!(told(&world, 403).await?, "active");
    lasts(json!(60)).await?;
    assert_eq!(told(&world, 461).await?, "active");
    assert_eq!(told(&world, 463).await?, "inactive");
    Ok(())
}

/// A chain whose time is an hour ahead of ours keeps nobody from beating otherwise meanwhile.
#[sqlx::test(migrations = "../migrations")]
async fn a_beat_on_a_chain_that_is_ahead_keeps_no_other_beat_out(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    world.at(start() + 10);
    let named = json!({ "name": "Ada" });
    let both = [By::Key(1), By::Wallet(1)];
    say(&world, Action::Register, &did(1), named, &both).await?;
    script.block(start() + 3_600, |b| {
        b.tx("a").enrol(&did(1), owner(1)).tx("b").beat(&did(1))
    });
    world.at(start() + 20);
    world.follow(&script).await?;
    assert_eq!(liveness(&world).await, "active");
    world.at(start() + 21);
    assert_eq!(beat(&world, 1).await?, MONTH + 3_600, "it counts");
    // Also once the agent is folded anew.
    world
        .sql("INSERT INTO identity.dirty (agent_id, refold) SELECT id, true FROM identity.agents")
        .await?;
    world.sweep().await;
    world.at(start() + 31);
    assert_eq!(beat(&world, 1).await?, MONTH + 3_600);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn an_agent_whose_beat_on_chain_is_gone_is_alive_with_its_next_beat(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    heard(&world, &mut script).await?;
    world.at(start() + 40);
    beat(&world, 1).await?;
    let before = script.tip() - 1;
    script.fork(before);
    world.rewind(&script, before).await?;
    assert_eq!(liveness(&world).await, "unknown");
    assert_eq!(told(&world, 50).await?, "unknown");
    beat(&world, 1).await?;
    assert_eq!(told(&world, 51).await?, "active");
    // It is included again, at the same time: no beat is missed.
    script.block(start() + 20, |b| b.tx("hers").beat(&did(1)));
    world.follow(&script).await?;
    assert_eq!(told(&world, MONTH).await?, "active");
    assert_eq!(told(&world, MONTH + 20).await?, "inactive");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_beat_that_is_indexed_after_its_agent_was_missed_makes_it_alive(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| b.register(5, owner(1), ""));
    world.at(start() + 5);
    world.follow(&script).await?;
    let ttl = json!({ "ttl": 60 });
    say(&world, Action::Update, &token(5), ttl, &[By::Wallet(1)]).await?;
    script.block(start() + 10, |b| b.heartbeat(5));
    world.at(start() + 12);
    world.follow(&script).await?;
    assert_eq!(told(&world, 69).await?, "active");
    assert_eq!(told(&world, 71).await?, "inactive");
    script.block(start() + 65, |b| b.heartbeat(5));
    world.at(start() + 75);
    world.follow(&script).await?;
    assert_eq!(
        liveness(&world).await,
        "inactive",
        "it stands before what was said of it"
    );
    assert_eq!(told(&world, 76).await?, "active");
    assert_eq!(told(&world, 126).await?, "inactive", "once");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_beat_over_http_shortens_no_term_on_chain_unless_the_agent_says_so(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    heard(&world, &mut script).await?;
    world.at(start() + 40);
    assert_eq!(beat(&world, 1).await?, MONTH + 20);
    let later = 40 + 2 * TTL.num_seconds();
    assert_eq!(told(&world, later).await?, "active");

    // Its row is brought up to date all the same, once per five minutes.
    let shown = "SELECT extract(epoch FROM last_heartbeat)::bigint FROM identity.agents";
    show(&world.db).await?;
    assert_eq!(world.one(shown).await, (start() + 40).to_string());
    beat(&world, 1).await?;
    show(&world.db).await?;
    let now: DateTime<Utc> = world.clock.now();
    assert_eq!(world.one(shown).await, now.timestamp().to_string());

    let ttl = json!({ "ttl": 60 });
    say(&world, Action::Update, &did(1), ttl, &[By::Key(1)]).await?;
    world.clock.advance(TimeDelta::seconds(10));
    assert_eq!(beat(&world, 1).await?, later + 70, "as it says itself");
    assert_eq!(told(&world, later + 69).await?, "active");
    assert_eq!(told(&world, later + 71).await?, "inactive");
    Ok(())
}
