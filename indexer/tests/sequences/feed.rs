//! The head feed as a reader sees it: in one order for ever, and what is undone is told.

use std::sync::Arc;

use chain::SeenTopics;
use identity::{
    Window,
    document::{Fetched, State, Verification, judge},
    head::{self, HeadChange, Wanted},
    statement::Action,
    watch::{self, Alert, Target},
};
use kernel::{AgentId, Limit, Span};
use serde_json::{Value, json};
use sqlx::PgPool;
use store::{Cause, Outcome};

use super::{
    kit::*,
    statements::{founded, token},
};

/// Gives positions to all that is committed.
async fn order(world: &World) {
    while head::order(&world.db).await.expect("orders") == Outcome::Busy {}
}

async fn read(world: &World, wanted: &Wanted) -> Vec<HeadChange> {
    let span = Span {
        after: 0,
        until: head::end(&world.db).await.expect("answers"),
        limit: Limit::new(200).expect("in range"),
        newest: false,
    };
    head::read(&world.db, wanted, &span)
        .await
        .expect("reads")
        .items
}

async fn told(world: &World, owner: kernel::Address) -> Vec<String> {
    let wanted = Wanted {
        owner: Some(format!("{owner:#x}")),
        column: Some("owner_address".to_owned()),
        ..Wanted::default()
    };
    let changes = read(world, &wanted).await;
    let said = changes.iter().map(|change| {
        let undone = if change.undone { " undone" } else { "" };
        format!("{}{undone}", change.value.as_str().unwrap_or("nobody"))
    });
    said.collect()
}

#[sqlx::test(migrations = "../migrations")]
async fn whoever_was_told_of_an_owner_is_told_that_it_is_undone(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    script.block(start() + 2, |b| b.transfer(1, ALICE, BOB));
    script.block(start() + 3, |b| b.metadata(1, "k", b"of Bob's"));
    world.follow(&script).await?;
    order(&world).await;
    let (alice, bob) = (format!("{ALICE:#x}"), format!("{BOB:#x}"));
    assert_eq!(told(&world, ALICE).await, [alice.clone(), bob.clone()]);
    assert_eq!(
        told(&world, BOB).await,
        [bob.as_str()],
        "not what was before"
    );

    world.rewind(&script, 0).await?;
    order(&world).await;
    let undone = |who: &str| format!("{who} undone");
    let seen = told(&world, ALICE).await;
    assert_eq!(
        seen,
        [alice.clone(), bob.clone(), undone(&alice), undone(&bob)]
    );
    assert_eq!(told(&world, BOB).await, [bob.clone(), undone(&bob)]);
    let agent = script.agent(1).0;
    let known = identity::subject::find(&world.db, &agent.to_string()).await?;
    assert_eq!(
        known,
        Some(agent),
        "who asks for an agent that is gone is told, too"
    );
    let all = read(&world, &Wanted::default()).await;
    let (done, taken): (Vec<_>, Vec<_>) = all.iter().partition(|change| !change.undone);
    assert_eq!(done.len(), taken.len(), "each once");

    world.rewind(&script, 0).await?;
    world.follow(&script).await?;
    order(&world).await;
    assert_eq!(read(&world, &Wanted::default()).await.len(), 3 * done.len());
    Ok(())
}

const INSERT: &str =
    "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, undone)
    SELECT now(), $1, ARRAY['name'], ARRAY['1'::jsonb], nextval('identity.fact_serial')::text, false
      FROM generate_series(1, $2)";

#[sqlx::test(migrations = "../migrations")]
async fn a_late_commit_comes_after_what_was_read(pool: PgPool) -> anyhow::Result<()> {
    let world = World::new(pool);
    let (early, late) = (uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2));
    let mut open = world.db.begin(Cause::Job("late")).await?;
    sqlx::query(INSERT)
        .bind(late)
        .bind(2)
        .execute(open.conn())
        .await?;
    sqlx::query(INSERT)
        .bind(early)
        .bind(2)
        .execute(world.db.pool())
        .await?;
    order(&world).await;
    let seen = read(&world, &Wanted::default()).await;
    open.commit().await?;
    order(&world).await;
    let all = read(&world, &Wanted::default()).await;
    assert_eq!(all[..2], seen);
    let agents: Vec<_> = all.iter().map(|change| change.agent_id).collect();
    assert_eq!(agents, [early, early, late, late]);
    let seqs = "SELECT seq FROM identity.head_changes ORDER BY position";
    assert_eq!(world.list(seqs).await, ["3", "4", "1", "2"]);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn many_give_positions_and_each_is_given_once(pool: PgPool) -> anyhow::Result<()> {
    let world = World::new(pool);
    let write = || async {
        for _ in 0..40 {
            let insert = sqlx::query(INSERT).bind(uuid::Uuid::nil()).bind(3);
            insert.execute(world.db.pool()).await.expect("inserts");
        }
    };
    let give = || async {
        while head::end(&world.db).await.expect("answers") < 240 {
            head::order(&world.db).await.expect("orders");
        }
    };
    tokio::join!(write(), write(), give(), give(), give());
    let given = "SELECT count(DISTINCT position) || ' ' || min(position) || ' ' || max(position)
                   FROM identity.head_changes";
    assert_eq!(world.one(given).await, "240 1 240");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn what_is_forgotten_is_a_beginning_and_its_places_are_not_given_again(
    pool: PgPool,
) -> anyhow::Result<()> {
    let world = World::new(pool);
    let keep = chrono::TimeDelta::days(7);
    let age = "UPDATE identity.head_steps SET at = $1 - days * interval '1 day'
                 FROM (VALUES (1, 9), (2, 6), (3, 8), (4, 1)) AS v(nth, days) WHERE position = nth";
    sqlx::query(INSERT)
        .bind(uuid::Uuid::nil())
        .bind(4)
        .execute(world.db.pool())
        .await?;
    order(&world).await;
    sqlx::query(age)
        .bind(world.db.clock().now())
        .execute(world.db.pool())
        .await?;
    let mut tx = world.db.begin(Cause::Job("expire")).await?;
    assert_eq!(
        head::expire(&mut tx, keep).await?,
        1,
        "what is older than a younger one before it stays"
    );
    tx.commit().await?;
    assert_eq!(head::first(&world.db).await?, Some(2));
    let mut tx = world.db.begin(Cause::Job("expire")).await?;
    head::expire(&mut tx, chrono::TimeDelta::zero()).await?;
    tx.commit().await?;
    assert_eq!(head::first(&world.db).await?, None);
    sqlx::query(INSERT)
        .bind(uuid::Uuid::nil())
        .bind(1)
        .execute(world.db.pool())
        .await?;
    order(&world).await;
    assert_eq!(head::first(&world.db).await?, Some(5));
    Ok(())
}

/// How a node that was away reads what it missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missed {
    /// In one step, of more blocks than a live one has.
    AsStep,
    /// As a window over ground that is stored first.
    AsWindow,
}

impl Missed {
    async fn read(self, world: &World, script: &Script) -> anyhow::Result<()> {
        if self == Self::AsStep {
            world.extend(script, script.tip()).await?;
            return Ok(());
        }
        let above = indexer::standing(&world.db, script.id).await?.ground;
        let mut window = Window::new(script.id, SeenTopics::ALL, above.number);
        world.ground(script, &mut window, script.tip()).await;
        world.flush(script, &Arc::new(window)).await?;
        Ok(())
    }
}

/// Somebody watches these, as `mine`.
async fn watched(world: &World, targets: &[Target]) -> anyhow::Result<()> {
    let mut tx = world.db.begin(Cause::Job("test")).await?;
    for target in targets {
        let given = format!("{target:?}");
        watch::add(&mut tx, "operator", "mine", *target, &given).await?;
    }
    Ok(tx.commit().await?)
}

/// The alerts of `mine` about an agent: what each is, and to what.
async fn alerts(world: &World, agent: AgentId) -> Vec<String> {
    order(world).await;
    let targets = watch::targets(&world.db, "operator", "mine").await;
    let wanted = Wanted {
        agent: Some(agent.0),
        watch: Some(targets.expect("a watch")),
        ..Wanted::default()
    };
    let changes = read(world, &wanted).await;
    let words = changes.iter().map(|change| {
        let alert = Alert::of(change).expect("only alerts").as_str();
        format!("{alert} {}", change.value.as_str().unwrap_or("none"))
    });
    words.collect()
}

async fn what_was_missed_is_told_to_whoever_watches(
    pool: PgPool,
    how: Missed,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let targets = [Target::Owner(ALICE), Target::Agent(script.agent(5).0)];
    watched(&world, &targets).await?;
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "ipfs://a").register(2, BOB, "")
    });
    world.follow(&script).await?;
    let seen = alerts(&world, script.agent(1)).await;
    assert!(
        seen.contains(&format!("new_agent {ALICE:#x}")),
        "{how:?}: {seen:?}"
    );

    script.block(start() + 2, |b| {
        b.uri(1, "ipfs://b")
            .status(1, SLEEP, "away")
            .transfer(1, ALICE, BOB)
            .uri(2, "ipfs://b")
            .register(3, ALICE, "")
            .register(4, BOB, "")
            .register(5, BOB, "")
            .register(6, BOB, "")
            .transfer(6, BOB, ALICE)
    });
    for block in 3..=302 {
        script.block(start() + block, |b| b);
    }
    how.read(&world, &script).await?;
    let (alice, bob) = (format!("{ALICE:#x}"), format!("{BOB:#x}"));
    let told = alerts(&world, script.agent(1)).await;
    for expected in [
        "uri ipfs://b".to_owned(),
        "status SLEEP".to_owned(),
        format!("transfer {bob}"),
    ] {
        assert!(
            told[seen.len()..].contains(&expected),
            "{how:?}: {expected} in {told:?}"
        );
    }
    for (token, expected) in [
        (3, format!("new_agent {alice}")),
        (5, format!("new_agent {bob}")),
        (6, format!("transfer {alice}")),
    ] {
        let told = alerts(&world, script.agent(token)).await;
        assert!(told.contains(&expected), "{how:?} {token}: {told:?}");
    }
    // Nobody watches these: they are told of live, and not in bulk.
    let others = format!(
        "SELECT count(*) FROM identity.head_changes
          WHERE agent_id = '{}' AND value = '\"ipfs://b\"' OR agent_id = '{}'",
        script.agent(2),
        script.agent(4),
    );
    assert_eq!(world.one(&others).await, "0", "{how:?}");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_long_step_tells_whoever_watches(pool: PgPool) -> anyhow::Result<()> {
    what_was_missed_is_told_to_whoever_watches(pool, Missed::AsStep).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_window_tells_whoever_watches(pool: PgPool) -> anyhow::Result<()> {
    what_was_missed_is_told_to_whoever_watches(pool, Missed::AsWindow).await
}

#[sqlx::test(migrations = "../migrations")]
async fn a_sale_that_is_included_again_while_nobody_looks_is_told_again(
    pool: PgPool,
) -> anyhow::Result<()> {
    for (chain, how) in [(1, Missed::AsStep), (2, Missed::AsWindow)] {
        let (world, mut script) = (World::new(pool.clone()), Script::new(chain));
        watched(&world, &[Target::Owner(ALICE)]).await?;
        script.block(start() + 1, |b| b.register(1, ALICE, ""));
        script.block(start() + 2, |b| b.tx("sale").transfer(1, ALICE, BOB));
        world.follow(&script).await?;
        // Away: the sale's block is replaced, and a later one holds it.
        world.rewind(&script, 1).await?;
        script.fork(1);
        script.block(start() + 3, |b| b);
        script.block(start() + 4, |b| b.tx("sale").transfer(1, ALICE, BOB));
        for block in 5..=304 {
            script.block(start() + block, |b| b);
        }
        how.read(&world, &script).await?;
        let told = alerts(&world, script.agent(1)).await;
        let owners = told
            .iter()
            .filter(|word| word.ends_with(&format!("{BOB:#x}")));
        let owners: Vec<&str> = owners.filter_map(|word| word.split(' ').next()).collect();
        assert_eq!(owners, ["transfer", "retracted", "transfer"], "{told:?}");
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_uri_that_is_known_to_be_bad_is_told_of_whoever_moves_to_it(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::rpc(pool, 64), Script::new(31337));
    watched(&world, &[Target::Owner(ALICE)]).await?;
    script.block(start() + 1, |b| b.register(9, BOB, "ipfs://bad"));
    script.block(start() + 2, |b| b.register(1, ALICE, "ipfs://good"));
    world.follow(&script).await?;
    world.judge("ipfs://bad", &Value::Null).await?;
    let file = json!({ "name": "A" });
    world.judge("ipfs://good", &file).await?;
    world.sweep().await;
    let agent = script.agent(1);
    let files = async || -> Vec<String> {
        let all = alerts(&world, agent).await;
        let of_files = |word: &String| word.contains("too_large") || word.contains("ipfs://");
        all.into_iter().filter(of_files).collect()
    };
    assert_eq!(files().await, ["uri ipfs://good"]);

    let (moved, bad) = ("uri ipfs://bad", "metadata too_large");
    script.block(start() + 3, |b| b.uri(1, "ipfs://bad"));
    world.follow(&script).await?;
    world.sweep().await;
    // It is not settled yet, and folded again with what comes.
    script.block(start() + 4, |b| {
        b.status(1, SLEEP, "away").register(2, ALICE, "ipfs://bad")
    });
    world.follow(&script).await?;
    assert_eq!(files().await, ["uri ipfs://good", moved, bad]);
    let new = alerts(&world, script.agent(2)).await;
    let told = new.iter().filter(|word| *word == bad).count();
    assert_eq!(told, 1, "{new:?}");
    let others = format!(
        "SELECT count(*) FROM identity.head_changes
          WHERE what = 'metadata_state' AND agent_id = '{}'",
        script.agent(9),
    );
    assert_eq!(world.one(&others).await, "0", "nobody watches it");

    // Whoever comes back to it is told again.
    script.block(start() + 5, |b| b.uri(1, "ipfs://good"));
    script.block(start() + 6, |b| b.uri(1, "ipfs://bad"));
    world.follow(&script).await?;
    assert_eq!(files().await[3..], ["uri ipfs://good", moved, bad]);

    // A reorganisation takes the URI, and what was told of its file.
    world.rewind(&script, 2).await?;
    script.fork(2);
    let all = files().await;
    let retracted = |word: &str| {
        let word = format!("retracted {word}");
        all[6..].iter().filter(|told| **told == word).count()
    };
    assert_eq!(
        (retracted("too_large"), retracted("ipfs://bad")),
        (1, 2),
        "{all:?}"
    );
    // And where it is included again, both are told again.
    script.block(start() + 7, |b| b.uri(1, "ipfs://bad"));
    world.follow(&script).await?;
    assert_eq!(files().await[all.len()..], [moved, bad]);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_file_that_is_not_what_its_uri_says_is_told_of_until_it_is(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    watched(&world, &[Target::Owner(ALICE)]).await?;
    script.block(start() + 1, |b| b.register(1, ALICE, "ipfs://a"));
    world.follow(&script).await?;
    let wrong = Fetched {
        state: State::Unavailable,
        verification: Verification::Mismatch,
        bytes: None,
        cid: None,
        content_type: None,
        etag: None,
        final_url: None,
        error: Some("a gateway gave other bytes".to_owned()),
        retry: true,
    };
    for _ in 0..2 {
        let mut tx = world.db.begin(Cause::Job("test")).await?;
        judge(&mut tx, &kernel::sha256(b"ipfs://a"), &wrong).await?;
        tx.commit().await?;
        world.sweep().await;
    }
    script.block(start() + 2, |b| b.register(2, ALICE, "ipfs://a"));
    world.follow(&script).await?;
    let file = json!({ "name": "A" });
    world.judge("ipfs://a", &file).await?;
    world.sweep().await;
    for token in [1, 2] {
        let told = alerts(&world, script.agent(token)).await;
        let of_file = told.iter().filter(|word| word.starts_with("metadata "));
        let of_file: Vec<&String> = of_file.collect();
        assert_eq!(of_file.len(), 2, "{token}: {told:?}");
        assert_eq!(of_file[0], "metadata mismatch");
        assert_ne!(of_file[1], "metadata mismatch");
    }
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn keys_endpoints_claims_approvals_and_changed_files_are_alerts(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| b.register(5, owner(1), "https://x/a"));
    world.at(start() + 10);
    world.follow(&script).await?;
    let (keyed, of_token) = (founded(&world, 7).await?, script.agent(5));
    let targets = [keyed, of_token].map(|agent| Target::Agent(agent.0));
    watched(&world, &targets).await?;
    world.judge("https://x/a", &json!({ "name": "A" })).await?;
    world.sweep().await;
    let known = [
        alerts(&world, keyed).await.len(),
        alerts(&world, of_token).await.len(),
    ];
    let first = alerts(&world, of_token).await;
    assert!(
        !first.iter().any(|word| word.starts_with("document")),
        "its first file came with the URI: {first:?}"
    );

    let endpoint = json!({ "endpoint_url": "https://a.example/" });
    let content = json!({ "token": token(5) });
    let both = [By::Key(7), By::Wallet(1)];
    say(&world, Action::Update, &did(7), endpoint, &both[..1]).await?;
    say(&world, Action::Claim, &did(7), content, &both).await?;
    let keys = [By::Key(7), By::Key(8)];
    let content = json!({ "key": did(8) });
    say(&world, Action::Rotate, &did(7), content, &keys).await?;
    script.block(start() + 20, |b| b.approve(5, owner(1), BOB));
    world.follow(&script).await?;
    world.at(start() + 30);
    world.judge("https://x/a", &json!({ "name": "B" })).await?;
    world.sweep().await;

    let all = alerts(&world, keyed).await;
    let kinds = |all: &[String]| -> Vec<String> {
        let kinds = all.iter().filter_map(|word| word.split(' ').next());
        kinds.map(str::to_owned).collect()
    };
    assert_eq!(
        kinds(&all[known[0]..]),
        ["endpoint", "claim", "key"],
        "{all:?}"
    );
    let all = alerts(&world, of_token).await;
    assert_eq!(kinds(&all[known[1]..]), ["approval", "document"], "{all:?}");
    Ok(())
}
