//! Processes that seal and publish are killed at any moment, stopped for a while, and two at a time: the log does not
//! fork, and nothing that was acknowledged is missing in it.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;
mod kit;
#[path = "kit/recorded.rs"]
mod recorded;
#[path = "kit/writer.rs"]
mod writer;

use std::{collections::BTreeSet, fs, time::Duration};

use instance::{Instance, Place};
use kit::{equal, index::list, left::Left, until};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::{ConnectOptions, PgPool};
use writer::Writer;

const PATIENCE: Duration = Duration::from_mins(1);

const KILLS: usize = 12;

async fn number(pool: &PgPool, query: &str) -> u64 {
    list(pool, query).await[0].parse().unwrap_or(0)
}

/// Runs `chancery audit verify`, which must succeed; how many entries it read.
fn verified(place: &Place, args: &[&str]) -> u64 {
    let output = place.run(&[&["audit", "verify", "-o", "json"], args].concat());
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {why}");
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    said["entries"].as_u64().unwrap()
}

fn log_of(instance: &Instance) -> String {
    format!("{}/audit", instance.ready["url"].as_str().unwrap())
}

/// Waits until all that was appended is sealed; the CIDs in the order of the leaves.
async fn sealed(pool: &PgPool) -> Vec<String> {
    let queued = "SELECT count(*) FROM journal.entries e
                   WHERE NOT EXISTS (SELECT FROM journal.leaves WHERE entry_seq = e.seq)";
    until("everything is sealed", PATIENCE, || async {
        (number(pool, queued).await == 0).then_some(())
    })
    .await;
    let order = "SELECT e.cid FROM journal.leaves l JOIN journal.entries e ON e.seq = l.entry_seq ORDER BY l.leaf_index";
    list(pool, order).await
}

/// Everything that a writer was told to be committed has one leaf, and nothing else has.
fn each_once(sealed: &[String], acknowledged: &[String]) {
    let leaves: BTreeSet<&String> = sealed.iter().collect();
    assert_eq!(leaves.len(), sealed.len(), "nothing is sealed twice");
    let lost = acknowledged.iter().find(|cid| !leaves.contains(cid));
    assert_eq!(lost, None, "acknowledged, and not in the log");
}

/// Every head follows one other, and the heads that were shown are among them.
async fn no_fork(pool: &PgPool, shown: &[String]) {
    let heads = list(pool, "SELECT note FROM journal.checkpoints ORDER BY size").await;
    let lost = shown.iter().find(|note| !heads.contains(note));
    assert_eq!(lost, None, "a head that was shown is not the log's");
    let broken = "SELECT count(*) FROM (SELECT prev_size, lag(size) OVER (ORDER BY size) AS before
                   FROM journal.checkpoints) AS c WHERE prev_size IS DISTINCT FROM before";
    assert_eq!(number(pool, broken).await, 0);
}

#[tokio::test]
async fn kills_lose_nothing_and_fork_nothing() {
    let place = Place::new("data");
    let _left = Left::on(place.dir());
    let file = place.dir().with_file_name("recorded.json");
    fs::write(&file, recorded::recording(40).to_json().unwrap()).unwrap();
    let flags = ["--replay", file.to_str().unwrap()];
    let copy = place.dir().with_file_name("copy");
    let copy = copy.to_str().unwrap();

    let mut up = place.up_with(&flags);
    let db = equal::of_instance(place.dir()).await;
    let pool = db.pool();
    let writer = Writer::start(pool, "one");
    let mut shown = Vec::new();
    for kill in 0..KILLS {
        // Now and then just behind a seal, or behind a manifest, and a little later each time.
        let table = ["checkpoints", "publications"][kill % 2];
        let count = format!("SELECT count(*) FROM journal.{table}");
        let before = number(pool, &count).await;
        until("there is one more", PATIENCE, || async {
            (number(pool, &count).await > before).then_some(())
        })
        .await;
        if kill % 4 == 3 {
            let output = place.run(&["audit", "export", copy]);
            let why = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "the copy goes on: {why}");
        }
        shown.push(up.get("/audit/checkpoint").1);
        writer.more(kill * 5 % 13).await;
        up.stop(Signal::SIGKILL);
        up = place.up_with(&flags);
    }
    let acknowledged = writer.stop();
    let sealed = sealed(pool).await;
    each_once(&sealed, &acknowledged);
    let known: BTreeSet<&String> = acknowledged.iter().collect();
    let of_writer = sealed.iter().filter(|cid| known.contains(cid));
    assert!(of_writer.eq(&acknowledged), "in their order");
    no_fork(pool, &shown).await;
    let size = sealed.len() as u64;
    assert_eq!(verified(&place, &[&log_of(&up)]), size);
    assert!(place.run(&["audit", "export", copy]).status.success());
    assert_eq!(verified(&place, &[copy]), size);
    // As blocks, by their names alone.
    let stored = "SELECT max(size) FROM journal.publications WHERE state = 'stored'";
    until("everything is stored", PATIENCE, || async {
        (number(pool, stored).await == size).then_some(())
    })
    .await;
    let manifest = "SELECT reference FROM journal.publications WHERE state = 'stored' ORDER BY size DESC LIMIT 1";
    let manifest = list(pool, manifest).await.remove(0);
    let vkey = up.get("/audit/vkey").1;
    assert_eq!(verified(&place, &[&manifest, "--vkey", vkey.trim()]), size);
    db.close().await;
    assert!(up.stop(Signal::SIGTERM).success());
    assert_eq!(place.processes(), Vec::<String>::new());
}

/// Those who have this block in their own blockstore.
fn who_has<'a>(served: &'a [Instance; 2], cid: &str) -> Vec<&'a Instance> {
    let has = |one: &&Instance| {
        let kept: Value = serde_json::from_str(&one.get(&format!("/v1/ipfs/{cid}")).1).unwrap();
        kept["local"] == true
    };
    served.iter().filter(has).collect()
}

/// Each has a data directory of its own. Whoever seals is stopped for longer than its lease is good for, and goes on as
/// if nothing had been; whoever publishes ends, and the other one goes on from there.
#[sqlx::test(migrations = "./migrations")]
async fn two_processes_seal_and_publish_one_log(pool: PgPool) {
    let places = [Place::new("one"), Place::new("other")];
    // All nodes of one journal share its key.
    let key = places[0].dir().with_file_name("key");
    let url = pool.connect_options().to_url_lossy();
    let config = format!(
        "[database]\nurl = \"{url}\"\n[journal]\nkey_file = \"{}\"\n",
        key.display()
    );
    let served = places.each_ref().map(|place| {
        let file = place.dir().with_file_name("chancery.toml");
        fs::write(&file, &config).unwrap();
        place.serve_as("api,work", &["--config", file.to_str().unwrap()])
    });
    let writers = ["one", "other"].map(|name| Writer::start(&pool, name));
    let size = "SELECT max(size) FROM journal.checkpoints";
    let mut shown = Vec::new();
    for stopped in &served {
        // A stopped process keeps the locks of its transaction: it is to be stopped between two.
        let locks = "SELECT count(*) FROM pg_locks WHERE relation IN ('journal.leaves'::regclass,
                         'store.leases'::regclass) AND mode = 'RowExclusiveLock'";
        loop {
            stopped.signal(Signal::SIGSTOP);
            if number(&pool, locks).await == 0 {
                break;
            }
            stopped.signal(Signal::SIGCONT);
        }
        let before = number(&pool, size).await;
        until("the other one seals", PATIENCE, || async {
            (number(&pool, size).await > before + 100).then_some(())
        })
        .await;
        stopped.signal(Signal::SIGCONT);
        shown.extend(served.each_ref().map(|one| one.get("/audit/checkpoint").1));
    }
    let manifest = "SELECT reference FROM journal.publications WHERE state = 'stored' ORDER BY size DESC LIMIT 1";
    let manifest = list(&pool, manifest).await.remove(0);
    let publishers = who_has(&served, &manifest);
    assert_eq!(publishers.len(), 1, "one publishes");
    let is_first = std::ptr::eq(publishers[0], &raw const served[0]);
    let layout = "SELECT size FROM publish.layout";
    let before = number(&pool, layout).await;
    let [one, other] = served;
    let (publisher, other) = if is_first { (one, other) } else { (other, one) };
    assert!(publisher.stop(Signal::SIGTERM).success());
    let stored = "SELECT max(size) FROM journal.publications WHERE state = 'stored'";
    let size_then = number(&pool, size).await;
    until("the other one publishes", PATIENCE, || async {
        let goes_on =
            number(&pool, stored).await > size_then && number(&pool, layout).await > before;
        goes_on.then_some(())
    })
    .await;

    let acknowledged = writers.map(Writer::stop).concat();
    let sealed = sealed(&pool).await;
    each_once(&sealed, &acknowledged);
    assert_eq!(sealed.len(), acknowledged.len());
    no_fork(&pool, &shown).await;
    assert_eq!(
        verified(&places[0], &[&log_of(&other)]),
        sealed.len() as u64
    );
    // It never had the directories that it went on from.
    let own: Value = serde_json::from_str(&other.get("/ipns").1).unwrap();
    let name = own["name"].as_str().unwrap();
    for order in ["ASC", "DESC"] {
        let agent = format!(
            "SELECT agent_id FROM journal.entries WHERE prev IS NULL ORDER BY seq {order} LIMIT 1"
        );
        let agent = list(&pool, &agent).await.remove(0);
        let path = format!("/ipns/{name}/dukenet/agents/{agent}/registration");
        until("the agent is in the layout", PATIENCE, || async {
            (other.get(&path).0 == 200).then_some(())
        })
        .await;
    }
    assert!(other.stop(Signal::SIGTERM).success());
}
