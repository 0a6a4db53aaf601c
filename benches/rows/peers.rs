//! Chancery beside the indexers that people pick today: the same node, the same Postgres, a fresh
//! database for each run, and a check of what each has made. Their projects are in `benches/peers`.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    chancery,
    contender::{Check, Contender, Run, fresh},
    database::{Database, Psql, SETTINGS},
    node::{Node, Truth},
    process::{Place, ROOT, free_address},
    report::Figure,
};

/// Rows that this measurement fills.
pub const VS_PONDER: &str = "backfill_vs_ponder_cached";
/// Rows that this measurement fills.
pub const VS_SUBSQUID: &str = "backfill_vs_subsquid";

/// Why the ratio to Ponder depends on the machine.
const LIMIT: &str = "The limit is Postgres. Chancery is here within a tenth of what the same SQL reaches that is fed from \
    memory (`backfill_vs_sql_ceiling`): four fifths of the time two connections write rows, history and journal, in the \
    last fifth indexes and keys are built and the journal is sealed, on both cores. Ponder writes two tables, so its \
    caches gain more from a faster processor. The goal was set where Ponder 0.17.7 read 15,700 events/s from its caches; \
    `backfill_events_per_s` is more than 4 times that.";

const RUNS: usize = 3;
/// Events of blocks 0 to 9900.
const EVENTS: f64 = 198_020.0;
const OURS: &[&str] = &["--blocks", "9901", "--final-depth", "0"];
const THEIRS: &[&str] = &["--blocks", "10000"];
/// The last block of the workload.
const LAST: u64 = 9_900;

/// Another indexer.
struct Other {
    /// For people.
    name: &'static str,
    /// Its folder in `benches/peers`.
    folder: &'static str,
    /// What `node` runs.
    main: &'static [&'static str],
    /// What `node` runs before on an empty database, to make its tables.
    prepare: Option<&'static str>,
    /// The schema of its tables.
    schema: &'static str,
    /// Whether the last block's rows are there.
    done: &'static str,
}

const PONDER: &[&str] = &[
    "node_modules/ponder/dist/esm/bin/ponder.js",
    "start",
    "--schema",
    "bench",
    "--log-format",
    "json",
];
const PONDER_DONE: &str = "SELECT EXISTS (SELECT FROM bench.transfer WHERE block = 9900)";

const PONDERS: [Other; 2] = [
    Other {
        name: "Ponder 1.0.0",
        folder: "ponder-1.0.0",
        main: PONDER,
        prepare: None,
        schema: "bench",
        done: PONDER_DONE,
    },
    Other {
        name: "Ponder 0.17.7",
        folder: "ponder-0.17.7",
        main: PONDER,
        prepare: None,
        schema: "bench",
        done: PONDER_DONE,
    },
];

const SUBSQUID: Other = Other {
    name: "Subsquid (evm-processor 1.27.3)",
    folder: "subsquid",
    main: &["lib/main.js"],
    prepare: Some("node_modules/@subsquid/typeorm-migration/lib/apply.js"),
    schema: "public",
    done: "SELECT height = 9900 FROM squid_processor.status",
};

/// Where it all happens.
struct Track {
    place: Place,
    database: Database,
    /// Chancery follows to the head: it is the last block of the workload.
    ours: Node,
    /// Peers stop at block 9900 of a chain that goes on, so that nothing of theirs is live.
    theirs: Node,
}

/// The runs of one indexer.
struct Lane {
    name: String,
    runs: Vec<Run>,
}

/// All of them by turns, so that whatever else the machine does hits all of them.
pub fn measure() -> Result<Vec<Figure>> {
    let installed = Command::new(format!("{ROOT}/benches/peers/install")).status()?;
    ensure!(installed.success(), "benches/peers/install failed");
    let track = Track::prepare()?;
    let mut chancery = Lane::new("Chancery");
    let mut cold: Vec<Lane> = Vec::new();
    for ponder in &PONDERS {
        let mut lane = Lane::new(&format!("{}, empty caches", ponder.name));
        track.fill(ponder, &mut lane)?;
        cold.push(lane);
    }
    let mut warm = PONDERS.map(|ponder| Lane::new(&format!("{}, full caches", ponder.name)));
    let mut subsquid = Lane::new(SUBSQUID.name);
    for _ in 0..RUNS {
        chancery.add(chancery::backfill(
            &track.place,
            &track.database,
            &track.ours,
            &[],
        )?);
        for (ponder, lane) in PONDERS.iter().zip(&mut warm) {
            lane.add(track.run(ponder, &cache(ponder))?);
        }
        subsquid.add(track.run(&SUBSQUID, "template0")?);
    }
    track.database.stop()?;
    Ok(figures(&chancery, &warm, &subsquid, &cold))
}

/// The database that keeps what a Ponder remembers of the node's answers.
fn cache(ponder: &Other) -> String {
    format!("cache_{}", ponder.folder.replace(['-', '.'], "_"))
}

impl Track {
    fn prepare() -> Result<Self> {
        let place = Place::new()?;
        std::fs::write(place.file("chancery.toml"), SETTINGS)?;
        let database = Database::ready(&place)?;
        let (ours, theirs) = (Node::start(OURS)?, Node::start(THEIRS)?);
        Ok(Self {
            place,
            database,
            ours,
            theirs,
        })
    }

    /// A backfill from nothing, of which only what it remembers of the node stays.
    fn fill(&self, ponder: &Other, lane: &mut Lane) -> Result<()> {
        let run = self.run(ponder, "template0")?;
        lane.add(run);
        fresh(&self.place, &self.database, &cache(ponder), "run")?;
        let url = self.database.url_of("chancery_owner", &cache(ponder));
        let mut psql = Psql::open(&self.place, Some(&url))?;
        psql.run("DROP SCHEMA bench CASCADE")?;
        psql.close()
    }

    /// One backfill in a fresh database.
    fn run(&self, other: &Other, like: &str) -> Result<Run> {
        let url = fresh(&self.place, &self.database, "run", like)?;
        if let Some(script) = other.prepare {
            let output = self.node_js(other, &url)?.arg(script).output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "{script}: {said}");
        }
        let mut command = self.node_js(other, &url)?;
        command.args(other.main);
        let contender = Contender {
            command,
            url: &url,
            done: other.done,
            checks: &checks(other, &self.theirs.truth(LAST)?),
            log: self.place.file("peer.log"),
        };
        contender
            .run(&self.place, &self.database)
            .with_context(|| other.name)
    }

    /// Node.js in a peer's folder: the one that its lock file brings, else the machine's.
    fn node_js(&self, other: &Other, url: &str) -> Result<Command> {
        let folder = PathBuf::from(ROOT).join("benches/peers").join(other.folder);
        let own = folder.join("node_modules/.bin/node");
        let mut command = Command::new(if own.exists() { own } else { "node".into() });
        let address = free_address()?;
        let (_, port) = address.rsplit_once(':').context("a port")?;
        command
            .current_dir(folder)
            .env("DATABASE_URL", url)
            .env("DB_URL", url)
            .env("RPC_URL", self.theirs.url())
            .env("END_BLOCK", LAST.to_string())
            .env("PORT", port)
            .env("PONDER_TELEMETRY_DISABLED", "true");
        Ok(command)
    }
}

/// What a peer must have made: an agent per line, and a row per event.
fn checks(other: &Other, truth: &Truth) -> [Check; 2] {
    let schema = other.schema;
    let state = format!(
        "SELECT md5(string_agg(concat_ws('|', id, owner, uri, coalesce(key, ''), coalesce(value, '')), E'\\n' ORDER BY id::numeric)) \
         FROM {schema}.agent"
    );
    let events = ["registered", "transfer", "metadata_set", "uri_updated"]
        .map(|table| format!("(SELECT count(*) FROM {schema}.{table})"));
    [
        (state, truth.as_said.clone()),
        (
            format!("SELECT {}", events.join(" + ")),
            truth.events().to_string(),
        ),
    ]
}

impl Lane {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            runs: Vec::new(),
        }
    }

    fn add(&mut self, run: Run) {
        let Run {
            seconds,
            cpu,
            postgres,
            memory,
        } = run;
        println!(
            "  {}: {seconds:.2} s, {cpu:.1} CPU-s, Postgres {postgres:.1} CPU-s, {memory:.0} MB",
            self.name
        );
        self.runs.push(run);
    }

    /// A line of the table: middle runs.
    fn line(&self) -> String {
        let middle = |of: fn(&Run) -> f64| {
            let mut values: Vec<f64> = self.runs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let seconds = middle(|run| run.seconds);
        format!(
            "| {} | {} | {seconds:.2} | {:.0} | {:.1} | {:.1} | {:.0} |",
            self.name,
            self.runs.len(),
            EVENTS / seconds,
            middle(|run| run.cpu),
            middle(|run| run.postgres),
            middle(|run| run.memory),
        )
    }
}

/// How many times faster the first is than the fastest of the others, round by round.
fn ratios(ours: &Lane, others: &[Lane]) -> Vec<f64> {
    let rounds = ours.runs.iter().enumerate();
    let ratio = |(round, our): (usize, &Run)| {
        let theirs = others.iter().map(|lane| lane.runs[round].seconds);
        theirs.fold(f64::INFINITY, f64::min) / our.seconds
    };
    rounds.map(ratio).collect()
}

fn figures(chancery: &Lane, ponders: &[Lane], subsquid: &Lane, cold: &[Lane]) -> Vec<Figure> {
    let lanes = std::iter::once(chancery)
        .chain(ponders)
        .chain([subsquid])
        .chain(cold);
    let table: Vec<String> = lanes.map(Lane::line).collect();
    let table = table.join("\n");
    let told = format!(
        "The standard workload (`benches/replay-rpc`, blocks 0 to 9900: {EVENTS} ERC-8004 events of 39,604 agents) over \
         RPC from the replay server, refusals above 10,000 logs, no latency added, into one Postgres server (fsync on, \
         shared_buffers 512 MB, max_wal_size 4 GB), a fresh database for each run, by turns. Wall time from the start \
         of the process until all rows can be read with all indexes; Postgres' time is the whole cluster's. Medians:\n\n\
         | | runs | wall s | events/s | CPU s | Postgres CPU s | peak RSS MB |\n|---|---|---|---|---|---|---|\n{table}\n\n\
         The final state of every run is right: md5 over the lines `id|owner|uri|key|value` of all agents, and the \
         number of events. Peers write a table per event and one of agents (`benches/peers`); Chancery writes the whole \
         record: status history, identifiers, fetch jobs and the journal."
    );
    vec![
        Figure {
            name: VS_PONDER,
            unit: "times",
            goal: Some(4.0),
            at_least: true,
            peer: None,
            told: format!(
                "Chancery's events/s divided by those of the faster of Ponder 1.0.0 and 0.17.7 in the same round, both \
                 with every answer of the node in their own caches, as when they index again.\n\n{LIMIT}\n\n{told}"
            ),
            runs: ratios(chancery, ponders),
        },
        Figure {
            name: VS_SUBSQUID,
            unit: "times",
            goal: Some(5.0),
            at_least: true,
            peer: None,
            told: format!(
                "Chancery's events/s divided by Subsquid's in the same round, in the runs of `{VS_PONDER}`, where the \
                 table is."
            ),
            runs: ratios(chancery, std::slice::from_ref(subsquid)),
        },
    ]
}
