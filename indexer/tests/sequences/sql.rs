//! Plain SQL: at once in the rows, confirmed by the projection, or refused with the way out.

use sqlx::PgPool;

use crate::kit::{ALICE, BOB, Script, World, start};

const AGENTS: &str = "SELECT (to_jsonb(t))::text FROM identity.agents t ORDER BY id";
const HISTORY: &str =
    "SELECT (to_jsonb(t))::text FROM identity.agent_status_history t ORDER BY agent_id, seq";
const CAPABILITIES: &str =
    "SELECT (to_jsonb(t))::text FROM identity.capability_vectors t ORDER BY id";

/// What SQL wrote is what the projection writes, to the last column.
async fn confirmed(world: &World) {
    confirmed_in(world, &[AGENTS, HISTORY, CAPABILITIES]).await;
}

async fn confirmed_in(world: &World, queries: &[&str]) {
    let mut before = Vec::new();
    for query in queries {
        before.push(world.list(query).await);
    }
    assert_ne!(
        world.one("SELECT count(*) FROM identity.dirty").await,
        "0",
        "it is told"
    );
    world.sweep().await;
    assert_eq!(world.one("SELECT count(*) FROM identity.dirty").await, "0");
    for (query, before) in queries.iter().zip(before) {
        assert_eq!(world.list(query).await, before, "{query}");
    }
}

async fn one_token(pool: PgPool) -> anyhow::Result<(World, Script, String)> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "ipfs://a")
            .register(2, BOB, "ipfs://a")
    });
    world.at(start() + 5);
    world.follow(&script).await?;
    let file = serde_json::json!({ "name": "File", "capabilities": { "x": { "a": 1 } } });
    world.judge("ipfs://a", &file).await?;
    world.sweep().await;
    let agent = script.agent(1).to_string();
    Ok((world, script, agent))
}

#[sqlx::test(migrations = "../migrations")]
async fn s05_two_statements_of_one_transaction_and_one_that_changes_nothing(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, script, agent) = one_token(pool).await?;
    let before = world.list(AGENTS).await;
    world
        .sql(&format!(
            "UPDATE identity.agents SET name = name WHERE id = '{agent}'"
        ))
        .await?;
    world
        .sql("UPDATE identity.agents SET updated_at = now(), last_active_at = now()")
        .await?;
    assert_eq!(world.list(AGENTS).await, before);
    assert_eq!(world.one("SELECT count(*) FROM identity.acts").await, "0");

    world.sql(&format!(
        "BEGIN; UPDATE identity.agents SET runtime_status = 'SLEEP' WHERE id = '{agent}';
         UPDATE identity.agents SET runtime_status = 'TERMINATED', name = 'Ours' WHERE id = '{agent}'; COMMIT"
    ))
    .await?;
    confirmed(&world).await;
    assert_eq!(
        world.history(script.agent(1)).await,
        [">ACTIVE", "ACTIVE>SLEEP", "SLEEP>TERMINATED"]
    );
    let active =
        format!("SELECT last_active_at = updated_at FROM identity.agents WHERE id = '{agent}'");
    assert_eq!(world.one(&active).await, "false");
    world.sql(&format!("UPDATE identity.agents SET runtime_status = 'ACTIVE', last_active_at = '2001-01-01' WHERE id = '{agent}'")).await?;
    assert_eq!(world.one(&active).await, "true");
    confirmed(&world).await;
    assert_eq!(
        world
            .one(&format!(
                "SELECT name_source FROM identity.agents WHERE id = '{agent}'"
            ))
            .await,
        "act"
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s06_an_edit_wins_over_a_chain_that_is_an_hour_ahead(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool), Script::new(31337));
    let agent = script.agent(1);
    // Far ahead of any machine's clock.
    let ahead = 4_000_000_000;
    script.block(ahead, |b| {
        b.register(1, ALICE, "https://x/a").status(1, 1, "by chain")
    });
    world.follow(&script).await?;
    world
        .judge("https://x/a", &serde_json::json!({ "name": "one" }))
        .await?;
    world.sweep().await;
    world.sql(&format!("UPDATE identity.agents SET runtime_status = 'TERMINATED', name = 'mine' WHERE id = '{agent}'")).await?;
    confirmed(&world).await;
    world
        .act(agent, identity::fact::RuntimeStatus::Sleep)
        .await?;
    world
        .judge("https://x/a", &serde_json::json!({ "name": "two" }))
        .await?;
    world.sweep().await;
    let row = "SELECT name || ' ' || runtime_status FROM identity.agents";
    assert_eq!(world.one(row).await, "two SLEEP");
    // Also between a rewind and the next block.
    script.block(ahead + 10, |b| b.metadata(1, "k", b"v"));
    world.follow(&script).await?;
    world.rewind(&script, 1).await?;
    script.fork(1);
    world
        .sql(&format!(
            "UPDATE identity.agents SET runtime_status = 'ACTIVE' WHERE id = '{agent}'"
        ))
        .await?;
    confirmed(&world).await;
    assert_eq!(world.one(row).await, "two ACTIVE");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s12_an_agent_of_sql_lives_dies_and_lives_again(pool: PgPool) -> anyhow::Result<()> {
    let world = World::new(pool);
    world.sql("INSERT INTO identity.agents (did, name, owner_address, runtime_status, load, admin_status, created_at, metadata, trust_score, tasks_total)
        VALUES ('did:vexel:one', 'One', '0xABCDEF0123456789abcdef0123456789ABCDEF01', 'SLEEP', 'BUSY', 'SUSPENDED', '2020-01-01', '{\"a\": 1.5}', 0.25, 7)").await?;
    confirmed(&world).await;
    let row = "SELECT concat_ws(' ', owner_address, runtime_status, load, admin_status, tasks_total) FROM identity.agents";
    assert_eq!(
        world.one(row).await,
        "0xabcdef0123456789abcdef0123456789abcdef01 SLEEP BUSY SUSPENDED 7"
    );
    world.sql("UPDATE identity.agents SET did = 'did:vexel:two', runtime_status = 'ACTIVE', created_at = '2021-01-01', load = 'AVAILABLE'").await?;
    confirmed(&world).await;
    let names = "SELECT value || ' ' || standing FROM identity.agent_identifiers ORDER BY value";
    assert_eq!(
        world.list(names).await,
        ["did:vexel:one former", "did:vexel:two verified"]
    );
    world.assert_fresh(&[]).await;

    let id = world.one("SELECT id FROM identity.agents").await;
    world.sql("DELETE FROM identity.agents").await?;
    world.sweep().await;
    assert_eq!(
        world
            .one("SELECT count(*) FROM identity.agent_identifiers")
            .await,
        "0"
    );
    world.assert_fresh(&[]).await;
    world
        .sql(&format!(
            "INSERT INTO identity.agents (id, did, name) VALUES ('{id}', 'did:vexel:one', 'Again')"
        ))
        .await?;
    confirmed(&world).await;
    assert_eq!(
        world
            .list("SELECT seq || ' ' || new_status FROM identity.agent_status_history")
            .await,
        ["0 ACTIVE"]
    );
    world.assert_fresh(&[]).await;

    // Another one takes its name while it is deleted: bringing it back is an incident, not a failure.
    world.sql("DELETE FROM identity.agents").await?;
    world
        .sql("INSERT INTO identity.agents (did, name) VALUES ('did:vexel:one', 'Thief')")
        .await?;
    world.sweep().await;
    world
        .sql(&format!("SELECT identity.restore_agent('{id}')"))
        .await?;
    world.sweep().await;
    assert_eq!(
        world.list("SELECT name FROM identity.agents").await,
        ["Thief"]
    );
    assert_eq!(
        world
            .one("SELECT count(*) FROM journal.entries WHERE kind = 'incident'")
            .await,
        "1"
    );
    world
        .sql("UPDATE identity.agents SET did = 'did:vexel:thief'")
        .await?;
    world
        .sql(&format!("SELECT identity.restore_agent('{id}')"))
        .await?;
    world.sweep().await;
    assert_eq!(
        world
            .list("SELECT name FROM identity.agents ORDER BY name")
            .await,
        ["Again", "Thief"]
    );
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s12_a_deleted_token_stays_and_its_rows_come_back(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script, agent) = one_token(pool).await?;
    world
        .sql(&format!("DELETE FROM identity.agents WHERE id = '{agent}'"))
        .await?;
    let entries = world.entries().await;
    script.block(start() + 9, |b| {
        b.transfer(1, ALICE, BOB).status(1, 1, "gone")
    });
    world.follow(&script).await?;
    world.sweep().await;
    assert_eq!(world.one("SELECT count(*) FROM identity.agents").await, "1");
    assert!(world.entries().await > entries, "settling goes on");
    assert_eq!(world.one("SELECT count(*) FROM identity.tokens WHERE owner = '\\xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'").await, "2");
    world.assert_fresh(&[&script]).await;
    world
        .sql(&format!("SELECT identity.restore_agent('{agent}')"))
        .await?;
    // A step comes before the sweep.
    script.block(start() + 12, |b| b.metadata(1, "k", b"v"));
    world.follow(&script).await?;
    assert_eq!(
        world.history(script.agent(1)).await,
        [">ACTIVE", "ACTIVE>SLEEP"]
    );
    world.sweep().await;
    assert_eq!(
        world
            .one("SELECT count(*) FROM identity.agent_identifiers")
            .await,
        "6"
    );
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn capabilities_by_sql_are_confirmed_with_their_versions(pool: PgPool) -> anyhow::Result<()> {
    let (world, script, agent) = one_token(pool).await?;
    let (table, mine) = (
        "identity.capability_vectors",
        format!("agent_id = '{agent}'"),
    );
    world
        .sql(&format!(
            "UPDATE {table} SET version = version, capability_name = capability_name"
        ))
        .await?;
    assert_eq!(world.one("SELECT count(*) FROM identity.acts").await, "0");
    world
        .sql(&format!(
            "INSERT INTO {table} (agent_id, capability_name, capability_value, version)
        VALUES ('{agent}', 'y', '1', 7), ('{agent}', 'z', '[]', NULL)"
        ))
        .await?;
    confirmed_in(&world, &[CAPABILITIES]).await;
    world.sql(&format!("UPDATE {table} SET capability_value = '{{\"b\": 2}}' WHERE {mine} AND capability_name IN ('x', 'y')")).await?;
    confirmed_in(&world, &[CAPABILITIES]).await;
    world
        .sql(&format!(
            "DELETE FROM {table} WHERE {mine} AND capability_name = 'z'"
        ))
        .await?;
    confirmed_in(&world, &[CAPABILITIES]).await;
    let rows =
        format!("SELECT capability_name || version || source FROM {table} WHERE {mine} ORDER BY 1");
    assert_eq!(world.list(&rows).await, ["x2act", "y8act"]);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn what_does_not_come_from_sql_is_refused_with_the_way_out(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, script, agent) = one_token(pool).await?;
    let before = world.list(AGENTS).await;
    let set = |what: &str| format!("UPDATE identity.agents SET {what} WHERE id = '{agent}'");
    let refused = [
        "INSERT INTO identity.agents (did, name) VALUES ('did:key:z6Mk', 'k')".to_owned(),
        "INSERT INTO identity.agents (did, name) VALUES ('did:nft:eip155:1_erc721:0x1_2', 'k')"
            .to_owned(),
        format!(
            "INSERT INTO identity.agents (id, did, name) VALUES ('{}', 'did:x:y', 'k')",
            script.agent(9)
        ),
        set("id = '00000000-0000-0000-0000-000000000001'"),
        set("did = 'did:x:y'"),
        set("owner_address = '0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab'"),
        set("ipfs_metadata_hash = 'x'"),
        set("created_at = now()"),
        set("liveness = 'active'"),
        set("name_source = 'none'"),
        "TRUNCATE identity.agents CASCADE".to_owned(),
        "TRUNCATE identity.acts".to_owned(),
        "DELETE FROM identity.agent_status_history".to_owned(),
        "UPDATE identity.agent_identifiers SET standing = 'claimed'".to_owned(),
        "UPDATE identity.tokens SET burned = true".to_owned(),
        "DELETE FROM identity.ipfs_metadata".to_owned(),
        "DELETE FROM journal.entries".to_owned(),
        "UPDATE identity.capability_vectors SET capability_name = 'other'".to_owned(),
        "SELECT identity.restore_agent('00000000-0000-0000-0000-000000000001')".to_owned(),
    ];
    for statement in &refused[..2] {
        let error = world.sql(statement).await.expect_err(statement);
        assert!(
            error.to_string().contains("chancery agent register"),
            "{error}"
        );
    }
    let taken = world
        .sql(&refused[2].replace(&script.agent(9).to_string(), &agent))
        .await;
    assert!(
        taken
            .expect_err("taken")
            .to_string()
            .contains("belongs to another agent")
    );
    for statement in &refused[3..] {
        let error = world.sql(statement).await.expect_err(statement);
        let code = error
            .as_database_error()
            .and_then(|e| e.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("CH001"), "{statement}: {error}");
    }
    assert_eq!(world.list(AGENTS).await, before);
    assert_eq!(world.one("SELECT count(*) FROM identity.acts").await, "0");
    Ok(())
}
