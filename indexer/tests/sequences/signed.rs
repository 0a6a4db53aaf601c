//! The sequences of `model.md` §7 with what owners and keys sign among their facts. Those that are about nothing else
//! stand in [`super::statements`].

use identity::statement::Action;
use kernel::Kind;
use serde_json::json;
use sqlx::PgPool;

use crate::{
    concurrency::run,
    kit::{By, REGISTRY, SLEEP, Script, World, did, owner, say, start},
    statements::{founded, token},
};

/// Says of a token that it is `status`, as its owner.
async fn status(world: &World, number: u64, status: &str, by: By) -> identity::Result<()> {
    let content = json!({ "status": status });
    let said = say(world, Action::Status, &token(number), content, &[by]).await;
    said.map(drop)
}

/// A key's agent and a token are one, as the key and the token's owner say.
async fn claim(world: &World, seed: u8, token: &str, by: By) -> identity::Result<()> {
    let content = json!({ "token": token });
    let both = [By::Key(seed), by];
    let said = say(world, Action::Claim, &did(seed), content, &both).await;
    said.map(drop)
}

const LINKED: &str = "SELECT count(*) FROM identity.v_claims";
const RETRACTED: &str = "SELECT count(*) FROM journal.entries WHERE kind = 'retracted'";

#[sqlx::test(migrations = "../migrations")]
async fn s01_an_open_psql_transaction_stops_no_rotation_and_no_step(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    world.open(&script).await?;
    world.at(start() + 10);
    let named = json!({ "name": "Ada" });
    let both = [By::Key(1), By::Wallet(1)];
    say(&world, Action::Register, &did(1), named, &both).await?;
    let mut psql = pool.begin().await?;
    run(
        &mut psql,
        "UPDATE identity.agents SET description = 'by hand'",
    )
    .await;
    world.at(start() + 11);
    let new = json!({ "key": did(2) });
    let keys = [By::Key(1), By::Key(2)];
    let receipt = say(&world, Action::Rotate, &did(1), new, &keys).await?;
    assert_eq!(receipt.entry, None, "somebody holds the row");
    // A contract knows the new DID by its hash, and the row shows the old one.
    script.block(start() + 20, |b| {
        b.tx("enrolled").enrol(&did(2), owner(1));
        b.tx("beat").beat(&did(2))
    });
    world.follow(&script).await?;
    let row =
        "SELECT did || ' ' || coalesce(description, '-') || ' ' || liveness FROM identity.agents";
    assert_eq!(world.one(row).await, format!("{} - unknown", did(1)));
    psql.commit().await?;
    world.sweep().await;
    assert_eq!(world.one(row).await, format!("{} by hand active", did(2)));
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s03_a_statement_outlives_the_status_that_a_reorg_drops(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, owner(1), ""));
    script.block(start() + 5, |b| b.status(1, SLEEP, "night"));
    world.at(start() + 100);
    world.follow(&script).await?;
    status(&world, 1, "TERMINATED", By::Wallet(1)).await?;
    let all = [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>TERMINATED"];
    assert_eq!(world.history(agent).await, all);
    world.rewind(&script, 1).await?;
    script.fork(1);
    assert_eq!(world.history(agent).await, [">ACTIVE", "ACTIVE>TERMINATED"]);
    assert_eq!(world.one(RETRACTED).await, "1");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s06_what_is_signed_wins_over_a_chain_that_is_an_hour_ahead(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 3_600, |b| {
        b.register(1, owner(1), "").status(1, SLEEP, "by chain")
    });
    world.at(start() + 10);
    world.follow(&script).await?;
    founded(&world, 7).await?;
    status(&world, 1, "ACTIVE", By::Wallet(1)).await?;
    claim(&world, 7, &token(1), By::Wallet(1)).await?;
    let all = [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>ACTIVE"];
    assert_eq!(world.history(agent).await, all);
    assert_eq!(world.one(LINKED).await, "1");
    script.block(start() + 3_600, |b| b.metadata(1, "k", b"v"));
    world.follow(&script).await?;
    assert_eq!(world.history(agent).await, all);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s12_a_keys_agent_that_psql_deletes_comes_back_with_all_that_was_signed(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, script) = (World::new(pool), Script::new(31337));
    world.open(&script).await?;
    let agent = founded(&world, 1).await?;
    let summary = json!({ "summary": "mine" });
    say(
        &world,
        Action::Update,
        &did(1),
        summary.clone(),
        &[By::Key(1)],
    )
    .await?;
    let delete = format!("DELETE FROM identity.agents WHERE id = '{agent}'");
    world.sql(&delete).await?;
    world.sweep().await;
    let gone = say(&world, Action::Update, &did(1), summary, &[By::Key(1)]).await;
    assert_eq!(gone.expect_err("deleted").kind(), Kind::NotFound);
    let again = founded(&world, 1).await.expect_err("it has its key");
    assert_eq!(again.kind(), Kind::Conflict, "{again}");
    world.assert_fresh(&[&script]).await;

    let restore = format!("SELECT identity.restore_agent('{agent}')");
    world.sql(&restore).await?;
    world.sweep().await;
    let new = json!({ "key": did(2) });
    let keys = [By::Key(1), By::Key(2)];
    say(&world, Action::Rotate, &did(1), new, &keys).await?;
    let row = "SELECT did || ' ' || summary FROM identity.agents";
    assert_eq!(world.one(row).await, format!("{} mine", did(2)));
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s14_one_registry_address_on_two_chains_has_two_owners(pool: PgPool) -> anyhow::Result<()> {
    let world = World::new(pool);
    let (mut one, mut two) = (Script::new(31337), Script::new(8453));
    one.block(start() + 1, |b| b.register(1, owner(1), ""));
    two.block(start() + 1, |b| b.register(1, owner(2), ""));
    world.at(start() + 10);
    world.follow(&one).await?;
    world.follow(&two).await?;
    founded(&world, 7).await?;
    let other = format!("eip155:8453:{REGISTRY:#x}/1");
    let sleep = json!({ "status": "SLEEP" });
    let his = say(
        &world,
        Action::Status,
        &other,
        sleep.clone(),
        &[By::Wallet(1)],
    )
    .await;
    assert_eq!(his.expect_err("not his").kind(), Kind::Denied);
    let his = claim(&world, 7, &other, By::Wallet(1)).await;
    assert_eq!(his.expect_err("not his").kind(), Kind::Denied);
    say(&world, Action::Status, &other, sleep, &[By::Wallet(2)]).await?;
    claim(&world, 7, &token(1), By::Wallet(1)).await?;
    assert_eq!(world.history(one.agent(1)).await, [">ACTIVE"]);
    assert_eq!(
        world.history(two.agent(1)).await,
        [">ACTIVE", "ACTIVE>SLEEP"]
    );
    let linked = "SELECT token_agent FROM identity.v_claims";
    assert_eq!(world.list(linked).await, [one.agent(1).to_string()]);
    world.rewind(&one, 0).await?;
    one.fork(0);
    assert_eq!(world.one(LINKED).await, "0");
    assert_eq!(
        world.history(two.agent(1)).await,
        [">ACTIVE", "ACTIVE>SLEEP"]
    );
    world.assert_fresh(&[&one, &two]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s15_a_burn_puts_to_sleep_what_was_signed_and_a_new_mint_does_not_wake_it(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, owner(1), ""));
    world.at(start() + 10);
    world.follow(&script).await?;
    founded(&world, 7).await?;
    let said = json!({ "description": "signed", "capabilities": { "read": 1 } });
    say(&world, Action::Update, &token(1), said, &[By::Wallet(1)]).await?;
    status(&world, 1, "SLEEP", By::Wallet(1)).await?;
    claim(&world, 7, &token(1), By::Wallet(1)).await?;
    let shown = format!(
        "SELECT concat_ws(' ', runtime_status, description, (SELECT count(*) FROM identity.v_claims))
           FROM identity.agents WHERE id = '{agent}'"
    );
    assert_eq!(world.one(&shown).await, "SLEEP signed 1");

    script.block(start() + 20, |b| b.burn(1, owner(1)));
    world.at(start() + 20);
    world.follow(&script).await?;
    assert_eq!(world.one(&shown).await, "TERMINATED signed 0");
    let late = status(&world, 1, "ACTIVE", By::Wallet(1)).await;
    assert_eq!(late.expect_err("burned").kind(), Kind::Conflict);
    world.assert_fresh(&[&script]).await;
    world.rewind(&script, 1).await?;
    script.fork(1);
    assert_eq!(world.one(&shown).await, "SLEEP signed 1", "it never burned");

    // The same owner mints it again: of this life he has signed nothing.
    script.block(start() + 30, |b| b.burn(1, owner(1)));
    script.block(start() + 31, |b| b.register(1, owner(1), ""));
    world.at(start() + 40);
    world.follow(&script).await?;
    assert_eq!(world.one(&shown).await, "ACTIVE 0");
    world.assert_fresh(&[&script]).await;
    status(&world, 1, "SLEEP", By::Wallet(1)).await?;
    claim(&world, 7, &token(1), By::Wallet(1)).await?;
    assert_eq!(world.one(&shown).await, "SLEEP 1");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s17_a_statement_is_taken_back_with_its_mint_and_said_again(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(5);
    script.block(start() + 1, |b| b.mint(1, owner(2)));
    script.block(start() + 2, |b| b.tx("mint").register(5, owner(1), ""));
    world.at(start() + 10);
    world.follow(&script).await?;
    status(&world, 5, "SLEEP", By::Wallet(1)).await?;
    let sorted = async || {
        let mut said = world.said(agent).await;
        said.sort();
        said
    };
    let before = sorted().await;
    assert!(before.iter().any(|said| said.starts_with("statement=")));
    let entries = world.entries().await;
    world.rewind(&script, 1).await?;
    assert_eq!(world.entries().await, entries + 1, "one retraction");
    assert!(sorted().await.is_empty());
    world.follow(&script).await?;
    assert_eq!(world.entries().await, entries + 2, "and one entry more");
    assert_eq!(sorted().await, before);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s19_a_block_older_than_a_statement_retracts_nothing(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, owner(1), ""));
    world.at(start() + 30);
    world.follow(&script).await?;
    status(&world, 1, "TERMINATED", By::Wallet(1)).await?;
    // Mined before it was signed, seen after it.
    script.block(start() + 20, |b| {
        b.status(1, SLEEP, "early").metadata(1, "k", b"v")
    });
    world.follow(&script).await?;
    assert_eq!(world.one(RETRACTED).await, "0");
    let all = [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>TERMINATED"];
    assert_eq!(world.history(agent).await, all);
    world.assert_fresh(&[&script]).await;
    Ok(())
}
