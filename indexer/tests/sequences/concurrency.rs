//! Open transactions at psql, judges and steps at the same time. No test sleeps: who has to wait is
//! asked of Postgres.

use identity::fact::RuntimeStatus;
use kernel::{AgentId, sha256};
use serde_json::json;
use sqlx::{PgPool, postgres::PgConnection};

use crate::kit::{ALICE, BOB, SLEEP, Script, World, start};

/// Returns when `count` backends of this database wait for a lock.
pub(super) async fn waiting(pool: &PgPool, count: i64) {
    loop {
        let now: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(pool)
        .await
        .expect("activity");
        if now == count {
            return;
        }
        tokio::task::yield_now().await;
    }
}

pub(super) async fn run(conn: &mut PgConnection, sql: &str) {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    sqlx::raw_sql(sql).execute(conn).await.expect("plain SQL");
}

#[sqlx::test(migrations = "../migrations")]
async fn s01_an_open_psql_transaction_never_stops_a_step(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "").register(2, ALICE, "")
    });
    world.follow(&script).await?;
    let mut psql = pool.begin().await?;
    let sleep = format!("UPDATE identity.agents SET runtime_status = 'SLEEP' WHERE id = '{agent}'");
    run(&mut psql, &sleep).await;
    script.block(start() + 2, |b| {
        b.transfer(1, ALICE, BOB).transfer(2, ALICE, BOB)
    });
    world.follow(&script).await?;
    let owners = "SELECT count(*) FROM identity.agents WHERE owner_address LIKE '0xbb%'";
    assert_eq!(world.one(owners).await, "1", "the other agent moved");
    // The sweep finds nothing that it may have, and says so: it does not spin.
    assert_eq!(
        identity::dirty::sweep(&world.db).await?,
        store::Outcome::Idle
    );
    assert_eq!(world.one("SELECT count(*) FROM identity.dirty").await, "1");
    let busy = world
        .act(agent, RuntimeStatus::Terminated)
        .await
        .expect_err("somebody holds it");
    assert_eq!(busy.kind(), kernel::Kind::Conflict);
    assert_eq!(
        world.one("SELECT count(*) FROM identity.acts").await,
        "0",
        "refused is refused"
    );
    psql.commit().await?;
    world.sweep().await;
    assert_eq!(world.one(owners).await, "2");
    assert_eq!(world.history(agent).await, [">ACTIVE", "ACTIVE>SLEEP"]);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s01_nor_does_one_that_holds_a_capability(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, "ipfs://a"));
    world.follow(&script).await?;
    world
        .judge(
            "ipfs://a",
            &json!({ "name": "A", "capabilities": { "x": 1, "y": 2 } }),
        )
        .await?;
    world.sweep().await;
    let table = "identity.capability_vectors";
    let statements = [
        format!("UPDATE {table} SET capability_value = '3' WHERE capability_name = 'x'"),
        format!("DELETE FROM {table} WHERE capability_name = 'y'"),
        format!(
            "INSERT INTO {table} (agent_id, capability_name, capability_value) VALUES ('{agent}', 'z', '4')"
        ),
    ];
    for (number, statement) in (2..).zip(statements) {
        let mut psql = pool.begin().await?;
        run(&mut psql, &statement).await;
        script.block(start() + number, |b| {
            b.uri(1, &format!("ipfs://a#{number}"))
        });
        world.follow(&script).await?;
        world.sweep().await;
        psql.commit().await?;
        world.sweep().await;
        let file = json!({ "name": "A", "capabilities": { "w": number } });
        world.judge(&format!("ipfs://a#{number}"), &file).await?;
        world.sweep().await;
        world.assert_fresh(&[&script]).await;
    }
    let names = format!(
        "SELECT string_agg(capability_name || capability_value, ' ' ORDER BY 1) FROM (SELECT * FROM {table} ORDER BY capability_name) t"
    );
    assert_eq!(world.one(&names).await, "w4 x3 z4");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s02_a_step_waits_for_the_judge_of_its_uri_and_sees_the_verdict(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    script.block(start() + 1, |b| b.register(1, ALICE, "ipfs://a"));
    script.block(start() + 2, |b| b.register(2, BOB, "ipfs://a"));
    world.open(&script).await?;
    world.extend(&script, 1).await?;
    // The judge has judged, but not committed.
    let mut judge = pool.begin().await?;
    run(
        &mut judge,
        "SELECT set_config('chancery.cause', 'test', true)",
    )
    .await;
    run(&mut judge, "SELECT FROM identity.uris FOR UPDATE").await;
    run(&mut judge, "INSERT INTO identity.documents (uri_hash, version, judged_at, state, size, whole, says)
        SELECT hash, 1, now(), 'fetched', 1, '{\"name\": \"A\"}', '{\"name\": \"A\"}' FROM identity.uris").await;
    let step = world.extend(&script, 2);
    let commit = async {
        waiting(&pool, 1).await;
        judge.commit().await.expect("committed");
    };
    let (step, ()) = futures::join!(step, commit);
    step?;
    let name = format!(
        "SELECT name FROM identity.agents WHERE id = '{}'",
        script.agent(2)
    );
    assert_eq!(world.one(&name).await, "A", "without any sweep");
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn s02_a_judge_waits_for_the_step_that_names_its_uri_and_marks_its_agent(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    script.block(start() + 1, |b| b.register(1, ALICE, "ipfs://a"));
    script.block(start() + 2, |b| b.uri(1, "ipfs://b"));
    script.block(start() + 3, |b| b.register(2, BOB, "ipfs://a"));
    world.open(&script).await?;
    world.extend(&script, 2).await?;
    // The step stops at its job, with the URI locked: somebody else is about to ask for the same.
    run(&mut *pool.acquire().await?, "DELETE FROM store.jobs").await;
    let mut other = pool.begin().await?;
    let key = hex::encode(sha256(b"ipfs://a"));
    let job =
        format!("INSERT INTO store.jobs (kind, key, run_at) VALUES ('fetch', '{key}', now())");
    run(&mut other, &job).await;
    let step = world.extend(&script, 3);
    let judge = async {
        waiting(&pool, 1).await;
        world.judge("ipfs://a", &json!({ "name": "A" })).await
    };
    let release = async {
        waiting(&pool, 2).await;
        other.rollback().await.expect("rolled back");
    };
    let (step, judge, ()) = futures::join!(step, judge, release);
    step?;
    judge?;
    world.sweep().await;
    let name = format!(
        "SELECT name FROM identity.agents WHERE id = '{}'",
        script.agent(2)
    );
    assert_eq!(world.one(&name).await, "A");
    world.assert_fresh(&[&script]).await;
    Ok(())
}

#[sqlx::test(migrations = "../migrations")]
async fn two_acts_at_once_are_both_in_the_row(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    let agent = script.agent(1);
    script.block(start() + 1, |b| b.register(1, ALICE, ""));
    world.at(start() + 9);
    world.follow(&script).await?;
    // Both want the subject, which a third one holds.
    let mut third = pool.begin().await?;
    run(&mut third, "SELECT FROM identity.subjects FOR UPDATE").await;
    let set = |column: &'static str| {
        let db = world.db.clone();
        async move {
            let mut tx = db.begin(store::Cause::Job("test")).await?;
            let changes = [(column.to_owned(), json!("set"))];
            identity::act::update(&mut tx, agent, &changes.into(), None).await?;
            Ok::<_, identity::Error>(tx.commit().await?)
        }
    };
    let release = async {
        waiting(&pool, 2).await;
        third.rollback().await.expect("rolled back");
    };
    let (one, two, ()) = futures::join!(set("category"), set("summary"), release);
    one?;
    two?;
    assert_eq!(
        world
            .one("SELECT category || summary FROM identity.agents")
            .await,
        "setset"
    );
    script.block(start() + 20, |b| b.status(1, SLEEP, "x"));
    world.follow(&script).await?;
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// Beats are taken in the order of agents, so a sweep takes none of two parts before it may have the first of all.
#[sqlx::test(migrations = "../migrations")]
async fn a_sweep_takes_all_rows_of_beats_in_one_order(pool: PgPool) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    world.at(start() + 3);
    let mut agents = [script.agent(1), script.agent(2)];
    agents.sort();
    let [first, second] = agents;
    script.block(start() + 1, |b| {
        b.register(1, ALICE, "").register(2, ALICE, "")
    });
    script.block(start() + 2, |b| b.heartbeat(1).heartbeat(2));
    world.follow(&script).await?;
    // Both beat again while somebody holds their rows; one is to be folded from its first fact.
    let mut psql = pool.begin().await?;
    run(&mut psql, "SELECT FROM identity.agents FOR UPDATE").await;
    script.block(start() + 3, |b| b.heartbeat(1).heartbeat(2));
    world.follow(&script).await?;
    psql.rollback().await?;
    let refold = format!("INSERT INTO identity.dirty (agent_id, refold) VALUES ('{first}', true)");
    world.sql(&refold).await?;

    let row = |agent: AgentId| {
        format!("SELECT FROM identity.heartbeats WHERE agent_id = '{agent}' FOR UPDATE")
    };
    let mut beats = pool.begin().await?;
    run(&mut beats, &row(first)).await;
    let sweep = world.sweep();
    let beat = async {
        waiting(&pool, 1).await;
        run(&mut beats, &format!("{} NOWAIT", row(second))).await;
        beats.commit().await.expect("committed");
    };
    futures::join!(sweep, beat);
    let last = "SELECT DISTINCT extract(epoch FROM last)::bigint FROM identity.heartbeats";
    assert_eq!(world.list(last).await, [(start() + 3).to_string()]);
    world.assert_fresh(&[&script]).await;
    Ok(())
}

/// A step takes the subjects of all agents in one order, also of those who follow its chain from now on.
#[sqlx::test(migrations = "../migrations")]
async fn a_step_takes_no_subject_before_those_that_stand_before_it(
    pool: PgPool,
) -> anyhow::Result<()> {
    let (world, mut script) = (World::new(pool.clone()), Script::new(31337));
    let dids = ["did:vexel:first", "did:vexel:second"];
    let id = |number: usize| format!("00000000-0000-4000-8000-00000000000{number}");
    for (number, did) in dids.iter().enumerate() {
        let insert = format!(
            "INSERT INTO identity.agents (id, did, name) VALUES ('{}', '{did}', 'One')",
            id(number)
        );
        world.sql(&insert).await?;
    }
    world.sweep().await;
    // The first one follows the chain already.
    script.block(start() + 1, |b| b.beat(dids[0]));
    world.follow(&script).await?;
    world.sweep().await;
    let chains = "SELECT coalesce(chain_id::text, 'none') FROM identity.subjects ORDER BY id";
    assert_eq!(world.list(chains).await, ["31337", "none"]);

    script.block(start() + 2, |b| b.beat(dids[0]).beat(dids[1]));
    let subject = |number| {
        format!(
            "SELECT FROM identity.subjects WHERE id = '{}' FOR UPDATE",
            id(number)
        )
    };
    let mut other = pool.begin().await?;
    run(&mut other, &subject(0)).await;
    let step = world.extend(&script, 2);
    let rest = async {
        waiting(&pool, 1).await;
        run(&mut other, &format!("{} NOWAIT", subject(1))).await;
        other.commit().await.expect("committed");
    };
    let (step, ()) = futures::join!(step, rest);
    step?;
    assert_eq!(world.list(chains).await, ["31337", "31337"]);
    Ok(())
}
