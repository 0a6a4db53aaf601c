//! 108 real logs of Ethereum's identity registry, and what becomes of every document that they name.
//!
//! `tests/mainnet/documents.tsv` says it, one line for each log. Its column `answer` is written by hand:
//! what the stand-in for the internet answers (see `mainnet/stand_in.rs`; empty: nobody is asked). The
//! columns after it are what we make of that; where they differ, a test prints the table that would be
//! right, for people to judge.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;
#[path = "mainnet/stand_in.rs"]
mod stand_in;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chrono::DateTime;
use content::Content;
use indexer::{Replay, Source as _, Trail};
use instance::{Instance, Place};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::PgPool;
use stand_in::Internet;
use store::{Clock, Db, Outcome};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mainnet/documents.tsv");
const COLUMNS: &str = "log\tagent\turi\tanswer\tstate\tverification\twarnings\twhy";

/// Waits this long at most for what takes a second.
const PATIENCE: Duration = Duration::from_mins(1);

/// Every row of the named schemas, as one line per table: its name, how many rows, their digest.
const ROWS: &str = "SELECT string_agg(format('%s.%s %s', schemaname, tablename,
       (xpath('/row/c/text()', query_to_xml(format(
            'SELECT count(*) || '' '' || coalesce(md5(string_agg(t::text, '' '' ORDER BY t::text)), '''') AS c
               FROM %I.%I t', schemaname, tablename), false, true, '')))[1]), E'\\n' ORDER BY schemaname, tablename)
  FROM pg_tables WHERE schemaname IN ('identity', 'chain', 'journal')";

fn corpus(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/corpus/erc8004").join(name)
}

/// A log of the file: where it stands, whose it is, and the URI that it sets.
struct Log {
    at: String,
    agent: u128,
    uri: String,
}

fn logs() -> Vec<Log> {
    let file = fs::read(corpus("mainnet-logs.json")).unwrap();
    let file: Value = serde_json::from_slice(&file).unwrap();
    let read = |log: &Value| {
        let data = hex::decode(&log["data"].as_str().unwrap()[2..]).unwrap();
        // Both events hold one string and nothing else: offset, length, bytes.
        let length = usize::from_str_radix(&hex::encode(&data[56..64]), 16).unwrap();
        Log {
            at: format!("{}:{}", log["blockNumber"], log["logIndex"]),
            agent: u128::from_str_radix(&log["topics"][1].as_str().unwrap()[34..], 16).unwrap(),
            uri: String::from_utf8(data[64..64 + length].to_vec()).unwrap(),
        }
    };
    file["logs"].as_array().unwrap().iter().map(read).collect()
}

/// The column `answer` of the table, by log.
fn answers() -> BTreeMap<String, String> {
    let table = fs::read_to_string(TABLE).unwrap();
    let cells = table
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>());
    cells
        .map(|cells| (cells[0].to_owned(), cells[3].to_owned()))
        .collect()
}

fn internet(logs: &[Log]) -> Internet {
    let answers = answers();
    let answer = |log: &Log| {
        answers
            .get(&log.at)
            .filter(|answer| !answer.is_empty())
            .cloned()
    };
    Internet::new(
        logs.iter()
            .filter_map(|log| Some((log.uri.clone(), answer(log)?))),
    )
}

/// The documents of data: URIs would fill the table.
fn short(uri: &str) -> String {
    match uri.split_once(',') {
        Some((header, _)) if uri.starts_with("data:") => format!("{header},… ({})", uri.len()),
        _ => uri.to_owned(),
    }
}

fn net_config(internet: SocketAddr) -> net::Config {
    net::Config {
        egress: Some(format!("http://{internet}")),
        timeout_seconds: 60,
        ..net::Config::default()
    }
}

fn open_content(internet: SocketAddr, dir: &Path) -> Content {
    let config = content::Config {
        gateways: vec![format!("http://{internet}")],
        ..content::Config::default()
    };
    let fetcher = net::Fetcher::new(&net_config(internet)).unwrap();
    Content::open(&config, dir, fetcher).unwrap().0
}

/// Indexes the file log by log, and judges each document before the next log is read, so that those
/// that a later log replaces are judged too. Gives the steps that were taken.
async fn index(db: &Db, content: &Content) -> anyhow::Result<u64> {
    let mut replay = Replay::open(
        &corpus("mainnet-logs.json"),
        1,
        chain::Registries::default(),
    )?;
    let chain = replay.chain()?;
    indexer::open(db, &chain).await?;
    let mut steps = 0;
    loop {
        let cursor = indexer::standing(db, chain.id).await?.ground;
        let Some(step) = replay.next(cursor, Trail::new(db, chain.id)).await? else {
            return Ok(steps);
        };
        // Not by a follower, who would read on and project once at the end.
        indexer::apply(db, chain.id, &chain.contracts, cursor, step, None).await?;
        steps += 1;
        while identity::document::fetch_due(db, content).await? == Outcome::Busy {}
        while identity::dirty::sweep(db).await? == Outcome::Busy {}
    }
}

#[sqlx::test(migrations = "./migrations")]
async fn every_log_ends_in_the_state_that_the_table_says(pool: PgPool) -> anyhow::Result<()> {
    // The clock stands still: what is not to be had now is not tried again.
    let db = Db::from_pool(
        pool.clone(),
        Clock::manual(DateTime::from_timestamp(1_770_000_000, 0).unwrap()),
    );
    let dir = tempfile::tempdir()?;
    let logs = logs();
    let internet = internet(&logs).serve();
    let content = open_content(internet, dir.path());
    index(&db, &content).await?;

    let (answers, mut table) = (answers(), format!("{COLUMNS}\n"));
    for log in &logs {
        let (state, verification, warnings, why): (String, String, String, String) = sqlx::query_as(
            "SELECT coalesce(d.state, u.state), coalesce(d.verification, u.verification, ''),
                    coalesce((SELECT string_agg(w->>'code' || CASE w->>'pointer' WHEN '' THEN ''
                                                              ELSE ' ' || (w->>'pointer') END, ', ')
                                FROM jsonb_array_elements(d.warnings) w
                               WHERE w->>'code' <> d.state), ''),
                    coalesce(u.last_error, (SELECT w->>'message' FROM jsonb_array_elements(d.warnings) w
                                             WHERE w->>'code' = d.state), '')
               FROM identity.uris u LEFT JOIN identity.documents d ON d.uri_hash = u.hash
              WHERE u.hash = sha256(convert_to($1, 'UTF8'))",
        )
        .bind(&log.uri)
        .fetch_one(&pool)
        .await?;
        let answer = answers.get(&log.at).map_or("", String::as_str);
        let why = why.replace(&internet.to_string(), "gateway");
        let cells = [&log.at, &log.agent.to_string(), &short(&log.uri), answer];
        let cells = [&cells[..], &[&state, &verification, &warnings, &why]].concat();
        table.push_str(&cells.join("\t"));
        table.push('\n');
    }
    let committed = fs::read_to_string(TABLE)?;
    let differ = committed
        .lines()
        .zip(table.lines())
        .filter(|(old, new)| old != new);
    let differ: Vec<_> = differ
        .map(|(old, new)| format!("- {old}\n+ {new}"))
        .collect();
    assert!(
        committed == table,
        "these lines differ:\n{}\nif they are right, tests/mainnet/documents.tsv must be:\n{table}",
        differ.join("\n")
    );

    let count = |query: &'static str| sqlx::query_scalar::<_, i64>(query).fetch_one(&pool);
    assert_eq!(count("SELECT count(*) FROM chain.logs").await?, 108);
    assert_eq!(count("SELECT count(*) FROM identity.agents").await?, 92);
    assert_eq!(
        count("SELECT count(*) FROM identity.tokens WHERE NOT complete").await?,
        19
    );
    let documents = "SELECT count(DISTINCT uri_hash) FROM identity.documents";
    let without = "SELECT count(*) FROM identity.uris WHERE state IN ('none', 'unavailable')";
    let uris = "SELECT count(*) FROM identity.uris";
    assert_eq!(
        count(documents).await? + count(without).await?,
        count(uris).await?
    );

    let rows: String = sqlx::query_scalar(ROWS).fetch_one(&pool).await?;
    assert_eq!(index(&db, &content).await?, 0, "nothing is new");
    let again: String = sqlx::query_scalar(ROWS).fetch_one(&pool).await?;
    assert_eq!(again, rows);
    Ok(())
}

#[tokio::test]
async fn what_ipfs_gave_while_it_was_online_verifies() {
    let internet = internet(&logs());
    let cids: Vec<String> = internet.cids().into_iter().cloned().collect();
    let dir = tempfile::tempdir().unwrap();
    let content = open_content(internet.serve(), dir.path());
    assert_eq!(cids.len(), 5);
    for cid in cids {
        let fetched = content
            .fetch(format!("https://ipfs.io/ipfs/{cid}").as_bytes())
            .await;
        assert_eq!(
            fetched.verification,
            content::Verification::Verified,
            "{fetched:?}"
        );
        assert_eq!(fetched.cid.as_deref(), Some(cid.as_str()));
    }
}

/// Runs the real binary on the recorded logs and the stand-in, until nothing is left to do.
fn play(place: &Place) -> Instance {
    let up = place.up_with(&["--replay", corpus("mainnet-logs.json").to_str().unwrap()]);
    let done = "SELECT (SELECT count(*) FROM chain.logs) = 108
                   AND NOT EXISTS (SELECT FROM identity.tokens t JOIN identity.uris u ON u.hash = t.uri_hash
                                    WHERE u.state = 'pending')
                   AND NOT EXISTS (SELECT FROM identity.dirty)
                   AND (SELECT count(*) FROM journal.leaves) = (SELECT count(*) FROM journal.entries)
                   AND (SELECT max(size) FROM journal.checkpoints) =
                       (SELECT max(size) FROM journal.publications WHERE state = 'stored')";
    let deadline = Instant::now() + PATIENCE;
    while place.sql(done).as_deref() != Ok("t") {
        assert!(
            Instant::now() < deadline,
            "not done in {PATIENCE:?}:\n{}",
            up.log()
        );
    }
    up
}

#[test]
fn the_real_process_says_the_same_and_a_second_run_adds_nothing() {
    let logs = logs();
    let internet = internet(&logs).serve();
    let place = Place::new("data");
    fs::create_dir(place.dir()).unwrap();
    let config = format!(
        "[net]\negress = \"http://{internet}\"\n[content]\ngateways = [\"http://{internet}\"]\n"
    );
    fs::write(place.dir().join("chancery.toml"), config).unwrap();

    let first = play(&place);
    let (status, body) = first.get("/v1/agents?limit=200");
    assert_eq!(status, 200, "{body}");
    let listed: Value = serde_json::from_str(&body).unwrap();
    let listed = listed["items"].as_array().unwrap();
    assert_eq!(listed.len(), 92);
    assert_eq!(
        listed
            .iter()
            .filter(|agent| agent["complete"] == false)
            .count(),
        19
    );

    // The last log of each token says what stands.
    let table = fs::read_to_string(TABLE).unwrap();
    let expected: BTreeMap<u128, Vec<&str>> = table
        .lines()
        .skip(1)
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .map(|cells| (cells[1].parse().unwrap(), vec![cells[4], cells[5]]))
        .collect();
    let said = place.sql(
        "SELECT string_agg(t.token_id || ' ' || coalesce(d.state, u.state) || ' '
                           || coalesce(d.verification, u.verification, ''), E'\\n' ORDER BY t.token_id)
           FROM identity.tokens t JOIN identity.uris u ON u.hash = t.uri_hash
           LEFT JOIN identity.documents d ON (d.uri_hash, d.version) = (t.uri_hash, t.document_version)",
    );
    let expected: Vec<String> = expected
        .iter()
        .map(|(agent, cells)| format!("{agent} {}", cells.join(" ")))
        .collect();
    assert_eq!(said.unwrap(), expected.join("\n"));

    assert!(first.stop(Signal::SIGTERM).success());
    let counted = |rows: String| -> Vec<String> {
        let counts = rows
            .lines()
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned());
        counts.collect()
    };
    let rows = counted(place.sql(ROWS).unwrap());
    assert!(play(&place).stop(Signal::SIGTERM).success());
    assert_eq!(counted(place.sql(ROWS).unwrap()), rows);
}
