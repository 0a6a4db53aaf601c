//! Beats that agents sign among everything else that moves liveness: new lives, contracts' words, blocks that come late
//! or go.

use chain::{key as wallet, typed};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use did::ed25519;
use identity::{
    heartbeat::{
        Answer, Beat, Form, Heard, Refusal, TTL, check, collect, own_message, show, transit,
    },
    statement::Action,
};
use serde_json::json;
use sqlx::PgPool;
use store::Outcome;

use crate::{
    kit::{BOB, By, Script, World, did, key, owner, say, start, wallet_of},
    statements::{founded, token},
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

/// Token 5's agent beats, so many seconds after the start.
async fn of_token(world: &World, by: By, seconds: i64) -> anyhow::Result<Answer> {
    world.at(start() + seconds);
    let timestamp = world.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let did = "SELECT did FROM identity.agents WHERE did LIKE 'did:nft:%5'";
    let message = own_message("office.example", &world.one(did).await, &timestamp);
    let signature = match by {
        By::Key(seed) => ed25519::signature_wire(&key(seed).sign(message.as_bytes())),
        By::Wallet(seed) => {
            let digest = typed::personal(message.as_bytes());
            kernel::hex_0x(&wallet::sign(&wallet_of(seed), digest)?)
        }
    };
    let beat = Beat {
        agent: token(5),
        timestamp,
        signature,
        form: Form::Own,
    };
    let heard = Heard::read(beat, world.db.clock().now());
    let checked = check(&world.db, "office.example", vec![heard]).await?;
    Ok(checked.keep(&world.db).await?.remove(0))
}

/// A token's agent has no key: the key that claimed it, its wallet and its owner speak for it, each for as long as it is
/// that.
#[sqlx::test(migrations = "../migrations")]
async fn a_tokens_agent_beats_by_the_key_that_claimed_it_its_wallet_and_its_owner(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| b.mint(1, BOB));
    script.block(start() + 2, |b| b.tx("mint").register(5, owner(1), ""));
    script.block(start() + 3, |b| {
        b.metadata(5, "agentWallet", owner(3).as_slice())
    });
    world.at(start() + 10);
    world.follow(&script).await?;
    founded(&world, 7).await?;
    let forged = Err(Refusal::Forged);
    let no_key = of_token(&world, By::Key(7), 20).await?;
    assert_eq!(no_key, Err(Refusal::NoKey), "nobody claimed it yet");
    assert!(of_token(&world, By::Wallet(1), 21).await?.is_ok(), "owner");
    assert!(of_token(&world, By::Wallet(3), 22).await?.is_ok(), "wallet");
    assert_eq!(of_token(&world, By::Wallet(2), 23).await?, forged);
    while transit(&world.db).await? == Outcome::Busy {}
    let alive = "SELECT liveness FROM identity.agents WHERE did LIKE 'did:nft:%5'";
    assert_eq!(world.one(alive).await, "active");

    let claim = json!({ "token": token(5) });
    let both = [By::Key(7), By::Wallet(1)];
    say(&world, Action::Claim, &did(7), claim, &both).await?;
    assert!(of_token(&world, By::Key(7), 30).await?.is_ok(), "claimed");
    assert_eq!(of_token(&world, By::Key(8), 31).await?, forged);
    let next = json!({ "key": did(9) });
    let both = [By::Key(7), By::Key(9)];
    say(&world, Action::Rotate, &did(7), next, &both).await?;
    assert_eq!(of_token(&world, By::Key(7), 40).await?, forged, "rotated");
    assert!(of_token(&world, By::Key(9), 41).await?.is_ok());

    script.block(start() + 50, |b| b.transfer(5, owner(1), owner(2)));
    world.at(start() + 50);
    world.follow(&script).await?;
    assert_eq!(of_token(&world, By::Wallet(1), 60).await?, forged, "sold");
    let no_key = of_token(&world, By::Key(9), 61).await?;
    assert_eq!(no_key, Err(Refusal::NoKey), "the claim was the seller's");
    assert!(of_token(&world, By::Wallet(2), 62).await?.is_ok(), "buyer");
    // A reorganisation takes the sale back, and what everybody is with it.
    world.rewind(&script, 3).await?;
    assert_eq!(of_token(&world, By::Wallet(2), 70).await?, forged);
    assert!(of_token(&world, By::Key(9), 71).await?.is_ok());
    assert!(of_token(&world, By::Wallet(1), 72).await?.is_ok());
    Ok(())
}

/// What an ended agent leaves that is no fact goes once lists leave it out; what was said of it stays.
#[sqlx::test(migrations = "../migrations")]
async fn the_last_beat_of_an_agent_is_collected_some_time_after_its_end(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    for seed in [1, 2] {
        founded(&world, seed).await?;
    }
    world.at(start() + 1);
    for seed in [1, 2] {
        beat(&world, seed).await?;
    }
    let swept = async |seconds: i64| {
        world.at(start() + seconds);
        while transit(&world.db).await? == Outcome::Busy {}
        show(&world.db).await?;
        anyhow::Ok(())
    };
    swept(1).await?;
    swept(1_000).await?;
    let end = json!({ "reason": "done" });
    say(&world, Action::Deregister, &did(1), end, &[By::Key(1)]).await?;
    let of_ended = format!(
        "SELECT concat_ws(' ', runtime_status, last_heartbeat IS NULL,
                (SELECT count(*) FROM identity.status_changes s WHERE s.agent_id = a.id AND dimension = 'liveness'),
                (SELECT count(*) FROM identity.heartbeats), extract(epoch FROM last_active_at)::bigint - {})
           FROM identity.agents a WHERE did = '{}'",
        start(),
        did(1)
    );
    let before = |seconds: i64| DateTime::from_timestamp(start() + seconds, 0).expect("a time");
    // Its end is what counts, and not when it beat last. Who did not end keeps his.
    collect(&world.db, before(999)).await?;
    assert_eq!(world.one(&of_ended).await, "TERMINATED f 2 2 1");
    collect(&world.db, before(1_001)).await?;
    world.sweep().await;
    assert_eq!(
        world.one(&of_ended).await,
        "TERMINATED t 2 1 0",
        "it was active last when it was registered"
    );
    // Where all have ended, rows rest on facts alone, as those of a fresh index do.
    world.at(start() + 1_050);
    let end = json!({ "reason": "done" });
    say(&world, Action::Deregister, &did(2), end, &[By::Key(2)]).await?;
    collect(&world.db, before(1_051)).await?;
    world.sweep().await;
    world.assert_fresh(&[&script]).await;

    world.at(start() + 1_100);
    founded(&world, 1).await?;
    beat(&world, 1).await?;
    swept(1_101).await?;
    let alive = format!(
        "SELECT liveness FROM identity.agents WHERE did = '{}'",
        did(1)
    );
    assert_eq!(
        world.one(&alive).await,
        "active",
        "it begins anew by its key"
    );
    Ok(())
}

/// Each key that is tried costs: of those that claimed one token the newest four speak for it.
#[sqlx::test(migrations = "../migrations")]
async fn of_five_keys_that_claimed_a_token_the_newest_four_beat_for_it(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| b.register(5, owner(1), ""));
    world.at(start() + 10);
    world.follow(&script).await?;
    for seed in 7..=11 {
        founded(&world, seed).await?;
        let claim = json!({ "token": token(5) });
        let both = [By::Key(seed), By::Wallet(1)];
        say(&world, Action::Claim, &did(seed), claim, &both).await?;
    }
    let oldest = of_token(&world, By::Key(7), 20).await?;
    assert_eq!(oldest, Err(Refusal::Forged));
    for seed in 8..=11 {
        let answer = of_token(&world, By::Key(seed), 20 + i64::from(seed)).await?;
        assert!(answer.is_ok(), "{seed}: {answer:?}");
    }
    // One of the four ends, and makes room.
    let end = json!({ "reason": "done" });
    say(&world, Action::Deregister, &did(11), end, &[By::Key(11)]).await?;
    assert!(of_token(&world, By::Key(7), 40).await?.is_ok());
    let ended = of_token(&world, By::Key(11), 41).await?;
    assert_eq!(ended, Err(Refusal::Forged));
    Ok(())
}
