//! The disk is full: a database on a small file system is written to until it takes no more, and gets space again.
//!
//! It needs the right to mount a tmpfs, which root has; without it the test fails and says so.

use std::{fs, io::ErrorKind, path::Path, process::Command, str::FromStr};

use chrono::DateTime;
use journal::{Change, LogKey, NewEntry, Sealed, Sealer, append, follow, log};
use kernel::{AgentId, Kind};
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use store::{Cause, Clock, Db, lease};
use uuid::Uuid;

/// An empty, migrated database takes about half of it.
const SMALL: &str = "size=32m";
const LARGE: &str = "remount,size=256m";

/// A small file system at a folder, as long as this lives.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("mode");
        let mounted = Self(dir);
        mounted.mount(SMALL);
        mounted
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn mount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
        let done = mount.arg(self.path()).status();
        let done = done.is_ok_and(|status| status.success());
        assert!(
            done,
            "a full disk is made of a tmpfs, which only root may mount: run this test as root"
        );
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[expect(clippy::disallowed_methods, reason = "as sqlx::test does")]
fn cluster() -> PgConnectOptions {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a Postgres");
    PgConnectOptions::from_str(&url).expect("a URL")
}

async fn run(admin: &mut PgConnection, statement: &str) {
    let run = admin.execute(AssertSqlSafe(statement.to_owned())).await;
    run.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Entries of about 2,000 bytes each, of agents that nothing else speaks of.
fn entries(from: u64) -> Vec<NewEntry> {
    let one = |n: u64| {
        let change = Change {
            column: "description".to_owned(),
            value: format!("{n:>2000}").into(),
            cause: format!("act:{n}"),
            time: DateTime::UNIX_EPOCH,
        };
        NewEntry::agent(AgentId::of_did(&format!("did:full:{n}")), vec![change])
    };
    (from..from + 50).map(one).collect()
}

/// Appends in one transaction; gives the CIDs once they are committed.
async fn write(db: &Db, from: u64) -> journal::Result<Vec<String>> {
    let mut tx = db.begin(Cause::Job("test")).await?;
    let appended = append(&mut tx, entries(from)).await?;
    tx.commit().await?;
    Ok(appended.into_iter().map(|entry| entry.cid).collect())
}

async fn seal(db: &Db, sealer: &Sealer) -> journal::Result<()> {
    let holder = Uuid::from_u128(1);
    let lease = lease::acquire(db, "test", holder, std::time::Duration::from_mins(10)).await?;
    let lease = lease.expect("free");
    while sealer.seal_once(db, &lease).await? != Sealed::Nothing {}
    Ok(())
}

/// Takes away the cache of the catalog that a new session reads, and all space: it would write one, and Postgres says of a disk that does
/// not take it neither that it is full, nor a code of its own.
fn need_the_catalog_cache(tablespace: &Path) {
    let below = |folder: &Path| -> Vec<_> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("read").path()).collect()
    };
    let databases = below(tablespace)
        .into_iter()
        .flat_map(|version| below(&version));
    for database in databases.filter(|path| path.is_dir()) {
        fs::remove_file(database.join("pg_internal.init")).expect("a session has been there");
    }
    // Whatever room there is, too.
    let filled = fs::write(tablespace.join("filler"), vec![1; 64 << 20]);
    assert_eq!(filled.expect_err("small").kind(), ErrorKind::StorageFull);
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_and_all_goes_on_with_space() {
    let small = Mounted::new();
    let name = format!("full_disk_{}", std::process::id());
    let mut admin = PgConnection::connect_with(&cluster())
        .await
        .expect("Postgres");
    let data: String = sqlx::query_scalar("SHOW data_directory")
        .fetch_one(&mut admin)
        .await
        .expect("a folder");
    let owner = fs::metadata(data).expect("of this machine");
    chown(small.path(), Some(owner.uid()), Some(owner.gid())).expect("given");
    let place = small.path().display();
    run(
        &mut admin,
        &format!("CREATE TABLESPACE {name} LOCATION '{place}'"),
    )
    .await;
    run(
        &mut admin,
        &format!("CREATE DATABASE {name} TABLESPACE {name}"),
    )
    .await;
    let pool = PgPoolOptions::new().connect_lazy_with(cluster().database(&name));
    let migrator = sqlx::migrate!("../../migrations");
    migrator.run(&pool).await.expect("room for the schema");
    let db = Db::from_pool(pool, Clock::System);
    let sealer = Sealer::new(LogKey::from_seed(&[7; 32]), None).expect("an origin");

    let (mut acknowledged, mut from) = (Vec::new(), 0);
    let full = loop {
        match write(&db, from).await {
            Ok(cids) => acknowledged.extend(cids),
            Err(error) => break error,
        }
        from += 50;
        if u64::is_multiple_of(from, 1_000) {
            seal(&db, &sealer).await.expect("there is room yet");
        }
    };
    assert_eq!(full.kind(), Kind::Unavailable, "{full}");
    let said = full.to_string();
    assert!(
        said.contains("No space left") || said.contains("init file"),
        "{full}"
    );
    need_the_catalog_cache(small.path());
    let other = PgPoolOptions::new().connect_lazy_with(cluster().database(&name));
    let error = log::head(&Db::from_pool(other, Clock::System)).await;
    let error = error.expect_err("a session needs a file");
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    // What is there is read, and sealed or not: a seal needs space, too.
    let sealed_before = log::head(&db).await.expect("read").expect("sealed");
    if let Err(error) = seal(&db, &sealer).await {
        assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    }

    small.mount(LARGE);
    acknowledged.extend(write(&db, from).await.expect("there is space"));
    seal(&db, &sealer).await.expect("there is space");
    let mut order = Vec::new();
    loop {
        let next = follow::sealed(&db, order.len() as u64, i64::MAX).await;
        let next = next.expect("read");
        if next.is_empty() {
            break;
        }
        order.extend(next.into_iter().map(|entry| entry.cid));
    }
    assert_eq!(order, acknowledged);
    let head = log::head(&db).await.expect("read").expect("sealed");
    assert_eq!(head.root, log::root(&db, head.size).await.expect("read"));
    let same = log::root(&db, sealed_before.size).await.expect("read");
    assert_eq!(same, sealed_before.root);

    db.close().await;
    run(&mut admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
    run(&mut admin, &format!("DROP TABLESPACE {name}")).await;
}
