//! A log of 100,000 entries, served by a real process, read by Tessera's fsck and by `audit verify`.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use chrono::DateTime;
use content::{Block, Content, block, car};
use instance::Place;
use journal::{Change, LogKey, NewEntry, Sealed, Sealer};
use kernel::{AgentId, Cid};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::{ConnectOptions, PgPool};
use store::{Cause, Clock, Db, Outcome, lease};
use uuid::Uuid;

const ENTRIES: u64 = 100_000;
const AGENTS: u64 = 9_000;

/// Appends and seals as a backfill does, by the key of `place`.
async fn fill(db: &Db, place: &Place, range: Range<u64>, text: usize) -> String {
    let key = LogKey::load_or_create(&place.dir().join("journal.key")).unwrap();
    let sealer = Sealer::new(key, None).unwrap();
    let entry = |n: u64| {
        let change = Change {
            column: "description".to_owned(),
            value: format!("{n:>text$}").into(),
            cause: format!("act:{n}"),
            time: DateTime::UNIX_EPOCH,
        };
        NewEntry::agent(
            AgentId::of_did(&format!("did:test:{}", n % AGENTS)),
            vec![change],
        )
    };
    for first in range.clone().step_by(10_000) {
        let mut tx = db.begin(Cause::Job("test")).await.unwrap();
        let entries = (first..range.end.min(first + 10_000)).map(entry).collect();
        journal::append(&mut tx, entries).await.unwrap();
        tx.commit().await.unwrap();
    }
    let lease = lease::acquire(db, "test", Uuid::from_u128(1), Duration::from_mins(10));
    let lease = lease.await.unwrap().unwrap();
    while let Sealed::Batch { .. } = sealer.seal_once(db, &lease).await.unwrap() {}
    sealer.vkey().to_string()
}

/// What fsck says; its exit code says nothing.
fn fsck(log: &str, key: &Path) -> String {
    let output = Command::new(binary())
        .args([
            "--ui=false",
            "-N",
            "4",
            "--storage_url",
            log,
            "--public_key",
        ])
        .arg(key)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8(said).unwrap()
}

/// `CHANCERY_FSCK`, else the one that `scripts/setup --tests` builds. This is never passed over.
#[expect(clippy::disallowed_methods, reason = "a test's own tool")]
fn binary() -> PathBuf {
    if let Some(binary) = std::env::var_os("CHANCERY_FSCK") {
        return binary.into();
    }
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/setup");
    let output = Command::new(setup).arg("--print-fsck").output().unwrap();
    assert!(
        output.status.success(),
        "this test needs Tessera's fsck: run `scripts/setup --tests`, or set CHANCERY_FSCK"
    );
    String::from_utf8(output.stdout).unwrap().trim().into()
}

const SOUND: &str = "Successfully fsck'd";

/// Runs `chancery audit verify`; what it printed, or why it exited with 6.
fn verify(place: &Place, args: &[&str]) -> Result<Value, String> {
    let output = place.run(&[&["audit", "verify", "-o", "json"], args].concat());
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    let why = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(6), "{why}");
    Err(why)
}

/// Changes bytes as a disk does: behind the triggers.
async fn damage(pool: &PgPool, statement: &str) {
    let mut tx = pool.begin().await.unwrap();
    for statement in ["SET LOCAL session_replication_role = replica", statement] {
        let done = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx);
        done.await.unwrap();
    }
    tx.commit().await.unwrap();
}

#[sqlx::test(migrations = "./migrations")]
async fn a_log_of_a_hundred_thousand_verifies_by_strangers_tools_until_a_bit_flips(pool: PgPool) {
    let place = Place::new("data");
    fs::create_dir_all(place.dir()).unwrap();
    let db = Db::from_pool(pool.clone(), Clock::System);
    let vkey = fill(&db, &place, 0..ENTRIES, 6).await;
    let config = place.dir().with_file_name("chancery.toml");
    let url = pool.connect_options().to_url_lossy().to_string();
    fs::write(&config, format!("[database]\nurl = \"{url}\"\n")).unwrap();
    let served = place.serve(&["--config", config.to_str().unwrap()]);
    let log = format!("{}/audit", served.ready["url"].as_str().unwrap());
    let key = place.dir().with_file_name("vkey");
    fs::write(&key, &vkey).unwrap();

    let said = fsck(&format!("{log}/"), &key);
    assert!(said.contains(SOUND), "{said}");
    let whole = verify(&place, &[&log, "--vkey", &vkey]).unwrap();
    assert_eq!(whole["entries"], ENTRIES);
    assert_eq!(whole["chains"], AGENTS);
    assert_eq!(whole["tiles"], 391 + 2 + 1);
    let range = verify(&place, &[&log, "--from", "77777", "--to", "88888"]).unwrap();
    assert_eq!(
        (&range["entries"], &range["trusted"]),
        (&11_112.into(), &false.into())
    );

    // As files, without the instance.
    let dir = place.dir().with_file_name("copy");
    let copy = dir.to_str().unwrap();
    let export = || {
        let args = ["audit", "export", copy, "-o", "json", "--url"];
        let output = place.run(&[&args[..], &[&log[..log.len() - 6]]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said, output.stdout)
    };
    let (done, said, _) = export();
    assert!(done, "{said}");
    let said = fsck(&format!("file://{copy}/"), &key);
    assert!(said.contains(SOUND), "{said}");
    assert_eq!(verify(&place, &[copy]).unwrap()["entries"], ENTRIES);
    // What is there is not asked for again, and what was torn is.
    fs::write(dir.join("tile/entries/011"), b"torn").unwrap();
    let why = verify(&place, &[copy]).unwrap_err();
    assert!(
        why.contains("tile/entries/011, byte 0: the entry of leaf 2816"),
        "{why}"
    );
    let (done, said, again) = export();
    assert!(done, "{said}");
    let again: Value = serde_json::from_slice(&again).unwrap();
    // Three partial tiles, the partial bundle, the torn one, key and checkpoint.
    assert_eq!(again["new"], 7);
    verify(&place, &[copy]).unwrap();

    let flip = "UPDATE journal.tiles SET hashes = set_byte(hashes, 100, get_byte(hashes, 100) # 1)
                 WHERE level = 0 AND n = 17";
    damage(&pool, flip).await;
    let said = fsck(&format!("{log}/"), &key);
    assert!(
        !said.contains(SOUND) && said.contains("fsck failed"),
        "{said}"
    );
    let why = verify(&place, &[&log]).unwrap_err();
    assert!(
        why.contains("NOT verified: tile/0/017, byte 96: the hash is"),
        "{why}"
    );
    damage(&pool, flip).await;
    verify(&place, &[&log]).unwrap();

    let flip = "UPDATE journal.entries SET body = set_byte(body, 40, get_byte(body, 40) # 1)
                 WHERE seq = (SELECT entry_seq FROM journal.leaves WHERE leaf_index = 54321)";
    damage(&pool, flip).await;
    let said = fsck(&format!("{log}/"), &key);
    assert!(!said.contains(SOUND), "{said}");
    let why = verify(&place, &[&log]).unwrap_err();
    assert!(why.contains("the entry of leaf 54321 hashes to"), "{why}");
    // The rest is as it was.
    verify(&place, &[&log, "--from", "54322"]).unwrap_err();
    verify(&place, &[&log, "--from", "60000"]).unwrap();
    // A copy that was made before still verifies, and the instance does not spoil it.
    let (done, said, _) = export();
    assert!(done, "{said}");
    verify(&place, &[copy]).unwrap();
    assert!(served.stop(Signal::SIGTERM).success());
}

/// Every block that these manifests hold together.
async fn blocks(content: &Content, manifests: &[Cid]) -> Vec<Block> {
    let mut found = Vec::new();
    for manifest in manifests {
        let bytes = content.blocks().get(manifest).await.unwrap().unwrap();
        let links = block::links(manifest, &bytes).unwrap();
        found.push((*manifest, bytes));
        for link in links {
            let bytes = content.blocks().get(&link).await.unwrap().unwrap();
            found.push((link, bytes));
        }
    }
    found
}

#[sqlx::test(migrations = "./migrations")]
async fn a_log_verifies_as_blocks_from_a_car_and_through_a_gateway(pool: PgPool) {
    let place = Place::new("data");
    fs::create_dir_all(place.dir()).unwrap();
    let db = Db::from_pool(pool.clone(), Clock::System);
    let fetcher = net::Fetcher::new(&net::Config::default()).unwrap();
    let (content, _) = Content::open(&content::Config::default(), place.dir(), fetcher).unwrap();
    let mut vkey = String::new();
    // A bundle of the last ones has more bytes than a block may have.
    for (range, text) in [
        (0..300, 6),
        (300..301, 6),
        (301..700, 6),
        (700..1_100, 9_000),
    ] {
        vkey = fill(&db, &place, range, text).await;
        while publish::mirror(&db, &content, Uuid::nil()).await.unwrap() == Outcome::Busy {}
    }
    let manifests =
        "SELECT reference FROM journal.publications WHERE state = 'stored' ORDER BY size";
    let manifests: Vec<String> = sqlx::query_scalar(manifests)
        .fetch_all(&pool)
        .await
        .unwrap();
    let manifests: Vec<Cid> = manifests.iter().map(|cid| cid.parse().unwrap()).collect();
    assert_eq!(manifests.len(), 4);
    let newest = manifests[3];
    let file = place.dir().with_file_name("log.car");
    let path = file.to_str().unwrap();
    let all = car::write(&[newest], &blocks(&content, &manifests).await).unwrap();
    fs::write(&file, &all).unwrap();
    let whole = verify(&place, &[path, "--vkey", &vkey]).unwrap();
    assert_eq!(
        (&whole["entries"], &whole["chains"]),
        (&1_100.into(), &1_100.into())
    );
    verify(
        &place,
        &[path, "--vkey", &vkey, "--from", "299", "--to", "301"],
    )
    .unwrap();

    // Any bit of any block.
    for at in (10..all.len()).step_by(all.len() / 23) {
        let mut flipped = all.clone();
        flipped[at] ^= 2;
        fs::write(&file, flipped).unwrap();
        let why = verify(&place, &[path, "--vkey", &vkey]).unwrap_err();
        assert!(why.contains("NOT verified"), "byte {at}: {why}");
    }
    fs::write(&file, &all[..all.len() - 9]).unwrap();
    let why = verify(&place, &[path, "--vkey", &vkey]).unwrap_err();
    assert!(why.contains("cut off"), "{why}");
    // The newest manifest alone has not the whole log.
    let part = car::write(&[newest], &blocks(&content, &manifests[3..]).await).unwrap();
    fs::write(&file, part).unwrap();
    let why = verify(&place, &[path, "--vkey", &vkey]).unwrap_err();
    assert!(why.contains("tile/0/000 is missing"), "{why}");
    drop(content);

    let config = place.dir().with_file_name("chancery.toml");
    let url = pool.connect_options().to_url_lossy().to_string();
    fs::write(&config, format!("[database]\nurl = \"{url}\"\n")).unwrap();
    let served = place.serve(&["--config", config.to_str().unwrap()]);
    let gateway = served.ready["url"].as_str().unwrap();
    let newest = newest.to_string();
    let args = [&newest, "--vkey", &vkey, "--gateway", gateway];
    assert_eq!(verify(&place, &args).unwrap()["entries"], 1_100);
    let entry = whole_of_another_kind(&pool).await;
    let why = verify(&place, &[&entry, "--vkey", &vkey, "--gateway", gateway]).unwrap_err();
    assert!(why.contains("is no manifest"), "{why}");
    assert!(served.stop(Signal::SIGTERM).success());
}

/// The CID of an entry: a block, and no manifest.
async fn whole_of_another_kind(pool: &PgPool) -> String {
    let cid = "SELECT cid FROM journal.entries LIMIT 1";
    sqlx::query_scalar(cid).fetch_one(pool).await.unwrap()
}
