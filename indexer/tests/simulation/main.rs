//! The simulation: made-up worlds, one for each seed, in which chains fork, providers lie, people write
//! SQL and sign statements, agents beat, contracts of VEXEL's speak, and the real follower, projection, prover and journal are killed and go on. The contracts are
//! simulated (`contract`), and what their storage holds in the end is what the rows must say (`oracle`):
//! nothing there folds events by the engine's own rules. What happens is decided by `schedule`, which also says
//! which steps make the sequences of `model.md` §7; `faults` lists all that goes wrong and all that is said, where that
//! is made, and counts that it was.
//!
//! A seed decides the chains, the faults, where a process is killed (at which request, statement or commit)
//! and what people do. It does not decide everything: which of two sockets is read first, and which of two
//! connections Postgres serves first, is the machine's; how healthy a provider is, how wide its ranges are and
//! how long it rests after a failure hangs on real time. So a seed that failed may need several runs until it
//! fails again, the more so where nodes fail or two processes race; its story tells what happened.
//!
//! `make test` runs 300 seeds, `make soak` 10,000 (`SEEDS=500 make soak`); Postgres itself is killed in a
//! fiftieth as many worlds after them. A failing seed is printed with its story and the command that runs it again:
//! `SEED=123 scripts/test -p indexer --test simulation rows_are_the_contracts_state_in_every_world -- --nocapture`.

#[allow(dead_code, unused_imports)] // The other tests use what this one does not.
#[path = "../kit/mod.rs"]
mod kit;

mod check;
mod contract;
mod database;
mod dice;
mod engine;
mod facts;
mod faults;
mod ledger;
mod oracle;
mod person;
mod schedule;
mod signer;
mod storage;
mod traffic;
mod vexel;
mod words;
mod world;

use std::{
    str::FromStr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use futures::FutureExt as _;
use sqlx::postgres::PgConnectOptions;

use self::{
    database::Database,
    dice::Dice,
    faults::{Tally, all},
    kit::Fresh,
    world::World,
};

/// Seeds of a run that names no number.
const SEEDS: u64 = 300;

#[expect(clippy::disallowed_methods, reason = "how many, is said from outside")]
fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[expect(clippy::disallowed_methods, reason = "as sqlx::test does")]
fn cluster() -> PgConnectOptions {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL names a Postgres");
    PgConnectOptions::from_str(&url).expect("a URL")
}

/// One run: which seeds, and in what worlds.
#[derive(Clone, Copy)]
struct Run {
    first: u64,
    count: u64,
    /// Postgres itself is killed: nobody else may use it.
    crashes: bool,
    /// SQL that breaks a rule of the engine.
    broken: &'static str,
}

/// Seeds that failed, with their stories, and what happened in all.
#[derive(Default)]
struct Outcome {
    failed: Vec<(u64, String)>,
    tally: Tally,
}

/// One worker: its databases are made once and used for all its seeds.
struct Worker {
    run: Run,
    fresh: Fresh,
}

impl Worker {
    async fn new(run: Run, name: &str) -> (Self, Database) {
        let database = Self::database(run, name).await;
        let world = kit::World::new(database.pool.clone());
        let fresh = Fresh::new(&world).await;
        (Self { run, fresh }, database)
    }

    async fn database(run: Run, name: &str) -> Database {
        let database = Database::new(&cluster(), name).await;
        let broken = sqlx::raw_sql(run.broken).execute(&database.pool);
        broken.await.expect("SQL");
        database
    }

    /// Runs one seed; gives the database back for the next one, and what happened.
    async fn seed(&self, database: Database, seed: u64) -> (Database, Tally, Result<(), String>) {
        let mut dice = Dice::new(seed);
        let mut world = World::new(database, &mut dice).await;
        world.crashes = self.run.crashes;
        let mut verdict = Ok(());
        for number in 0..schedule::STEPS {
            let mut dice = Dice::new((seed << 16) ^ (number + 1));
            verdict = Box::pin(schedule::step(&mut world, number, &mut dice)).await;
            if verdict.is_err() {
                break;
            }
        }
        if verdict.is_ok() {
            verdict = Box::pin(world.end(&self.fresh, &mut dice)).await;
        }
        let story = world.trace.join("\n");
        if self.run.count == 1 {
            eprintln!("{story}");
        }
        let (database, tally) = world.close().await;
        (
            database,
            tally,
            verdict.map_err(|what| format!("{story}\n{what}")),
        )
    }

    async fn drop(self, database: Database) {
        let world = kit::World::new(database.pool.clone());
        self.fresh.drop(&world).await;
        database.drop().await;
    }
}

/// So many seeds may fail before a run gives up.
const ENOUGH: usize = 20;

/// Several workers, because worlds wait more than they work.
fn simulate(run: Run) -> Outcome {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let workers = if run.crashes {
        1
    } else {
        number("WORKERS").unwrap_or(cores * 3)
    };
    let next = AtomicU64::new(run.first);
    std::thread::scope(|scope| {
        let next = &next;
        let work = |number: u64| {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(Box::pin(worker(run, number, next)))
            })
        };
        let workers: Vec<_> = (0..workers.min(run.count)).map(work).collect();
        let mut outcome = Outcome::default();
        for worker in workers {
            let one = worker.join().expect("a worker");
            outcome.failed.extend(one.failed);
            outcome.tally.add(one.tally);
        }
        outcome.failed.sort();
        outcome
    })
}

async fn worker(run: Run, number: u64, next: &AtomicU64) -> Outcome {
    let name = format!("simulation_{}_{number}", std::process::id());
    let (worker, mut database) = Worker::new(run, &name).await;
    let mut outcome = Outcome::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= run.first + run.count || outcome.failed.len() > ENOUGH {
            break;
        }
        let one = std::panic::AssertUnwindSafe(Box::pin(worker.seed(database, seed)));
        match one.catch_unwind().await {
            Ok((back, tally, verdict)) => {
                database = back;
                outcome.tally.add(tally);
                outcome
                    .failed
                    .extend(verdict.err().map(|what| (seed, what)));
            }
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                let what = format!("it panicked: {}", text.unwrap_or_default());
                outcome.failed.push((seed, what));
                database = Worker::database(run, &name).await;
            }
        }
    }
    worker.drop(database).await;
    outcome
}

/// The command that runs a seed again.
fn again(seed: u64, crashes: bool) -> String {
    let crashes = if crashes { "CRASHES=1 " } else { "" };
    format!("{crashes}SEED={seed} scripts/test -p indexer --test simulation {TEST} -- --nocapture")
}
const TEST: &str = "rows_are_the_contracts_state_in_every_world";

/// Longer lines than this are cut in a story.
const LINE: usize = 600;

#[track_caller]
fn judge(outcome: &Outcome, crashes: bool) {
    for (seed, what) in &outcome.failed {
        let line = |line: &str| line.chars().take(LINE).collect::<String>();
        let lines: Vec<String> = what.lines().map(line).collect();
        eprintln!("---- seed {seed}\n{}\n", lines.join("\n"));
    }
    for (seed, _) in &outcome.failed {
        eprintln!("seed {seed} failed; again: {}", again(*seed, crashes));
    }
    let seeds: Vec<u64> = outcome.failed.iter().map(|(seed, _)| *seed).collect();
    assert!(seeds.is_empty(), "seeds that failed: {seeds:?}");
}

/// The tests of this file follow each other: one of them kills Postgres.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn rows_are_the_contracts_state_in_every_world() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let began = Instant::now();
    let worlds = Run {
        first: number("FROM").unwrap_or(0),
        count: number("SEEDS").unwrap_or(SEEDS),
        crashes: false,
        broken: "",
    };
    if let Some(seed) = number("SEED") {
        let crashes = number("CRASHES").is_some();
        let one = Run {
            first: seed,
            count: 1,
            crashes,
            ..worlds
        };
        return judge(&simulate(one), crashes);
    }
    let mut outcome = simulate(worlds);
    judge(&outcome, false);
    let crashing = Run {
        count: worlds.count.div_ceil(50),
        crashes: true,
        ..worlds
    };
    let crashed = simulate(crashing);
    judge(&crashed, true);
    outcome.tally.add(crashed.tally);
    eprintln!("{} seeds in {:.0?}", worlds.count, began.elapsed());
    for (what, made) in all() {
        let times = outcome.tally.0.get(what).copied().unwrap_or_default();
        eprintln!("{times:>8} {what} ({made})");
    }
    // Fewer seeds than usual need not show everything.
    if worlds.count >= SEEDS {
        let missing = outcome.tally.missing();
        assert!(missing.is_empty(), "what never happened: {missing:?}");
    }
}

/// Rules of the engine, each broken where what it does reaches the database.
const BROKEN: [(&str, &str); 4] = [
    (
        "a transfer does not clear the wallet",
        "CREATE FUNCTION sim.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             NEW.wallet := coalesce(NEW.wallet, OLD.wallet); RETURN NEW; END $$;
         CREATE TRIGGER broken BEFORE UPDATE ON identity.tokens
             FOR EACH ROW WHEN (NEW.owner IS DISTINCT FROM OLD.owner) EXECUTE FUNCTION sim.broken()",
    ),
    (
        "a log is dropped without a word",
        "CREATE FUNCTION sim.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER broken BEFORE INSERT ON chain.logs
             FOR EACH ROW WHEN (NEW.log_index % 7 = 3) EXECUTE FUNCTION sim.broken()",
    ),
    (
        "a reorg leaves a log where it was",
        "CREATE FUNCTION sim.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER broken BEFORE DELETE ON chain.logs
             FOR EACH ROW WHEN (OLD.log_index = 2) EXECUTE FUNCTION sim.broken()",
    ),
    (
        "an entry of the journal is not what was said",
        "CREATE FUNCTION sim.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER broken BEFORE INSERT ON journal.said
             FOR EACH ROW WHEN (NEW.entry_seq % 9 = 4) EXECUTE FUNCTION sim.broken()",
    ),
];

#[test]
fn a_broken_rule_does_not_go_unnoticed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (rule, broken) in BROKEN {
        let run = Run {
            first: 0,
            count: 12,
            crashes: false,
            broken,
        };
        let outcome = simulate(run);
        assert!(!outcome.failed.is_empty(), "{rule}: no seed found it");
        for (seed, what) in &outcome.failed {
            let last: String = what
                .lines()
                .last()
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect();
            eprintln!("{rule}: seed {seed}: {last}");
        }
    }
}
