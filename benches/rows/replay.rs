//! A recorded file into Postgres: how fast, and how big the process gets.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    database::Database,
    process::{Place, Running},
    report::{Figure, Peer},
    workload::{Workload, workload},
};

/// Rows that this measurement fills.
pub const EVENTS_PER_S: &str = "replay_file_events_per_s";
/// Rows that this measurement fills.
pub const PEAK_RSS: &str = "replay_file_peak_rss_mb";

const EVENTS: u64 = 20_000;
const SEED: u64 = 8004;
const RUNS: usize = 7;

/// What one run came to.
struct Run {
    events_per_s: f64,
    peak_mb: f64,
}

/// Every run has a database of its own.
pub fn measure() -> Result<Vec<Figure>> {
    let workload = workload(EVENTS, SEED);
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.push(run(&workload)?);
    }
    Ok(figures(&runs, &workload))
}

fn run(workload: &Workload) -> Result<Run> {
    let place = Place::new()?;
    let file = place.file("recorded.json");
    fs::write(&file, &workload.file)?;
    let mut database = Database::ready(&place)?;
    let before = database.cpu()?;
    let file = file.to_str().context("a path in UTF-8")?;
    let mut command = place.chancery(&["serve", "--roles", "index", "--replay", file]);
    command
        .env("CHANCERY__DATABASE__URL", database.url())
        .stderr(fs::File::create(place.file("log"))?);
    let mut serve = Running::start(&mut command)?;
    let (logs, events_per_s) = wait_for_end(&mut serve, &place.file("log"))?;
    let peak = serve.peak_memory()?;
    let (ours, theirs) = (serve.cpu()?, database.cpu()? - before);
    ensure!(serve.stop()?.success(), "serve failed");
    ensure!(logs == EVENTS, "{logs} logs were indexed");
    check(&mut database, workload)?;
    database.stop()?;
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let peak_mb = peak as f64 / 1e6;
    println!(
        "  {events_per_s:.0} events/s, {peak_mb:.1} MB, chancery {ours:.2} CPU-s, Postgres {theirs:.2} CPU-s"
    );
    Ok(Run {
        events_per_s,
        peak_mb,
    })
}

/// Reads the log until it says that the file has ended: logs, and logs per second.
fn wait_for_end(serve: &mut Running, log: &Path) -> Result<(u64, f64)> {
    loop {
        let is_alive = serve.is_alive();
        let text = fs::read_to_string(log)?;
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            if let (Some(logs), Some(seconds)) = (event["logs"].as_u64(), event["seconds"].as_f64())
            {
                #[expect(clippy::cast_precision_loss, reason = "thousands")]
                return Ok((logs, logs as f64 / seconds));
            }
        }
        if !is_alive {
            bail!("serve ended before the file did:\n{text}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fast and wrong would be no figure.
fn check(database: &mut Database, workload: &Workload) -> Result<()> {
    let state = database.ask(
        "SELECT encode(sha256(convert_to(string_agg(concat_ws('|', token_id, encode(owner, 'hex'), uri), \
         E'\\n' ORDER BY token_id), 'UTF8')), 'hex') FROM identity.v_tokens",
    )?;
    ensure!(state == workload.state, "owners or URIs are wrong");
    let agents = database.ask("SELECT count(*) FROM agents")?;
    ensure!(agents == workload.agents.to_string(), "{agents} agents");
    let uris = database.ask("SELECT count(*) FROM identity.uris")?;
    ensure!(uris == workload.uris.to_string(), "{uris} URIs");
    // Whether everybody's current URI will be fetched.
    let jobs = "SELECT count(*) FROM identity.v_tokens t JOIN store.jobs j \
                ON j.kind = 'fetch' AND j.key = encode(t.uri_hash, 'hex')";
    let jobs = database.ask(jobs)?;
    ensure!(jobs == agents, "{jobs} jobs");
    let silent = "SELECT count(*) FROM agents a WHERE NOT EXISTS \
                  (SELECT FROM journal.said s WHERE s.agent_id = a.id)";
    let silent = database.ask(silent)?;
    ensure!(silent == "0", "the journal says nothing of {silent} agents");
    Ok(())
}

fn figures(runs: &[Run], workload: &Workload) -> Vec<Figure> {
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let size = workload.file.len() as f64 / 1e6;
    let told = format!(
        "{EVENTS} ERC-8004 events ({} agents, {size:.1} MB of JSON, seed {SEED}; the cycle of `benches/rows/workload.rs`) \
         from a recorded file into the private Postgres, as `chancery up` starts it (fsync on, no setting changed), by \
         `chancery serve --roles index --replay FILE` on a ready, empty database. From the first read of the file to the \
         last commit, as the process's own log says it. Rows, status history, identifiers, fetch jobs and the journal \
         (append and settle) are written; sealing, publishing and fetching are the role `work` and are not running. \
         After each run owners and URIs of all agents, the fetch jobs and the journal are compared with the truth.",
        workload.agents,
    );
    let elsewhere = "Measured on another machine of 2 cores, over RPC from a local server, on 198,020 events of the \
                     same cycle, without journal, identifiers and history: only roughly comparable.";
    vec![
        Figure {
            name: EVENTS_PER_S,
            unit: "events/s",
            goal: Some(10_000.0),
            at_least: true,
            peer: Some(Peer {
                name: "rindexer 0.41 with agent table (24.2k of 39.6k rows wrong)",
                value: 26_500.0,
            }),
            told: format!(
                "{told}\n\nPeers: rindexer 0.41 with an agent table 26.5k (24.2k of its 39.6k rows were wrong), \
                 SQD 11k, Ponder 1.0.0 7.1k. {elsewhere}"
            ),
            runs: runs.iter().map(|run| run.events_per_s).collect(),
        },
        Figure {
            name: PEAK_RSS,
            unit: "MB",
            goal: Some(200.0),
            at_least: false,
            peer: Some(Peer {
                name: "SQD (RPC)",
                value: 190.0,
            }),
            told: format!(
                "Peak resident memory of the chancery process (VmHWM) in the runs of `{EVENTS_PER_S}`; Postgres is not \
                 in it.\n\nPeers: SQD 190 MB, rindexer with an agent table 553-632 MB, Ponder 1.0.0 996 MB. {elsewhere}"
            ),
            runs: runs.iter().map(|run| run.peak_mb).collect(),
        },
    ]
}
