//! The journal simulated: made-up worlds, one for each seed, in which several processes append, commit late or never,
//! race, seal, follow and read, and are killed at each of their writes, with clocks that jump and connections that
//! break. Every world is held against a pure oracle (`oracle`): no acknowledged entry is lost, none is there twice,
//! their order never changes for any reader, proofs of every earlier checkpoint verify against every later one, and
//! no size has two checkpoints.
//!
//! A seed decides what happens and in which order; `schedule` is where to begin reading, and `happenings` lists all
//! there is and counts that it happened. What a seed does not decide: worlds share a server, whose transactions
//! have one order, so a sealer may take a little longer to forget what it need not look at again.
//!
//! `make test` runs 300 seeds, `make soak` 10,000; Postgres itself is killed in a fiftieth as many worlds after them.
//! A failing seed is printed with its story and the command that runs it again:
//! `SEED=123 scripts/test -p journal --test simulation what_is_committed_stays_in_its_place -- --nocapture`.

mod database;
#[path = "../../../../indexer/tests/simulation/dice.rs"]
mod dice;
mod follow;
mod happenings;
mod oracle;
mod process;
mod read;
mod schedule;
mod seal;
mod world;
mod write;

use std::{
    str::FromStr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::FutureExt as _;
use sqlx::postgres::PgConnectOptions;

use self::{
    database::Database,
    dice::Dice,
    happenings::{HAPPENINGS, Tally},
    world::{Verdict, World},
};

/// Seeds of a run that names no number.
const SEEDS: u64 = 300;

/// So many seeds may fail before a run gives up.
const ENOUGH: usize = 10;

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
    /// SQL that breaks a rule of the journal.
    broken: &'static str,
}

/// Seeds that failed, with their stories, and what happened in all.
#[derive(Default)]
struct Outcome {
    failed: Vec<(u64, String)>,
    tally: Tally,
}

/// Several workers, because worlds wait more than they work.
fn simulate(run: Run) -> Outcome {
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let workers = if run.crashes {
        1
    } else {
        number("WORKERS").unwrap_or(cores * 4)
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

/// One worker: its database is made once and used for all its seeds.
async fn worker(run: Run, number: u64, next: &AtomicU64) -> Outcome {
    let name = format!("journal_simulation_{}_{number}", std::process::id());
    let cluster = cluster();
    let mut database = Database::new(&cluster, &name, run.broken).await;
    let mut outcome = Outcome::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= run.first + run.count || outcome.failed.len() > ENOUGH {
            break;
        }
        let one = std::panic::AssertUnwindSafe(Box::pin(world(run, database, seed)));
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
                database = Database::new(&cluster, &name, run.broken).await;
            }
        }
    }
    database.drop().await;
    outcome
}

/// Runs one seed; gives the database back for the next one, and what happened.
async fn world(run: Run, database: Database, seed: u64) -> (Database, Tally, Result<(), String>) {
    let mut world = World::new(database, run.crashes).await;
    world.loud = run.count == 1;
    let mut verdict = Ok(());
    for number in 0..schedule::STEPS {
        let mut dice = Dice::new((seed << 16) ^ (number + 1));
        verdict = patiently(Box::pin(schedule::step(&mut world, number, &mut dice))).await;
        if verdict.is_err() {
            break;
        }
    }
    if verdict.is_ok() {
        let mut dice = Dice::new(seed);
        verdict = patiently(Box::pin(schedule::end(&mut world, &mut dice))).await;
    }
    let story = world.trace.join("\n");
    let (database, tally) = world.close().await;
    let verdict = verdict.map_err(|what| format!("{story}\n{what}"));
    (database, tally, verdict)
}

/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_mins(1);

async fn patiently(step: impl Future<Output = Verdict>) -> Verdict {
    let done = tokio::time::timeout(PATIENCE, step).await;
    done.unwrap_or_else(|_| Err("it hangs".to_owned()))
}

const TEST: &str = "what_is_committed_stays_in_its_place";

/// The command that runs a seed again.
fn again(seed: u64, crashes: bool) -> String {
    let crashes = if crashes { "CRASHES=1 " } else { "" };
    format!("{crashes}SEED={seed} scripts/test -p journal --test simulation {TEST} -- --nocapture")
}

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
fn what_is_committed_stays_in_its_place() {
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
    for (what, made) in HAPPENINGS {
        let times = outcome.tally.0.get(what).copied().unwrap_or_default();
        eprintln!("{times:>8} {what} ({made})");
    }
    // Fewer seeds than usual need not show everything.
    if worlds.count >= SEEDS {
        let missing = outcome.tally.missing();
        assert!(missing.is_empty(), "never happened: {missing:?}");
    }
}

/// Rules of the journal, each broken where what it does reaches the database.
const BROKEN: [(&str, &str); 7] = [
    (
        "nothing tells two seals at one head apart",
        "ALTER TABLE journal.leaves DROP CONSTRAINT leaves_pkey, DROP CONSTRAINT leaves_entry_unique;
         ALTER TABLE journal.publications DROP CONSTRAINT publications_size_fkey;
         ALTER TABLE journal.checkpoints DROP CONSTRAINT checkpoints_prev_size_fkey,
            DROP CONSTRAINT checkpoints_pkey, DROP CONSTRAINT checkpoints_prev_unique;
         ALTER TABLE journal.tiles DROP CONSTRAINT tiles_pkey",
    ),
    (
        "an entry's transaction looks like an earlier one's",
        "CREATE FUNCTION sim.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             NEW.xid := ((NEW.xid::text::bigint - 40)::text)::xid8; RETURN NEW; END $$;
         CREATE TRIGGER broken BEFORE INSERT ON journal.entries FOR EACH ROW EXECUTE FUNCTION sim.broken()",
    ),
    (
        "two entries follow one",
        "ALTER TABLE journal.entries DROP CONSTRAINT entries_chain_unique",
    ),
    (
        "checkpoints are signed earlier than the ones before",
        "CREATE FUNCTION sim.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             NEW.signed_at := NEW.signed_at - make_interval(mins => (NEW.size % 7)::int); RETURN NEW; END $$;
         CREATE TRIGGER broken BEFORE INSERT ON journal.checkpoints FOR EACH ROW EXECUTE FUNCTION sim.broken()",
    ),
    (
        "a bit of a tile is another one",
        "CREATE FUNCTION sim.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             NEW.hashes := set_bit(NEW.hashes, 77, 1 - get_bit(NEW.hashes, 77)); RETURN NEW; END $$;
         CREATE TRIGGER broken BEFORE INSERT ON journal.tiles FOR EACH ROW EXECUTE FUNCTION sim.broken()",
    ),
    (
        "a leaf is dropped without a word",
        "CREATE FUNCTION sim.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER broken BEFORE INSERT ON journal.leaves
             FOR EACH ROW WHEN (NEW.leaf_index % 50 = 49) EXECUTE FUNCTION sim.broken()",
    ),
    (
        "a follower's cursor stays a step behind",
        "CREATE FUNCTION sim.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             NEW.position := NEW.position - 1; RETURN NEW; END $$;
         CREATE TRIGGER broken BEFORE UPDATE ON store.cursors FOR EACH ROW EXECUTE FUNCTION sim.broken()",
    ),
];

#[test]
fn a_broken_rule_does_not_go_unnoticed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (rule, broken) in BROKEN {
        let run = Run {
            first: 0,
            count: 6,
            crashes: false,
            broken,
        };
        let outcome = simulate(run);
        assert!(!outcome.failed.is_empty(), "{rule}: no seed found it");
        for (seed, what) in &outcome.failed {
            let last = what.lines().last().unwrap_or_default();
            let last: String = last.chars().take(200).collect();
            eprintln!("{rule}: seed {seed}: {last}");
        }
    }
}
