//! A database that was restored: from an older dump no process goes on, whatever its role; from the newest one
//! everything goes on, also in another server.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;
mod kit;

use std::{fs, path::PathBuf, process::Command, time::Duration};

use instance::{Instance, Place};
use journal::{Change, LogKey, NewEntry, Sealed, Sealer};
use kernel::AgentId;
use kit::{equal, index::list, kubo::Kubo, until};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, PgPool, postgres::PgConnectOptions};
use store::{Cause, Clock, Db, lease};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_mins(1);

/// With the key of `place`.
fn sealer(place: &Place) -> Sealer {
    let key = LogKey::load_or_create(&place.dir().join("journal.key")).unwrap();
    Sealer::new(key, None).unwrap()
}

/// Appends and seals `count` entries by the key of `place`, each of an agent of its own.
async fn say(place: &Place, pool: &PgPool, words: &str, count: u64) {
    let db = Db::from_pool(pool.clone(), Clock::System);
    let sealer = sealer(place);
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

/// The configuration of a process on this database, and what else is configured.
fn config(place: &Place, database: &PgConnectOptions, more: &str) -> PathBuf {
    let config = place.dir().with_file_name("chancery.toml");
    let url = database.to_url_lossy();
    fs::write(&config, format!("[database]\nurl = \"{url}\"\n{more}")).unwrap();
    config
}

/// What every role says to this database; it must not start.
fn refused(place: &Place, database: &PgConnectOptions, more: &str) -> String {
    let config = config(place, database, more);
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

/// A copy of a database.
struct Dump {
    name: String,
    options: PgConnectOptions,
    pool: PgPool,
    server: PgPool,
}

impl Dump {
    /// Of the database as it is now; gives the database, which nobody may be connected to meanwhile.
    async fn of(pool: PgPool) -> (Self, PgPool) {
        let options = pool.connect_options();
        let of = options.get_database().unwrap();
        // Names have at most 63 bytes.
        let name = format!("dump_{}", &of[of.len() - 20..]);
        let connect = async |database: &str| {
            let options = (*options).clone().database(database);
            PgPool::connect_with(options).await.unwrap()
        };
        let server = connect("postgres").await;
        pool.close().await;
        let copy = format!("CREATE DATABASE \"{name}\" TEMPLATE \"{of}\"");
        let copied = sqlx::query(AssertSqlSafe(copy)).execute(&server).await;
        copied.unwrap();
        let dump = Self {
            options: (*options).clone().database(&name),
            pool: connect(&name).await,
            server,
            name,
        };
        (dump, connect(of).await)
    }

    async fn remove(self) {
        self.pool.close().await;
        let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name);
        let dropped = sqlx::query(AssertSqlSafe(drop)).execute(&self.server).await;
        dropped.unwrap();
    }
}

/// Runs a process on the database until it has kept its newest head.
async fn show(place: &Place, pool: &PgPool) {
    let config = config(place, &pool.connect_options(), "");
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

    let (dump, pool) = Dump::of(pool).await;
    say(&place, &pool, "after", 100).await;
    show(&place, &pool).await;

    let (dumped, restored) = (&dump.options, &dump.pool);
    let why = refused(&place, dumped, "");
    for part in [
        "a head of 400 entries",
        "only 300 sealed",
        "Restore the newest",
        "journal.key_file",
    ] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(heads(restored).await, [300], "nothing was written");

    // Somebody went on from it elsewhere, so it is no shorter now.
    say(&place, restored, "elsewhere", 200).await;
    let why = refused(&place, dumped, "");
    assert!(why.contains("does not have"), "{why}");
    assert_eq!(heads(restored).await, [300, 500]);

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
    let config = config(&place, dumped, "");
    let served = place.serve(&["--config", config.to_str().unwrap()]);
    assert!(served.stop(Signal::SIGTERM).success());
    dump.remove().await;
}

/// Runs a process on the database until its own blocks, its data directory and Kubo have the newest head.
async fn mirror(place: &Place, pool: &PgPool, kubo: &Kubo, more: &str) {
    let config = config(place, &pool.connect_options(), more);
    let served = place.serve_as("api,work", &["--config", config.to_str().unwrap()]);
    let size = heads(pool).await.pop().unwrap().to_string();
    let path = publish::witness::path(sealer(place).vkey());
    until("everybody has the newest head", PATIENCE, || async {
        let stored = "SELECT size FROM journal.publications WHERE state = 'stored' ORDER BY size DESC LIMIT 1";
        let stored = list(pool, stored).await.pop()?;
        let kept = fs::read_to_string(place.dir().join("journal.checkpoint")).ok()?;
        let told = kubo.try_run(&["files", "read", &path])?;
        let all = [Some(stored.as_str()), kept.lines().nth(1), told.lines().nth(1)];
        (all == [Some(size.as_str()); 3]).then_some(())
    })
    .await;
    assert!(served.stop(Signal::SIGTERM).success());
}

/// Leaves a head at Kubo that the journal's key did not sign.
async fn forge(place: &Place, pool: &PgPool, kubo: &Kubo) {
    let note = "SELECT note FROM journal.checkpoints ORDER BY size DESC LIMIT 1";
    let note = list(pool, note).await.remove(0);
    let file = kubo.repo.path().join("forged");
    fs::write(&file, note.replacen("\n300\n", "\n9999\n", 1)).unwrap();
    let (path, file) = (
        publish::witness::path(sealer(place).vkey()),
        file.to_str().unwrap(),
    );
    kubo.run(&["files", "write", "--create", "--parents", &path, file]);
}

/// The file of the newest head, or the whole data directory, is lost or an older copy, as the database is.
#[sqlx::test(migrations = "./migrations")]
async fn a_database_that_was_restored_is_refused_by_what_was_published(pool: PgPool) {
    let mut kubo = Kubo::start();
    let place = Place::new("data");
    fs::create_dir_all(place.dir()).unwrap();
    let more = format!("[content]\nkubo_url = \"{}\"\n", kubo.url());
    say(&place, &pool, "before", 300).await;
    forge(&place, &pool, &kubo).await;
    mirror(&place, &pool, &kubo, &more).await;
    let older = place.dir().with_file_name("older");
    let (data, older) = (place.dir().to_str().unwrap(), older.to_str().unwrap());
    run("cp", &["-a", data, older]);
    let (dump, pool) = Dump::of(pool).await;
    say(&place, &pool, "after", 100).await;
    mirror(&place, &pool, &kubo, &more).await;

    let is_told = |why: &str, who: &str| {
        for part in [
            who,
            "a head of 400 entries",
            "only 300 sealed",
            "Restore the newest",
            "journal.key_file",
        ] {
            assert!(why.contains(part), "{why}");
        }
    };
    fs::remove_file(place.dir().join("journal.checkpoint")).unwrap();
    let why = refused(&place, &dump.options, "");
    is_told(&why, "own blocks have");

    let restore = || {
        fs::remove_dir_all(data).unwrap();
        run("cp", &["-a", older, data]);
    };
    restore();
    let why = refused(&place, &dump.options, &more);
    is_told(&why, "Kubo at 127.0.0.1:");
    assert_eq!(heads(&dump.pool).await, [300], "nothing was written");

    // Kubo is away: it is waited for, and nothing is sealed.
    for (pool, ends) in [(&pool, false), (&dump.pool, true)] {
        kubo.stop();
        restore();
        let before = heads(pool).await;
        let log = fs::read_to_string(place.dir().with_file_name("stderr")).unwrap();
        let config = config(&place, &pool.connect_options(), &more);
        let served = place.serve_as("api,work", &["--config", config.to_str().unwrap()]);
        let insert = "INSERT INTO identity.agents (did, name) VALUES ('did:vexel:late', 'Late')";
        sqlx::query(insert).execute(pool).await.unwrap();
        let queued = "SELECT count(*) FROM journal.entries WHERE seq NOT IN (SELECT entry_seq FROM journal.leaves)";
        // It had time to seal: Kubo was asked again after a pause.
        until("it waits", PATIENCE, || async {
            let waits = list(pool, queued).await;
            let asked = served.log()[log.len()..]
                .matches("Kubo is not told")
                .count();
            (waits != ["0"] && asked >= 2).then_some(())
        })
        .await;
        assert_eq!(heads(pool).await, before);
        let json = |path: &str| serde_json::from_str::<Value>(&served.get(path).1).unwrap();
        let why = json("/readyz")["unsealed"].to_string();
        assert!(
            why.contains("until Kubo was asked") && why.contains("content.kubo_url"),
            "{why}"
        );
        assert_eq!(json("/audit/anchor")["state"], "off");
        let metric = |value: u8| {
            let (_, metrics) = served.get("/metrics");
            metrics.contains(&format!("chancery_kubo_unread {value}"))
        };
        assert!(metric(1));
        kubo.resume();
        if ends {
            let said = served.log();
            assert_eq!(served.end().code(), Some(5), "{said}");
            assert_eq!(heads(pool).await, before, "nothing was signed");
        } else {
            until("it is sealed", PATIENCE, || async {
                (heads(pool).await.len() > before.len()).then_some(())
            })
            .await;
            assert!(json("/readyz")["unsealed"].is_null() && metric(0));
            assert!(served.stop(Signal::SIGTERM).success());
        }
    }
    dump.remove().await;
}

/// Runs a program, which must succeed.
fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}");
}

/// An address as the programs of Postgres take it.
fn address(options: &PgConnectOptions) -> String {
    let mut url = options.to_url_lossy();
    let pairs = url.query_pairs().into_owned();
    let known: Vec<_> = pairs.filter(|(name, _)| name == "host").collect();
    url.query_pairs_mut().clear().extend_pairs(known);
    url.to_string()
}

/// A server's numbers of transactions begin low, and the rows of the dump have those of the old one.
#[sqlx::test(migrations = false)]
async fn everything_goes_on_in_another_server(pool: PgPool) {
    let place = Place::new("data");
    let up = place.up();
    for name in ["one", "two", "three"] {
        let sql = format!("INSERT INTO agents (did, name) VALUES ('did:vexel:{name}', '{name}')");
        place.sql(&sql).unwrap();
    }
    sealed(&place, 3);
    let copy = place.dir().with_file_name("copy");
    let export = || place.run(&["audit", "export", copy.to_str().unwrap()]);
    assert!(export().status.success());
    let page = |instance: &Instance, query: &str| {
        let (status, body) = instance.get(&format!("/v1/changes?{query}"));
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let cursors = ["settled", "head"].map(|level| {
        let page = page(&up, &format!("level={level}&after=now"));
        let cursor = page["next_cursor"].as_str().unwrap();
        format!("level={level}&after={cursor}")
    });
    let old = equal::of_instance(place.dir()).await;
    let aged = "ALTER TABLE journal.entries DISABLE TRIGGER USER;
                UPDATE journal.entries SET xid = (xid::text::bigint + (1::bigint << 40))::text::xid8;
                ALTER TABLE journal.entries ENABLE TRIGGER USER";
    sqlx::raw_sql(aged).execute(old.pool()).await.unwrap();
    let dump = place.dir().with_file_name("dump");
    let dump = dump.to_str().unwrap();
    let from = address(&old.pool().connect_options());
    run(
        "pg_dump",
        &["--format=custom", "--no-owner", "--file", dump, &from],
    );
    old.close().await;
    assert!(up.stop(Signal::SIGTERM).success());

    let options = pool.connect_options();
    let to = address(&options);
    let flags = [
        "--no-owner",
        "--no-privileges",
        "--exit-on-error",
        "--dbname",
        &to,
        dump,
    ];
    run("pg_restore", &flags);
    let config = config(&place, &options, "");
    let config = ["--config", config.to_str().unwrap()];
    let mut migrate = place.command(&["migrate", "up"]);
    // One role for both, so that none is made for the whole server.
    migrate.env("CHANCERY__DATABASE__APP_ROLE", options.get_username());
    let migrated = migrate.args(config).output().unwrap();
    assert!(
        migrated.status.success(),
        "{}",
        String::from_utf8_lossy(&migrated.stderr)
    );
    let served = place.serve_as("api,work", &config);
    assert_eq!(heads(&pool).await.pop(), Some(3));
    for (round, name) in ["four", "five"].into_iter().enumerate() {
        let insert = "INSERT INTO identity.agents (did, name) VALUES ('did:vexel:' || $1, $1)";
        sqlx::query(insert).bind(name).execute(&pool).await.unwrap();
        let size = 4 + i64::try_from(round).unwrap();
        until("it is sealed", PATIENCE, || async {
            (heads(&pool).await.pop() == Some(size)).then_some(())
        })
        .await;
    }
    let url = served.ready["url"].as_str().unwrap();
    let log = format!("{url}/audit");
    let verified = place.run(&["audit", "verify", &log, "-o", "json"]);
    let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(verified["entries"], 5);
    let args = ["--url", url, "audit", "export", copy.to_str().unwrap()];
    let exported = place.run(&args);
    let why = String::from_utf8_lossy(&exported.stderr);
    assert!(exported.status.success(), "the copy goes on: {why}");
    // Followers go on from the cursors that they had.
    for cursor in cursors {
        until("both are told", PATIENCE, || async {
            let page = page(&served, &cursor);
            let items = page["items"].as_array().unwrap();
            let named = |name: &str| items.iter().any(|item| item["agent"]["name"] == name);
            assert!(!named("one") && !named("three"), "{cursor}: {page}");
            (named("four") && named("five")).then_some(())
        })
        .await;
    }
    let unsealed = "SELECT count(*) FROM journal.entries WHERE seq NOT IN (SELECT entry_seq FROM journal.leaves)";
    assert_eq!(list(&pool, unsealed).await, ["0"]);
    assert!(served.stop(Signal::SIGTERM).success());
}

/// Waits until the journal has sealed so many entries.
fn sealed(place: &Place, size: u64) {
    let is_sealed = (0..600).any(|_| {
        let head = place.run(&["audit", "head", "-o", "json"]).stdout;
        let head: Value = serde_json::from_slice(&head).unwrap_or_default();
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
