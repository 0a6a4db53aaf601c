//! `/v1/sync` and what stands below it.

use axum::http::StatusCode;
use chancery::config::Flag;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, PgPool, postgres::PgPoolOptions};

use crate::kit::{Instance, TOKEN};

/// The recorded logs of mainnet, each with a time of its block: without one, that of storing counts.
fn timed(dir: &std::path::Path) -> std::path::PathBuf {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/erc8004");
    let text = std::fs::read_to_string(corpus.join("mainnet-logs.json")).unwrap();
    let mut recording: Value = serde_json::from_str(&text).unwrap();
    for log in recording["logs"].as_array_mut().unwrap() {
        let number = log["blockNumber"].as_u64().unwrap();
        log["blockTimestamp"] = json!(1_700_000_000 + number * 12);
    }
    let file = dir.join("timed.json");
    std::fs::write(&file, recording.to_string()).unwrap();
    file
}

/// Another empty, migrated database; the name is as long as that of the test's own.
async fn second(pool: &PgPool) -> (String, PgPool) {
    let options = pool.connect_options();
    let name = options.get_database().unwrap();
    let name = name.replacen("_sqlx", "other", 1);
    for statement in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
        let statement = AssertSqlSafe(format!("{statement} \"{name}\""));
        pool.execute(statement).await.unwrap();
    }
    let options = options.as_ref().clone().database(&name);
    let options = PgPoolOptions::new()
        .max_connections(4)
        .connect_with(options);
    let pool = options.await.unwrap();
    sqlx::migrate!("./migrations").run(&pool).await.unwrap();
    (name, pool)
}

#[sqlx::test]
async fn whether_the_world_reads_pins_is_told(pool: PgPool) {
    let keys = [
        Flag::new("content.kubo_url", "http://127.0.0.1:1"),
        Flag::new("content.public_pin", json!(true)),
    ];
    let instance = Instance::with(&pool, &keys).await;
    assert_eq!(
        instance.get("/v1/sync").await.json()["public_pin"],
        json!(true)
    );
}

async fn digest(instance: &Instance) -> Value {
    let path = "/v1/sync/digest";
    let stranger = instance.get(path).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    let answer = instance.send("GET", path, TOKEN, &Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json()
}

#[sqlx::test]
async fn instances_that_saw_the_same_facts_have_the_same_digest(pool: PgPool) {
    let dir = tempfile::tempdir().unwrap();
    let file = timed(dir.path());
    let (name, other) = second(&pool).await;
    let ours = Instance::new(&pool).await;
    ours.replay(&file).await;
    let theirs = Instance::new(&other).await;
    theirs.replay_in_steps(&file, 7).await;
    let (a, b) = (digest(&ours).await, digest(&theirs).await);
    assert_eq!(a, b, "whatever the steps were");
    assert_eq!(a["digest"].as_str().unwrap().len(), 64);
    let rows = |name: &str| {
        let tables = a["tables"].as_array().unwrap();
        tables.iter().find(|part| part["name"] == name).unwrap()["rows"].clone()
    };
    assert_eq!(
        (rows("chain.logs"), rows("identity.agents")),
        (json!(108), json!(92))
    );
    ours.replay(&file).await;
    assert_eq!(digest(&ours).await, a, "the same facts again");

    ours.judge().await;
    let judged = digest(&ours).await;
    assert_ne!(
        judged["digest"], a["digest"],
        "another fact, another digest"
    );
    let part = |digest: &Value, name: &str| {
        let tables = digest["tables"].as_array().unwrap().clone();
        tables
            .into_iter()
            .find(|part| part["name"] == name)
            .unwrap()
    };
    assert_eq!(part(&judged, "chain.logs"), part(&a, "chain.logs"));
    drop(theirs);
    other.close().await;
    let statement = AssertSqlSafe(format!("DROP DATABASE \"{name}\" WITH (FORCE)"));
    pool.execute(statement).await.unwrap();
}

#[sqlx::test]
async fn the_digest_leaves_nothing_out_but_what_it_names(pool: PgPool) {
    let instance = Instance::new(&pool).await;
    let answer = digest(&instance).await;
    let mut named: Vec<String> = answer["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["name"].as_str().unwrap().to_owned())
        .collect();
    // Work that is under way or only tells of work done; how a chain was read, not what it is.
    named.extend(
        [
            "ahead",
            "did_hashes",
            "dirty",
            "folds",
            "head_steps",
            "heartbeats",
            "requests",
            "subjects",
            "watches",
        ]
        .map(|table| format!("identity.{table}")),
    );
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind = 'r'
            AND (n.nspname = 'identity' OR n.nspname = 'chain' AND c.relname IN ('blocks', 'logs'))
          ORDER BY 1",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    named.sort();
    assert_eq!(
        named, tables,
        "a new table counts, or is named here and in the code"
    );
}
