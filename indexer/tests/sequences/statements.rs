//! Statements among everything else: what owners and keys sign, while chains are rewound and tokens sold.

use std::collections::BTreeMap;

use chrono::DateTime;
use did::{ed25519, zynd};
use identity::{
    agent::{Filter, list},
    statement::{self, Action, Nonce, Statement, Submission},
};
use journal::{Change, NewEntry};
use kernel::{AgentId, Kind, Limit};
use serde_json::{Value, json};
use sqlx::PgPool;
use store::Cause;

use crate::kit::{BOB, By, ORIGIN, REGISTRY, Script, World, did, key, owner, say, start};

pub(super) async fn founded(world: &World, seed: u8) -> identity::Result<AgentId> {
    let content = json!({ "name": format!("agent {seed}") });
    let receipt = say(
        world,
        Action::Register,
        &did(seed),
        content,
        &[By::Key(seed)],
    )
    .await?;
    Ok(receipt.agent)
}

pub(super) fn token(number: u64) -> String {
    format!("eip155:31337:{REGISTRY:#x}/{number}")
}

#[sqlx::test(migrations = "../migrations")]
async fn s07_an_owners_statement_sleeps_and_wakes_with_his_mint(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(5);
    script.block(start() + 1, |b| b.mint(1, BOB));
    script.block(start() + 2, |b| b.tx("mint").register(5, owner(1), ""));
    world.at(start() + 10);
    world.follow(&script).await?;
    let by = [By::Wallet(1)];
    say(
        &world,
        Action::Status,
        &token(5),
        json!({"status": "SLEEP"}),
        &by,
    )
    .await?;
    let said = json!({ "description": "of Alice", "capabilities": { "read": { "level": 1 } } });
    say(&world, Action::Update, &token(5), said, &by).await?;
    let shown = format!(
        "SELECT concat_ws(' ', owner_address, runtime_status, description,
                (SELECT string_agg(capability_name, ',') FROM identity.capability_vectors WHERE agent_id = a.id))
           FROM identity.agents a WHERE id = '{agent}'"
    );
    let of_alice = format!("{:#x} SLEEP of Alice read", owner(1));
    assert_eq!(world.one(&shown).await, of_alice);
    world.assert_fresh(&[&script]).await;

    world.rewind(&script, 1).await?;
    script.fork(1);
    assert_eq!(world.one(&shown).await, "", "it never was");
    script.block(start() + 20, |b| b.tx("bob mints").register(5, BOB, ""));
    world.follow(&script).await?;
    assert_eq!(world.one(&shown).await, format!("{BOB:#x} ACTIVE"));
    world.assert_fresh(&[&script]).await;

    world.rewind(&script, 1).await?;
    script.fork(1);
    // Her mint returns in a later block than her statements.
    script.block(start() + 3_000, |b| b.tx("mint").register(5, owner(1), ""));
    world.follow(&script).await?;
    assert_eq!(world.one(&shown).await, of_alice);
    assert_eq!(world.history(agent).await, [">ACTIVE", "ACTIVE>SLEEP"]);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s07_a_statement_rests_on_the_transfer_that_made_its_owner(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(5);
    script.block(start() + 1, |b| b.register(5, owner(1), ""));
    script.block(start() + 2, |b| {
        b.tx("sale").transfer(5, owner(1), owner(2))
    });
    world.at(start() + 10);
    world.follow(&script).await?;
    let sleep = json!({ "status": "SLEEP", "reason": "night" });
    let seller = say(
        &world,
        Action::Status,
        &token(5),
        sleep.clone(),
        &[By::Wallet(1)],
    )
    .await;
    assert_eq!(seller.expect_err("sold").kind(), Kind::Denied);
    say(&world, Action::Status, &token(5), sleep, &[By::Wallet(2)]).await?;
    let status = format!("SELECT runtime_status FROM identity.agents WHERE id = '{agent}'");
    assert_eq!(world.one(&status).await, "SLEEP");

    world.rewind(&script, 1).await?;
    script.fork(1);
    assert_eq!(world.one(&status).await, "ACTIVE", "he never was the owner");
    script.block(start() + 30, |b| b.transfer(5, owner(1), BOB));
    world.follow(&script).await?;
    assert_eq!(world.one(&status).await, "ACTIVE");
    world.assert_fresh(&[&script]).await;
    world.rewind(&script, 1).await?;
    script.fork(1);
    script.block(start() + 3_000, |b| {
        b.tx("sale").transfer(5, owner(1), owner(2))
    });
    world.follow(&script).await?;
    assert_eq!(world.one(&status).await, "SLEEP", "it wakes with the sale");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s08_a_claim_follows_the_token(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| b.mint(1, BOB));
    script.block(start() + 2, |b| b.tx("mint").register(5, owner(1), ""));
    world.at(start() + 10);
    world.follow(&script).await?;
    let agent = founded(&world, 7).await?;
    let content = json!({ "token": token(5) });
    let stranger = [By::Key(7), By::Wallet(2)];
    let refused = say(&world, Action::Claim, &did(7), content.clone(), &stranger).await;
    assert_eq!(refused.expect_err("not his").kind(), Kind::Denied);
    let both = [By::Key(7), By::Wallet(1)];
    say(&world, Action::Claim, &did(7), content.clone(), &both).await?;
    let linked = "SELECT count(*) FROM identity.v_claims";
    assert_eq!(world.one(linked).await, "1");
    let names = identity::identifier::list(&world.db, agent.0).await?;
    let of_token = names.iter().find(|name| name.standing == "linked");
    assert!(of_token.expect("linked").value.starts_with("did:nft:"));

    // A reorg of the token, and its return.
    world.rewind(&script, 1).await?;
    assert_eq!(world.one(linked).await, "0", "there is no such token");
    world.follow(&script).await?;
    assert_eq!(world.one(linked).await, "1", "it is back");
    // A sale, and a reorg of the sale.
    script.block(start() + 20, |b| b.transfer(5, owner(1), BOB));
    world.follow(&script).await?;
    assert_eq!(world.one(linked).await, "0", "sold");
    world.assert_fresh(&[&script]).await;
    script.block(start() + 21, |b| b.transfer(5, BOB, owner(1)));
    world.follow(&script).await?;
    assert_eq!(
        world.one(linked).await,
        "0",
        "of what he bought he said nothing"
    );
    world.rewind(&script, 2).await?;
    script.fork(2);
    assert_eq!(world.one(linked).await, "1", "it was never sold");
    world.assert_fresh(&[&script]).await;
    // The end of the key's agent ends it.
    say(
        &world,
        Action::Deregister,
        &did(7),
        json!({}),
        &[By::Key(7)],
    )
    .await?;
    assert_eq!(world.one(linked).await, "0");
    // It begins anew with its key: of this life the token's owner has signed nothing.
    founded(&world, 7).await?;
    assert_eq!(world.one(linked).await, "0");
    world.assert_fresh(&[&script]).await;
    say(&world, Action::Claim, &did(7), content, &both).await?;
    assert_eq!(world.one(linked).await, "1");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s09_a_rotated_key_founds_nothing(pool: PgPool) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    let agent = founded(&world, 1).await?;
    assert_eq!(agent, AgentId::of_did(&did(1)));
    let content = json!({ "key": did(2) });
    let both = [By::Key(1), By::Key(2)];
    say(&world, Action::Rotate, &did(1), content, &both).await?;
    let row = "SELECT concat_ws(' ', id, did) FROM identity.agents";
    assert_eq!(
        world.one(row).await,
        format!("{agent} {}", did(2)),
        "the id stays"
    );

    for seed in [1, 2] {
        let again = founded(&world, seed).await.expect_err("used");
        assert_eq!(again.kind(), Kind::Conflict, "{again}");
    }
    let content = json!({ "summary": "old" });
    let by_old = say(
        &world,
        Action::Update,
        &did(2),
        content.clone(),
        &[By::Key(1)],
    )
    .await;
    assert_eq!(by_old.expect_err("rotated away").kind(), Kind::Denied);
    let to_old = say(
        &world,
        Action::Rotate,
        &did(2),
        json!({"key": did(1)}),
        &[By::Key(2), By::Key(1)],
    )
    .await;
    assert_eq!(to_old.expect_err("used").kind(), Kind::Conflict);
    say(&world, Action::Update, &did(2), content, &[By::Key(2)]).await?;
    let names = world
        .list("SELECT kind || ' ' || standing FROM identity.agent_identifiers ORDER BY 1")
        .await;
    assert_eq!(
        names,
        [
            "did former",
            "did verified",
            "key_hash former",
            "key_hash verified"
        ]
    );
    assert_eq!(world.one("SELECT count(*) FROM identity.agents").await, "1");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn an_agent_ends_and_begins_anew_by_its_key_alone(pool: PgPool) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    let content = json!({ "name": "Ada", "ttl": 60, "summary": "first life" });
    let both = [By::Key(1), By::Wallet(1)];
    let agent = say(&world, Action::Register, &did(1), content, &both)
        .await?
        .agent;
    let row = "SELECT concat_ws(' ', name, name_source, ttl, owner_address, runtime_status, status_final, load, summary)
                 FROM identity.agents";
    let alice = format!("{:#x}", owner(1));
    assert_eq!(
        world.one(row).await,
        format!("Ada statement 60 {alice} ACTIVE f AVAILABLE first life")
    );
    // The owner speaks, nobody else; he gives it away; then the new one speaks.
    let busy = json!({ "load": "BUSY" });
    say(
        &world,
        Action::Status,
        &did(1),
        busy.clone(),
        &[By::Wallet(1)],
    )
    .await?;
    let stranger = say(
        &world,
        Action::Status,
        &did(1),
        busy.clone(),
        &[By::Wallet(2)],
    )
    .await;
    assert_eq!(stranger.expect_err("not his").kind(), Kind::Denied);
    let to = json!({ "owner": format!("{:#x}", owner(2)) });
    let by_key = say(&world, Action::Transfer, &did(1), to.clone(), &[By::Key(1)]).await;
    assert_eq!(by_key.expect_err("the owner's").kind(), Kind::Denied);
    say(&world, Action::Transfer, &did(1), to, &[By::Wallet(1)]).await?;
    let seller = say(&world, Action::Status, &did(1), busy, &[By::Wallet(1)]).await;
    assert_eq!(seller.expect_err("given away").kind(), Kind::Denied);
    let suspended = BTreeMap::from([("admin_status".to_owned(), json!("SUSPENDED"))]);
    let mut tx = world.db.begin(Cause::Job("test")).await?;
    identity::act::update(&mut tx, agent, &suspended, Some("spam")).await?;
    tx.commit().await?;
    let end = json!({ "reason": "done" });
    say(&world, Action::Deregister, &did(1), end, &[By::Wallet(2)]).await?;
    let bob = format!("{:#x}", owner(2));
    assert_eq!(
        world.one(row).await,
        format!("Ada statement 60 {bob} TERMINATED t BUSY first life")
    );
    world.assert_fresh(&[&script]).await;

    let late = say(
        &world,
        Action::Update,
        &did(1),
        json!({"summary": "x"}),
        &[By::Key(1)],
    )
    .await;
    assert_eq!(late.expect_err("ended").kind(), Kind::Conflict);
    let act = world
        .act(agent, identity::fact::RuntimeStatus::Active)
        .await;
    assert_eq!(act.expect_err("ended").kind(), Kind::Conflict);
    founded(&world, 1).await?;
    assert_eq!(
        world.one(row).await,
        "agent 1 statement ACTIVE f AVAILABLE",
        "it begins anew, without an owner"
    );
    let admin = "SELECT admin_status FROM identity.agents";
    assert_eq!(world.one(admin).await, "SUSPENDED", "as the operator said");
    assert_eq!(
        world.history(agent).await,
        [">ACTIVE", "ACTIVE>TERMINATED", "TERMINATED>ACTIVE"]
    );
    // What was signed stands in the journal, whole.
    let said = world.said(agent).await;
    let evidence: Vec<&String> = said
        .iter()
        .filter(|said| said.starts_with("statement="))
        .collect();
    assert_eq!(evidence.len(), 5, "{said:?}");
    let first = evidence.iter().find(|said| said.contains("first life"));
    let first: Value = serde_json::from_str(&first.expect("it")["statement=".len()..])?;
    let signed: Statement = serde_json::from_value(first["statement"].clone())?;
    let signature = first["signatures"][0]["signature"].as_str().expect("text");
    assert!(ed25519::verify(
        &key(1).public(),
        &signed.key_bytes(),
        &ed25519::parse_signature(signature)?
    ));
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn what_was_said_once_is_not_said_again(pool: PgPool) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    founded(&world, 1).await?;
    let now = world.clock.now();
    let statement = |sequence, nonce: u8| Statement {
        action: Action::Update,
        agent: did(1),
        content: r#"{"summary":"x"}"#.to_owned(),
        sequence,
        nonce: Nonce([nonce; 16]),
        issued: now.timestamp(),
        expires: now.timestamp() + 60,
        origin: ORIGIN.to_owned(),
    };
    let bring = async |statement: Statement| {
        let submission = Submission {
            signatures: vec![By::Key(1).sign(&statement)],
            statement,
        };
        let signed = statement::verify(submission, ORIGIN, now, &BTreeMap::new()).await?;
        let mut tx = world.db.begin(Cause::Job("test")).await?;
        // Twice at once, and again later.
        let outcomes = statement::record(&mut tx, &[signed.clone(), signed]).await?;
        tx.commit().await?;
        Ok::<_, identity::Error>(outcomes)
    };
    let outcomes = bring(statement(5, 1)).await?;
    assert!(outcomes[0].is_ok());
    assert!(matches!(outcomes[1], Err(identity::Error::Raced)));
    for (again, why) in [
        (statement(5, 1), "nonce"),
        (statement(5, 2), "not above the last one of this agent, 5"),
        (statement(4, 3), "not above"),
        (statement(6, 1), "nonce"),
    ] {
        let outcomes = bring(again).await?;
        let error = outcomes[0].as_ref().expect_err("said before");
        assert_eq!(error.kind(), Kind::Conflict);
        assert!(error.to_string().contains(why), "{error}");
    }
    // A gap is fine.
    assert!(bring(statement(9, 4)).await?[0].is_ok());
    assert_eq!(
        world.one("SELECT count(*) FROM identity.statements").await,
        "3"
    );
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn statements_are_listed_newest_first_page_by_page(pool: PgPool) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    let agent = founded(&world, 1).await?;
    founded(&world, 2).await?;
    // Serials and sequences are two things.
    world
        .one("SELECT nextval('identity.fact_serial') FROM generate_series(1, 9)")
        .await;
    for name in ["Ada", "Bea"] {
        let content = json!({ "name": name });
        say(&world, Action::Update, &did(1), content, &[By::Key(1)]).await?;
    }
    let (mut cursor, mut contents) = (None, Vec::new());
    // There are three, and no fourth page.
    for _ in 0..4 {
        let page = statement::list(&world.db, agent.0, cursor.as_deref(), Limit::new(1)?).await?;
        let statements = page.items.into_iter().filter_map(|listed| listed.statement);
        contents.extend(statements.map(|statement| statement.content));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let expected = ["Bea", "Ada", "agent 1"].map(|name| json!({ "name": name }).to_string());
    assert_eq!(contents, expected);
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn a_statement_names_its_agent_by_any_name_of_its_key(pool: PgPool) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    let agents = [founded(&world, 1).await?, founded(&world, 2).await?];
    for (seed, agent) in (1..).zip(agents) {
        let key = key(seed).public();
        let names = zynd::agent_ids(&key).into_iter();
        for name in names.chain([zynd::key_hash(&key), key.did()]) {
            let content = json!({ "summary": name });
            let receipt = say(&world, Action::Update, &name, content, &[By::Key(seed)]).await?;
            assert_eq!(receipt.agent, agent, "{name}");
        }
    }
    let nobody = zynd::agent_ids(&key(3).public());
    let content = json!({ "summary": "nobody" });
    let refused = say(&world, Action::Update, &nobody[0], content, &[By::Key(1)]).await;
    assert_eq!(refused.expect_err("unknown").kind(), Kind::NotFound);
    Ok(())
}

/// The journal may outlive the rows of a database: what it says of somebody who registers now is taken back first.
#[sqlx::test(migrations = "../migrations")]
async fn an_agent_of_whom_the_journal_speaks_already_is_compared_with_it(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    let agent = AgentId::of_did(&did(1));
    let former = Change {
        column: "name".to_owned(),
        value: json!("Bob"),
        cause: "statement:77".to_owned(),
        time: world.clock.now(),
    };
    let mut tx = world.db.begin(Cause::Job("test")).await?;
    journal::append(&mut tx, vec![NewEntry::agent(agent, vec![former])]).await?;
    tx.commit().await?;
    for seed in 1..=2 {
        founded(&world, seed).await?;
    }
    let kinds = |agent: AgentId| {
        format!(
            "SELECT string_agg(kind || coalesce(' after ' || (prev = before)::text, ''), ', ' ORDER BY seq)
               FROM (SELECT *, lag(cid) OVER (ORDER BY seq) AS before FROM journal.entries
                      WHERE agent_id = '{agent}') e"
        )
    };
    assert_eq!(
        world.one(&kinds(agent)).await,
        "agent, retracted after true, agent after true"
    );
    let other = AgentId::of_did(&did(2));
    assert_eq!(world.one(&kinds(other)).await, "agent");
    Ok(())
}

/// While somebody at psql holds the row, its owner gives the agent away, and tries to give it away again.
#[sqlx::test(migrations = "../migrations")]
async fn an_agent_whose_row_is_held_is_given_away_once(pool: PgPool) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    let content = json!({ "name": "Ada" });
    let both = [By::Key(1), By::Wallet(1)];
    say(&world, Action::Register, &did(1), content, &both).await?;
    let to = |seed| json!({ "owner": format!("{:#x}", owner(seed)) });
    let mut held = world.pool.begin().await?;
    sqlx::query("SELECT FROM identity.agents FOR UPDATE")
        .execute(&mut *held)
        .await?;
    say(&world, Action::Transfer, &did(1), to(2), &[By::Wallet(1)]).await?;
    let row = "SELECT owner_address FROM identity.agents";
    assert_eq!(world.one(row).await, format!("{:#x}", owner(1)), "held");
    let by_seller = [By::Wallet(1)];
    let again = say(&world, Action::Transfer, &did(1), to(3), &by_seller).await;
    assert_eq!(again.expect_err("not known yet").kind(), Kind::Unavailable);
    held.rollback().await?;
    world.sweep().await;
    assert_eq!(world.one(row).await, format!("{:#x}", owner(2)));
    let again = say(&world, Action::Transfer, &did(1), to(3), &by_seller).await;
    assert_eq!(again.expect_err("given away").kind(), Kind::Denied);
    say(&world, Action::Transfer, &did(1), to(3), &[By::Wallet(2)]).await?;
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// Lists leave an ended agent out by the time of its end: what an operator says of it later brings it back no more.
#[sqlx::test(migrations = "../migrations")]
async fn an_ended_agent_leaves_lists_by_the_time_of_its_end(pool: PgPool) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    let agent = founded(&world, 1).await?;
    founded(&world, 2).await?;
    let listed = async |ended_before: i64| {
        let filter = Filter {
            ended_before: DateTime::from_timestamp(ended_before, 0),
            ..Filter::default()
        };
        let page = list(&world.db, &filter, None, Limit::default()).await?;
        let names = page.items.into_iter().map(|agent| agent.name);
        let mut names: Vec<String> = names.collect();
        names.sort();
        anyhow::Ok(names.join(", "))
    };
    // It is TERMINATED long before it is deregistered: only that is its end.
    world.at(start() + 100);
    let ended = json!({ "status": "TERMINATED" });
    say(&world, Action::Status, &did(1), ended, &[By::Key(1)]).await?;
    world.at(start() + 1_000);
    assert_eq!(listed(start() + 900).await?, "agent 1, agent 2");
    say(
        &world,
        Action::Deregister,
        &did(1),
        json!({}),
        &[By::Key(1)],
    )
    .await?;
    assert_eq!(listed(start() + 900).await?, "agent 1, agent 2");
    assert_eq!(listed(start() + 1_001).await?, "agent 2");

    world.at(start() + 2_000);
    let spam = BTreeMap::from([("admin_status".to_owned(), json!("SUSPENDED"))]);
    let mut tx = world.db.begin(Cause::Job("test")).await?;
    identity::act::update(&mut tx, agent, &spam, Some("spam")).await?;
    tx.commit().await?;
    let touched = format!(
        "SELECT extract(epoch FROM updated_at)::bigint FROM identity.agents WHERE id = '{agent}'"
    );
    assert_eq!(world.one(&touched).await, (start() + 2_000).to_string());
    assert_eq!(listed(start() + 1_001).await?, "agent 2");
    founded(&world, 1).await?;
    assert_eq!(listed(start() + 1_001).await?, "agent 1, agent 2");
    Ok(())
}
