//! Names: what files claim finds nobody, and what is verified has one agent.

use identity::{
    agent::{self, Filter},
    dirty, identifier,
};
use kernel::Limit;
use serde_json::{Value, json};
use sqlx::PgPool;
use store::Outcome;

use crate::kit::{ALICE, BOB, Script, World, start};

/// A file with these services: name and endpoint.
fn file(services: &[(&str, &str)]) -> Value {
    let services = services
        .iter()
        .map(|(name, endpoint)| json!({ "name": name, "endpoint": endpoint }));
    json!({ "name": "n", "services": services.collect::<Vec<_>>() })
}

/// Which token claims which ENS name.
async fn claims(world: &World) -> Vec<String> {
    world
        .list(
            "SELECT t.token_id || ' ' || i.value
               FROM identity.agent_identifiers i JOIN identity.tokens t USING (agent_id)
              WHERE i.kind = 'ens' AND i.standing = 'claimed' ORDER BY t.token_id, i.value",
        )
        .await
}

/// How many agents a list has that is filtered by a name.
async fn listed(world: &World, name: &str) -> anyhow::Result<usize> {
    let filter = Filter {
        identifier: Some(name.to_owned()),
        ..Filter::default()
    };
    let page = agent::list(&world.db, &filter, None, Limit::new(200)?).await?;
    Ok(page.items.len())
}

#[sqlx::test(migrations = "../migrations")]
async fn s13_two_files_claim_one_ens_name(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "ipfs://a")
            .register(2, BOB, "https://b")
    });
    world.at(start() + 10);
    world.follow(&script).await?;
    let (mine, both) = (("ENS", "Ada.eth"), [("ens", "ada.eth"), ("ENS", "bob.eth")]);
    world.judge("ipfs://a", &file(&[mine])).await?;
    world.judge("https://b", &file(&both)).await?;
    world.sweep().await;
    assert_eq!(
        claims(&world).await,
        ["1 ada.eth", "2 ada.eth", "2 bob.eth"]
    );
    assert_eq!(identifier::find(&world.db, "ada.eth").await?, None);
    let nobody = agent::get(&world.db, "ADA.eth").await.expect_err("claimed");
    assert!(matches!(nobody, identity::Error::Claimed(_)), "{nobody}");
    assert_eq!(nobody.kind(), kernel::Kind::NotFound);
    let nobody = agent::get(&world.db, "eve.eth")
        .await
        .expect_err("nobody's");
    assert!(matches!(nobody, identity::Error::NotFound(_)), "{nobody}");
    assert_eq!(listed(&world, "ADA.eth").await?, 2);
    assert_eq!(listed(&world, "bob.eth").await?, 1);
    assert_eq!(listed(&world, "31337:1").await?, 1, "a verified one, too");
    assert_eq!(listed(&world, "eve.eth").await?, 0);
    world.assert_fresh(&[&script]).await;

    // One file drops it.
    world.at(start() + 20);
    world.judge("https://b", &file(&both[1..])).await?;
    world.sweep().await;
    assert_eq!(claims(&world).await, ["1 ada.eth", "2 bob.eth"]);
    world.assert_fresh(&[&script]).await;

    // Another URI: the old file stands until the new one is judged. No URI: nothing stands.
    script.block(start() + 30, |b| b.uri(1, "ipfs://c").uri(2, ""));
    world.at(start() + 40);
    world.follow(&script).await?;
    assert_eq!(claims(&world).await, ["1 ada.eth"]);
    world.judge("ipfs://c", &file(&[])).await?;
    world.sweep().await;
    assert!(claims(&world).await.is_empty());
    world.assert_fresh(&[&script]).await;

    // A reorg takes the URIs back, and then the agents.
    world.rewind(&script, 1).await?;
    script.fork(1);
    assert_eq!(claims(&world).await, ["1 ada.eth", "2 bob.eth"]);
    world.assert_fresh(&[&script]).await;
    world.rewind(&script, 0).await?;
    script.fork(0);
    assert!(claims(&world).await.is_empty());
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s13_a_did_that_two_files_claim_stays_whose_it_is(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "ipfs://a")
            .register(2, BOB, "ipfs://a")
    });
    world.at(start() + 10);
    world.follow(&script).await?;
    let agent = script.agent(1);
    let did = world
        .one(&format!(
            "SELECT did FROM identity.agents WHERE id = '{agent}'"
        ))
        .await;
    world
        .judge("ipfs://a", &file(&[("DID", did.as_str())]))
        .await?;
    world.sweep().await;
    let standings = format!(
        "SELECT t.token_id || ' ' || i.standing
           FROM identity.agent_identifiers i JOIN identity.tokens t USING (agent_id)
          WHERE i.kind = 'did' AND i.value = '{did}' ORDER BY t.token_id"
    );
    assert_eq!(world.list(&standings).await, ["1 verified", "2 claimed"]);
    assert_eq!(identifier::find(&world.db, &did).await?, Some(agent.0));
    assert_eq!(listed(&world, &did).await?, 2);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s13_a_verified_name_moves_once_its_holder_let_it_go(pool: PgPool) -> anyhow::Result<()> {
    let world = World::new(pool.clone());
    world
        .sql("INSERT INTO identity.agents (did, name) VALUES ('did:vexel:one', 'One')")
        .await?;
    world.sweep().await;
    world
        .sql(
            "UPDATE identity.agents SET did = 'did:vexel:two';
             INSERT INTO identity.agents (did, name) VALUES ('did:vexel:one', 'Heir')",
        )
        .await?;
    // Somebody holds the row of the one that lets it go: the other one waits for it.
    let mut psql = pool.begin().await?;
    sqlx::query("SELECT FROM identity.agents WHERE did = 'did:vexel:two' FOR UPDATE")
        .execute(&mut *psql)
        .await?;
    let swept = dirty::sweep(&world.db).await?;
    assert_eq!(swept, Outcome::Idle, "it sweeps in vain, and makes a pause");
    let names = "SELECT a.name || ' ' || i.value || ' ' || i.standing
                   FROM identity.agent_identifiers i JOIN identity.agents a ON a.id = i.agent_id ORDER BY 1";
    assert_eq!(world.list(names).await, ["One did:vexel:one verified"]);
    psql.rollback().await?;
    world.sweep().await;
    assert_eq!(
        world.list(names).await,
        [
            "Heir did:vexel:one verified",
            "One did:vexel:one former",
            "One did:vexel:two verified"
        ]
    );
    let heir = agent::get(&world.db, "did:vexel:one").await?;
    assert_eq!(heir.name, "Heir");
    assert_eq!(listed(&world, "did:vexel:one").await?, 2);
    assert_eq!(
        world
            .one("SELECT count(*) FROM journal.entries WHERE kind = 'incident'")
            .await,
        "0"
    );
    world.assert_fresh(&[]).await;
    Ok(())
}

/// Names of all agents by which they are found, and what people were told of.
async fn moved(world: &World) -> Vec<String> {
    world
        .list(
            "SELECT a.name || ' ' || i.value FROM identity.agent_identifiers i JOIN identity.agents a ON a.id = i.agent_id
              WHERE i.standing = 'verified'
             UNION ALL SELECT 'incident' FROM journal.entries WHERE kind = 'incident' ORDER BY 1",
        )
        .await
}

/// A has `one` and B `three`; then A is called `two`, B `one`, and C comes as `three`.
async fn three_in_a_row(world: &World) -> Result<(), sqlx::Error> {
    world
        .sql(
            "INSERT INTO identity.agents (did, name) VALUES ('did:vexel:one', 'A'), ('did:vexel:three', 'B')",
        )
        .await?;
    world.sweep().await;
    world
        .sql(
            "UPDATE identity.agents SET did = 'did:vexel:two' WHERE name = 'A';
             UPDATE identity.agents SET did = 'did:vexel:one' WHERE name = 'B';
             INSERT INTO identity.agents (did, name) VALUES ('did:vexel:three', 'C')",
        )
        .await
}

const MOVED: [&str; 3] = ["A did:vexel:two", "B did:vexel:one", "C did:vexel:three"];

/// Who waits for a name gives his own up no sooner, and so whoever wants that waits, too.
#[sqlx::test(migrations = "../migrations")]
async fn s13_names_that_three_hand_on_wait_for_the_first(pool: PgPool) -> anyhow::Result<()> {
    let world = World::new(pool.clone());
    three_in_a_row(&world).await?;
    let mut psql = pool.begin().await?;
    sqlx::query("SELECT FROM identity.agents WHERE name = 'A' FOR UPDATE")
        .execute(&mut *psql)
        .await?;
    world.sweep().await;
    assert_eq!(
        moved(&world).await,
        ["A did:vexel:one", "B did:vexel:three"]
    );
    psql.rollback().await?;
    world.sweep().await;
    assert_eq!(moved(&world).await, MOVED);
    world.assert_fresh(&[]).await;
    Ok(())
}

/// A sweep projects in two parts: who is in the other one waits no less.
#[sqlx::test(migrations = "../migrations")]
async fn s13_names_that_three_hand_on_in_both_parts_of_a_sweep(pool: PgPool) -> anyhow::Result<()> {
    for refold in ["A", "B", "C"] {
        let world = World::new(pool.clone());
        three_in_a_row(&world).await?;
        world
            .sql(&format!(
                "INSERT INTO identity.dirty (agent_id, refold)
                 SELECT id, true FROM identity.agents WHERE name = '{refold}'"
            ))
            .await?;
        world.sweep().await;
        assert_eq!(moved(&world).await, MOVED, "{refold} from its first fact");
        // The next three have the same names.
        world.sql("DELETE FROM identity.agents").await?;
        world.sweep().await;
    }
    Ok(())
}
