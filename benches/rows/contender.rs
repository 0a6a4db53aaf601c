//! One backfill of the standard workload by one indexer, into a database of its own.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};

use crate::{
    database::{Database, Psql},
    process::{Place, Running},
    tree,
};

/// How often a database is asked whether everything is in it: with an index or one row, so that
/// asking costs nothing.
const LOOK: Duration = Duration::from_millis(20);

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(250);

/// The slowest peer needs three minutes with empty caches.
const PATIENCE: Duration = Duration::from_mins(15);

/// What one backfill took.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// From the start of the process until every row can be read.
    pub seconds: f64,
    /// Processor time of the process with its children, in seconds.
    pub cpu: f64,
    /// Processor time of Postgres meanwhile, our asking included.
    pub postgres: f64,
    /// Peak resident memory, in megabytes.
    pub memory: f64,
}

/// A question to the database, and the answer that is right.
pub type Check = (String, String);

/// An indexer's process, and how to see that it is done.
pub struct Contender<'a> {
    /// What starts it.
    pub command: Command,
    /// Its database.
    pub url: &'a str,
    /// SQL that gives `t` once the last block's rows are there; the tables may not be there yet.
    pub done: &'a str,
    /// The final state.
    pub checks: &'a [Check],
    /// Where it writes what it says.
    pub log: PathBuf,
}

impl Contender<'_> {
    /// Runs it until it is done, checks what it made, and stops it.
    pub fn run(mut self, place: &Place, database: &Database) -> Result<Run> {
        let mut psql = Psql::open(place, Some(self.url))?;
        // A table that is not there yet is no answer.
        psql.run(
            "CREATE FUNCTION pg_temp.holds(question text) RETURNS boolean LANGUAGE plpgsql AS $$ \
             DECLARE answer boolean; \
             BEGIN EXECUTE question INTO answer; RETURN coalesce(answer, false); \
             EXCEPTION WHEN undefined_table OR invalid_schema_name THEN RETURN false; END $$",
        )?;
        let question = format!("SELECT pg_temp.holds($$ {} $$)", self.done);
        let log = std::fs::File::create(&self.log)?;
        self.command.stdout(log.try_clone()?).stderr(log);
        let postgres = database.cpu()?;
        let began = Instant::now();
        let running = Running::start(&mut self.command)?;
        let mut memory = 0;
        let mut sampled = began;
        loop {
            // Some end by themselves when they are done: seen before the question, not after it. It
            // is not waited for, since what it used would be gone with it.
            let has_ended = tree::has_ended(running.id());
            if psql.ask(&question)? == "t" {
                break;
            }
            if has_ended || began.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(&self.log)?;
                bail!("it did not finish: {:?}\n{said}", self.command);
            }
            if sampled.elapsed() > SAMPLE {
                sampled = Instant::now();
                memory = memory.max(tree::used(running.id())?.memory);
            }
            std::thread::sleep(LOOK);
        }
        let seconds = began.elapsed().as_secs_f64();
        let used = tree::used(running.id())?;
        // What the system saw of the process itself is never less than what we happened to look at; one
        // that has ended shows nothing.
        let peak = running.peak_memory().unwrap_or_default();
        let postgres = database.cpu()? - postgres;
        for (question, right) in self.checks {
            let answer = psql.ask(question)?;
            ensure!(answer == *right, "{question}\ngives {answer}, not {right}");
        }
        // How it ends is not what is measured.
        running.stop()?;
        psql.close()?;
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let memory = memory.max(used.memory).max(peak) as f64 / 1e6;
        let cpu = used.cpu;
        Ok(Run {
            seconds,
            cpu,
            postgres,
            memory,
        })
    }
}

/// Makes a database anew, owned by Chancery's owner role: empty, or a copy of another one.
pub fn fresh(place: &Place, database: &Database, name: &str, like: &str) -> Result<String> {
    let mut psql = Psql::open(place, Some(&database.url_of("postgres", "postgres")))?;
    psql.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))?;
    let owner = "OWNER chancery_owner STRATEGY file_copy";
    psql.run(&format!("CREATE DATABASE {name} TEMPLATE {like} {owner}"))?;
    // What others left to be written is not this one's work.
    psql.run("CHECKPOINT")?;
    psql.close()?;
    Ok(database.url_of("chancery_owner", name))
}
