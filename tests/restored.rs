//! A database that was restored from an older dump: no process goes on from it, whatever its role.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;
mod kit;

use std::{fs, path::PathBuf, time::Duration};

use instance::Place;
use journal::{Change, LogKey, NewEntry, Sealed, Sealer};
use kernel::AgentId;
use kit::until;
use nix::sys::signal::Signal;
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool, postgres::PgConnectOptions};
use store::{Cause, Clock, Db, lease};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_mins(1);

/// Appends and seals `count` entries by the key of `place`, each of an agent of its own.
async fn say(place: &Place, pool: &PgPool, words: &str, count: u64) {
    let db = Db::from_pool(pool.clone(), Clock::System);
    let key = LogKey::load_or_create(&place.dir().join("journal.key")).unwrap();
    let sealer = Sealer::new(key, None).unwrap();
    let mut tx = db.begin(Cause::Job("test")).await.unwrap();
    let entries = (0..count).map(|n| {
        let agent = AgentId::of_did(&format!("did:test:{words}:{n}"));
        let change = Change {
            column: "name".to_owned(),
            value: words.into(),
            cause: "act:1".to_owned(),
            time: chrono::DateTime::UNIX_EPOCH,
        };
        NewEntry::agent(agent, vec![change])
    });
    journal::append(&mut tx, entries.collect()).await.unwrap();
    tx.commit().await.unwrap();
    let lease = lease::acquire(&db, "test", Uuid::from_u128(1), Duration::from_mins(10));
    let lease = lease.await.unwrap().unwrap();
    while let Sealed::Batch { .. } = sealer.seal_once(&db, &lease).await.unwrap() {}
}

/// The configuration of a process on this database.
fn config(place: &Place, database: &PgConnectOptions) -> PathBuf {
    let config = place.dir().with_file_name("chancery.toml");
    let url = database.to_url_lossy();
    fs::write(&config, format!("[database]\nurl = \"{url}\"\n")).unwrap();
    config
}

/// What every role says to this database; it must not start.
fn refused(place: &Place, database: &PgConnectOptions) -> String {
    let config = config(place, database);
    let mut said = Vec::new();
    for roles in ["api", "index", "work", "api,index,work"] {
        let config = config.to_str().unwrap();
        let args = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--roles",
            roles,
            "--config",
            config,
        ];
        let output = place.run(&args);
        let why = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{roles}: {why}");
        said.push(why.lines().last().unwrap().to_owned());
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    said.remove(0)
}

async fn heads(pool: &PgPool) -> Vec<i64> {
    let sizes = sqlx::query_scalar("SELECT size FROM journal.checkpoints ORDER BY size");
    sizes.fetch_all(pool).await.unwrap()
}

/// Runs a process on the database until it has kept its newest head.
async fn show(place: &Place, pool: &PgPool) {
    let config = config(place, &pool.connect_options());
    let served = place.serve(&["--config", config.to_str().unwrap()]);
    let size = heads(pool).await.pop().unwrap().to_string();
    until("the newest head is kept", PATIENCE, || async {
        let kept = fs::read_to_string(place.dir().join("journal.checkpoint")).ok()?;
        (kept.lines().nth(1) == Some(&size)).then_some(())
    })
    .await;
    assert!(served.stop(Signal::SIGTERM).success());
}

#[sqlx::test(migrations = "./migrations")]
async fn a_restored_database_is_refused_with_the_way_out(pool: PgPool) {
    let place = Place::new("data");
    fs::create_dir_all(place.dir()).unwrap();
    say(&place, &pool, "before", 300).await;
    show(&place, &pool).await;

    // The dump.
    let options = pool.connect_options();
    let (name, copy) = {
        let name = options.get_database().unwrap().to_owned();
        // Names have at most 63 bytes.
        let copy = format!("dump_{}", &name[name.len() - 20..]);
        (name, copy)
    };
    let server = PgPool::connect_with((*options).clone().database("postgres"))
        .await
        .unwrap();
    pool.close().await;
    let dump = format!("CREATE DATABASE \"{copy}\" TEMPLATE \"{name}\"");
    sqlx::query(AssertSqlSafe(dump))
        .execute(&server)
        .await
        .unwrap();
    let pool = PgPool::connect_with((*options).clone()).await.unwrap();
    say(&place, &pool, "after", 100).await;
    show(&place, &pool).await;

    let dumped = (*options).clone().database(&copy);
    let restored = PgPool::connect_with(dumped.clone()).await.unwrap();
    let why = refused(&place, &dumped);
    for part in [
        "a head of 400 entries",
        "only 300 sealed",
        "Restore the newest",
        "journal.key_file",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(heads(&restored).await, [300], "nothing was written");

    // Somebody went on from it elsewhere, so it is no shorter now.
    say(&place, &restored, "elsewhere", 200).await;
    let why = refused(&place, &dumped);
    assert!(why.contains("does not have"), "{why}");
    assert_eq!(heads(&restored).await, [300, 500]);

    // The newest one goes on.
    show(&place, &pool).await;
    // Another journal is none of this one's.
    fs::remove_file(place.dir().join("journal.key")).unwrap();
    for table in ["checkpoints", "identity"] {
        let mut tx = restored.begin().await.unwrap();
        for statement in [
            "SET LOCAL session_replication_role = replica".to_owned(),
            format!("DELETE FROM journal.{table}"),
        ] {
            let done = sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx);
            done.await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    let config = config(&place, &dumped);
    let served = place.serve(&["--config", config.to_str().unwrap()]);
    assert!(served.stop(Signal::SIGTERM).success());

    restored.close().await;
    let drop = format!("DROP DATABASE \"{copy}\" WITH (FORCE)");
    sqlx::query(AssertSqlSafe(drop))
        .execute(&server)
        .await
        .unwrap();
}

/// Waits until the journal has sealed so many entries.
fn sealed(place: &Place, size: u64) {
    let is_sealed = (0..600).any(|_| {
        let head = place.run(&["audit", "head", "-o", "json"]).stdout;
        let head: serde_json::Value = serde_json::from_slice(&head).unwrap_or_default();
        head["size"].as_u64() >= Some(size)
    });
    assert!(is_sealed, "{size} entries are not sealed");
}

#[test]
fn a_copy_of_the_log_is_not_given_up_for_one_that_was_written_anew() {
    let insert = |place: &Place, name: &str| {
        let sql = format!("INSERT INTO agents (did, name) VALUES ('did:vexel:{name}', '{name}')");
        place.sql(&sql).unwrap();
    };
    let first = Place::new("data");
    let copy = first.dir().with_file_name("copy");
    let export = |place: &Place| place.run(&["audit", "export", copy.to_str().unwrap()]);
    let up = first.up();
    insert(&first, "one");
    sealed(&first, 1);
    assert!(export(&first).status.success());
    insert(&first, "two");
    sealed(&first, 2);
    assert!(export(&first).status.success(), "it goes on");
    let key = first.dir().join("journal.key");
    assert!(up.stop(Signal::SIGTERM).success());

    // The same key, so the same log by its name, over other entries.
    let second = Place::new("data");
    fs::create_dir(second.dir()).unwrap();
    fs::copy(key, second.dir().join("journal.key")).unwrap();
    let up = second.up();
    for name in ["three", "four", "five"] {
        insert(&second, name);
    }
    sealed(&second, 3);
    let before = fs::read(copy.join("checkpoint")).unwrap();
    let output = export(&second);
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{why}");
    assert!(why.contains("the log was forked"), "{why}");
    assert_eq!(fs::read(copy.join("checkpoint")).unwrap(), before);
    assert!(up.stop(Signal::SIGTERM).success());
}
