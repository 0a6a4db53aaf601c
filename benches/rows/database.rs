//! Postgres for a measurement, asked through `chancery psql`.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, ChildStdout, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use store::{Clock, Db, PoolConfig, SslMode};

use crate::{
    process::{Place, Running},
    tree,
};

/// Server settings under which peers were measured too.
pub const SETTINGS: &str =
    "[postgres]\nsettings = { shared_buffers = \"512MB\", max_wal_size = \"4GB\" }\n";

/// Server settings where a million agents are read and written: they fit into a sixth of the machine's memory, and there
/// is no checkpoint every few seconds, after each of which every page of every index is written whole once more.
pub const SETTINGS_OF_MILLION: &str =
    "[postgres]\nsettings = { shared_buffers = \"4GB\", max_wal_size = \"16GB\" }\n";

/// Everything that follows the journal has been through a million entries by then.
const PATIENCE: Duration = Duration::from_mins(20);

/// The database behind a URL, in this process.
pub async fn connect(url: &str) -> Result<Db> {
    let config = PoolConfig {
        sslmode: SslMode::Disable,
        ..PoolConfig::default()
    };
    Ok(Db::connect(url, &config, Clock::System).await?)
}

/// A psql that stays open.
pub struct Psql {
    // Dropped first: psql ends with its input.
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    running: Running,
}

impl Psql {
    /// Opens the database of a place's private Postgres, which runs as long as this does; with a URL,
    /// that database.
    pub fn open(place: &Place, url: Option<&str>) -> Result<Self> {
        let mut command = place.chancery(&["psql", "--"]);
        command
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"])
            .env("CHANCERY__LOG__LEVEL", "warn")
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(url) = url {
            command.env("CHANCERY__DATABASE__URL", url);
        }
        let mut running = Running::start(&mut command)?;
        let mut psql = Self {
            input: running.stdin()?,
            output: BufReader::new(running.stdout()?),
            running,
        };
        ensure!(psql.ask("SELECT 'ready'")? == "ready");
        Ok(psql)
    }

    /// The one value that SQL gives.
    pub fn ask(&mut self, sql: &str) -> Result<String> {
        // Answers come line by line.
        writeln!(self.input, "{sql};")?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure!(!line.is_empty(), "psql ended at: {sql}");
        Ok(line.trim().to_owned())
    }

    /// Runs SQL that gives nothing.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        writeln!(self.input, "{sql};")?;
        ensure!(self.ask("SELECT 'done'")? == "done", "in the way: {sql}");
        Ok(())
    }

    /// Waits until all that the journal has now is sealed, published and laid out, by whoever serves.
    pub fn until_published(&mut self) -> Result<()> {
        let entries = self.ask("SELECT count(*) FROM journal.entries")?;
        let behind = format!(
            "SELECT count(*) FROM unnest(ARRAY['journal/publish', 'journal/layout']) AS follower(name)
               LEFT JOIN store.cursors USING (name) WHERE coalesce(position, 0) < {entries}"
        );
        let began = Instant::now();
        while self.ask(&behind)? != "0" {
            ensure!(
                began.elapsed() < PATIENCE,
                "{entries} entries are never published"
            );
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Closes it.
    pub fn close(self) -> Result<()> {
        drop(self.input);
        ensure!(self.running.wait()?.success(), "psql failed");
        Ok(())
    }
}

/// The private Postgres of a place, ready, without anything else of ours: `chancery psql` runs it as
/// `chancery up` does, for as long as psql is open.
pub struct Database {
    psql: Psql,
    postmaster: u32,
    socket: String,
}

impl Database {
    /// Makes the cluster, migrates it, and keeps it running.
    pub fn ready(place: &Place) -> Result<Self> {
        place.run(&["migrate", "up"])?;
        let psql = Psql::open(place, None)?;
        let pid_file = place.file("data").join("postgres/data/postmaster.pid");
        let pid_file = fs::read_to_string(pid_file)?;
        let lines: Vec<&str> = pid_file.lines().map(str::trim).collect();
        let [pid, _, _, _, socket, ..] = lines[..] else {
            anyhow::bail!("a short postmaster.pid");
        };
        Ok(Self {
            psql,
            postmaster: pid.parse()?,
            socket: socket.to_owned(),
        })
    }

    /// The one value that SQL gives in Chancery's own database, as its owner.
    pub fn ask(&mut self, sql: &str) -> Result<String> {
        self.psql.ask(sql)
    }

    /// Waits until all that the journal has now is published.
    pub fn until_published(&mut self) -> Result<()> {
        self.psql.until_published()
    }

    /// The URL of the application's role.
    pub fn url(&self) -> String {
        self.url_of("chancery_app", "chancery")
    }

    /// The URL of a role and a database; the role `postgres` may do everything.
    pub fn url_of(&self, role: &str, database: &str) -> String {
        let folder = self.socket.replace('/', "%2F");
        format!("postgres://{role}@localhost:5432/{database}?host={folder}&sslmode=disable")
    }

    /// Processor time of the whole cluster so far, in seconds.
    pub fn cpu(&self) -> Result<f64> {
        Ok(tree::used(self.postmaster)?.cpu)
    }

    /// Kills all its processes, as a crash would. Who runs it starts it again, at the same socket; nothing is asked
    /// of this any more.
    pub fn kill(&self) -> Result<()> {
        for pid in tree::below(self.postmaster)? {
            // One may have ended with the one before.
            let _ = kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL);
        }
        Ok(())
    }

    /// Stops it.
    pub fn stop(self) -> Result<()> {
        self.psql.close()
    }
}
