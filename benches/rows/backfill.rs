//! Chancery's own backfills of the standard workload: as configured by default, with every block
//! proven before it is stored, from a provider that is far away, on a chain where hardly anything
//! happens, and how big the process gets.

use anyhow::Result;

use crate::{
    chancery,
    contender::Run,
    database::{Database, SETTINGS},
    node::Node,
    process::Place,
    report::{Figure, Peer},
};

/// Rows that [`measure`] fills.
pub const EVENTS_PER_S: &str = "backfill_events_per_s";
/// Rows that [`measure`] fills.
pub const PEAK_RSS: &str = "backfill_peak_rss_mb";
/// The row of [`ceiling`].
pub const VS_CEILING: &str = "backfill_vs_sql_ceiling";
/// The row of [`proven`].
pub const PROVEN: &str = "proven_backfill_events_per_s";
/// The row of [`latency`].
pub const LATENCY: &str = "latency_80ms_events_per_s";
/// The row of [`sparse`].
pub const SPARSE: &str = "sparse_proven_blocks_per_s";

const RUNS: usize = 5;
/// Blocks 0 to 9900: everything is final, so that the head of the chain is where the backfill ends.
const WORKLOAD: &[&str] = &["--blocks", "9901", "--final-depth", "0"];
/// Events in them.
const EVENTS: f64 = 198_020.0;
/// Five times as much: whoever keeps it all grows.
const MILLION: &[&str] = &["--blocks", "50000", "--final-depth", "0"];
const SPARSE_CHAIN: &[&str] = &["--blocks", "100000", "--every", "100", "--final-depth", "0"];
const SPARSE_BLOCKS: f64 = 100_000.0;

const HOW: &str = "by `chancery serve --roles index,work` over RPC from the replay server (`benches/replay-rpc`, refusals above \
     10,000 logs), on the private Postgres as `chancery up` starts it with shared_buffers 512 MB and max_wal_size 4 GB \
     (fsync on), into a fresh, migrated database. Wall time from the start of the process until the last block's rows are \
     committed, every index and constraint of the schema holds again and every entry of the journal is under a signed \
     checkpoint; rows, status history, identifiers, fetch jobs and the journal are written and sealed (mirroring goes on behind); only \
     fetching is off (`content.fetch = false`). After each run owner, wallet, URI and metadata of all agents, the number of logs, the fetch jobs and the \
     journal are compared with the truth that the server knows from making the chain.";

/// A place with its Postgres.
struct Track {
    place: Place,
    database: Database,
}

impl Track {
    fn prepare() -> Result<Self> {
        let place = Place::new()?;
        std::fs::write(place.file("chancery.toml"), SETTINGS)?;
        let database = Database::ready(&place)?;
        Ok(Self { place, database })
    }

    /// Backfills of one chain, each into a database of its own.
    fn runs(&self, node: &[&str], settings: &[(&str, &str)], count: usize) -> Result<Vec<Run>> {
        let node = Node::start(node)?;
        let mut runs = Vec::new();
        for _ in 0..count {
            let run = chancery::backfill(&self.place, &self.database, &node, settings)?;
            println!(
                "  {:.2} s, {:.2} CPU-s, Postgres {:.2} CPU-s, {:.0} MB",
                run.seconds, run.cpu, run.postgres, run.memory
            );
            runs.push(run);
        }
        Ok(runs)
    }
}

fn rates(runs: &[Run], count: f64) -> Vec<f64> {
    runs.iter().map(|run| count / run.seconds).collect()
}

/// What one of the runs cost, for the report.
fn spent(runs: &[Run]) -> String {
    let each = |of: fn(&Run) -> f64| {
        let figures: Vec<String> = runs.iter().map(|run| format!("{:.1}", of(run))).collect();
        figures.join(", ")
    };
    format!(
        "Processor seconds of chancery: {}; of Postgres: {}. Peak resident memory of chancery in MB: {}.",
        each(|run| run.cpu),
        each(|run| run.postgres),
        each(|run| run.memory)
    )
}

/// In the default configuration; memory with five times as many events too.
pub fn measure() -> Result<Vec<Figure>> {
    let track = Track::prepare()?;
    let runs = track.runs(WORKLOAD, &[], RUNS)?;
    let million = track.runs(MILLION, &[], 1)?;
    track.database.stop()?;
    let most = |runs: &[Run]| runs.iter().map(|run| run.memory).fold(0.0, f64::max);
    let (memory, of_million) = (most(&runs), most(&million));
    Ok(vec![
        Figure {
            name: EVENTS_PER_S,
            unit: "events/s",
            goal: Some(62_000.0),
            at_least: true,
            peer: Some(Peer {
                name: "rindexer 0.41 with agent table (24.2k of 39.6k rows wrong)",
                value: 26_500.0,
            }),
            told: format!(
                "The standard workload, {EVENTS} ERC-8004 events of 39,604 agents in 9,901 blocks, {HOW} Default \
                 configuration.\n\n{}",
                spent(&runs)
            ),
            runs: rates(&runs, EVENTS),
        },
        Figure {
            name: PEAK_RSS,
            unit: "MB",
            goal: Some(120.0),
            at_least: false,
            peer: Some(Peer {
                name: "SQD (RPC)",
                value: 190.0,
            }),
            told: format!(
                "Peak resident memory of the chancery process (VmHWM), the most of all runs of `{EVENTS_PER_S}` \
                 ({memory:.0} MB) and of one with 1,000,000 events ({of_million:.0} MB); Postgres is not in it."
            ),
            runs: vec![memory.max(of_million)],
        },
    ])
}

/// Against the same engine fed from memory, in turn.
pub fn ceiling() -> Result<Vec<Figure>> {
    let track = Track::prepare()?;
    let node = Node::start(WORKLOAD)?;
    let (mut ratios, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let most = chancery::ceiling(&track.place, &track.database, &node)?;
        let run = chancery::backfill(&track.place, &track.database, &node, &[])?;
        println!("  from memory {most:.2} s, over RPC {:.2} s", run.seconds);
        ratios.push(most / run.seconds);
        ours.push(format!("{:.2}", run.seconds));
        theirs.push(format!("{most:.2}"));
    }
    track.database.stop()?;
    Ok(vec![Figure {
        name: VS_CEILING,
        unit: "of the ceiling",
        goal: Some(0.7),
        at_least: true,
        peer: None,
        told: format!(
            "How close `{EVENTS_PER_S}` comes to what the database and our own folding allow: the same steps, read into \
             memory before the clock starts, by the same engine into the same kind of database \
             (`benches/sql_ceiling.rs`: no process to start, no network, no JSON), until everything is committed, indexed \
             and sealed. Seconds from memory: {}; over RPC: {}.",
            theirs.join(", "),
            ours.join(", ")
        ),
        runs: ratios,
    }])
}

/// With every block proven before it is stored.
pub fn proven() -> Result<Vec<Figure>> {
    let track = Track::prepare()?;
    let runs = track.runs(WORKLOAD, &[chancery::PROVE_FIRST], RUNS)?;
    track.database.stop()?;
    Ok(vec![Figure {
        name: PROVEN,
        unit: "events/s",
        goal: Some(45_000.0),
        at_least: true,
        peer: None,
        told: format!(
            "As `{EVENTS_PER_S}`, with `indexer.prove = \"first\"`: the header of every block is hashed and chained, and \
             the receipts' root of every block with events is recomputed from all its receipts before anything of \
             it is stored. At the end every block is proven. The standard workload {HOW}\n\n{}",
            spent(&runs)
        ),
        runs: rates(&runs, EVENTS),
    }])
}

/// From a provider that is far away.
pub fn latency() -> Result<Vec<Figure>> {
    let track = Track::prepare()?;
    let far = [WORKLOAD, &["--latency-ms", "80"]].concat();
    let runs = track.runs(&far, &[], RUNS)?;
    track.database.stop()?;
    Ok(vec![Figure {
        name: LATENCY,
        unit: "events/s",
        goal: Some(50_000.0),
        at_least: true,
        peer: Some(Peer {
            name: "rindexer 0.41 with agent table (24.2k of 39.6k rows wrong)",
            value: 25_300.0,
        }),
        told: format!(
            "As `{EVENTS_PER_S}`, with 80 ms added to each answer of the server. The standard workload {HOW}\n\n{}",
            spent(&runs)
        ),
        runs: rates(&runs, EVENTS),
    }])
}

/// On a chain where hardly anything happens.
pub fn sparse() -> Result<Vec<Figure>> {
    let track = Track::prepare()?;
    let runs = track.runs(SPARSE_CHAIN, &[chancery::PROVE_FIRST], RUNS)?;
    track.database.stop()?;
    Ok(vec![Figure {
        name: SPARSE,
        unit: "blocks/s",
        goal: Some(20_000.0),
        at_least: true,
        peer: None,
        told: format!(
            "100,000 blocks of which every 100th has 20 events, all proven (`indexer.prove = \"first\"`): of the others \
             the bloom in the hashed header proves that there is nothing. The workload {HOW}\n\n{}",
            spent(&runs)
        ),
        runs: rates(&runs, SPARSE_BLOCKS),
    }])
}
