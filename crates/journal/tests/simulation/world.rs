//! A world: one database, some processes, and what must be true of it.

use std::future::Future;

use chrono::{DateTime, TimeDelta, Utc};
use journal::{follow, log};
use kernel::AgentId;
use store::{Clock, Db};
use tokio::task::JoinHandle;

use super::{
    database::Database,
    dice::Dice,
    happenings::Tally,
    oracle::{Chain, Oracle, agent},
    process::Process,
};

pub type Verdict = Result<(), String>;

/// Processes of a world.
const PROCESSES: usize = 3;

pub struct World {
    pub database: Database,
    pub processes: Vec<Process>,
    pub oracle: Oracle,
    pub tally: Tally,
    pub trace: Vec<String>,
    /// Postgres itself is killed.
    pub crashes: bool,
    /// The story is told as it happens.
    pub loud: bool,
    /// Who led when somebody last did.
    pub leader: usize,
    /// What time it is where no clock is wrong.
    now: DateTime<Utc>,
    last_id: i64,
    last_agent: u64,
    last_holder: u128,
}

/// How something under test went on that may have been told to wait.
pub enum Run<T> {
    Ended(T),
    /// It waits where it was told to.
    Waits(JoinHandle<T>),
}

impl World {
    pub async fn new(database: Database, crashes: bool) -> Self {
        database.reset().await;
        let now = DateTime::from_timestamp(1_767_323_045, 0).expect("in range");
        let mut world = Self {
            database,
            processes: Vec::new(),
            oracle: Oracle::default(),
            tally: Tally::default(),
            trace: Vec::new(),
            crashes,
            loud: false,
            leader: 0,
            now,
            last_id: 0,
            last_agent: 0,
            last_holder: 0,
        };
        for number in 0..PROCESSES {
            let process = world.process(number);
            world.processes.push(process);
        }
        world
    }

    pub async fn close(mut self) -> (Database, Tally) {
        self.database.heal().await;
        for process in &mut self.processes {
            process.kill(&self.database).await;
        }
        (self.database, self.tally)
    }

    pub fn say(&mut self, line: impl Into<String>) {
        let line = line.into();
        if self.loud {
            eprintln!("{line}");
        }
        self.trace.push(line);
    }

    pub fn note(&mut self, what: &'static str) {
        self.tally.note(what);
        self.say(format!("  {what}"));
    }

    /// Somebody who only looks.
    pub fn reader(&self) -> Db {
        Db::from_pool(self.database.pool.clone(), Clock::manual(self.now))
    }

    pub fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// An agent of which nothing was said.
    pub fn next_agent(&mut self) -> AgentId {
        self.last_agent += 1;
        agent(1_000 + self.last_agent)
    }

    fn process(&mut self, number: usize) -> Process {
        self.last_holder += 1;
        Process::new(&self.database, number, self.last_holder, self.now)
    }

    /// Time goes on, the same for everybody.
    pub fn pass(&mut self, by: TimeDelta) {
        self.now += by;
        for process in &self.processes {
            process.clock.advance(by);
        }
    }

    /// Kills a process; another one comes in its place, with the right time.
    pub async fn restart(&mut self, number: usize) {
        self.processes[number].kill(&self.database).await;
        self.replace(number);
    }

    /// Every other time it has its predecessor's name, as the one process of a data directory has.
    fn replace(&mut self, number: usize) {
        let holder = self.processes[number].holder;
        self.processes[number] = self.process(number);
        if self.last_holder.is_multiple_of(2) {
            self.processes[number].holder = holder;
        }
    }

    /// The same, where the server does not notice the death before it is done with what it was told.
    pub async fn vanish(&mut self, number: usize) {
        let process = &mut self.processes[number];
        let open = process.open.iter().map(|open| open.pid);
        let pids: Vec<i32> = open
            .chain(process.blocked.iter().map(|blocked| blocked.pid))
            .collect();
        process.abandon().await;
        self.database.end(&pids).await;
        self.database.release().await;
        process.db.pool().close().await;
        self.database.until_gone(&process.name).await;
        self.replace(number);
    }

    /// Chains that open transactions appended to, and those that wait want to.
    pub fn touched(&self, chain: Chain) -> bool {
        self.processes.iter().any(|process| {
            let open = process.open.iter().map(|open| &open.touched);
            let mut all = open.chain(process.blocked.iter().map(|blocked| &blocked.touched));
            all.any(|touched| touched.contains(&chain))
        })
    }

    /// Runs something until it ends, or waits because it was told to.
    pub async fn run<T: Send + 'static>(
        &self,
        may_wait: bool,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Run<T> {
        let task = tokio::spawn(work);
        while may_wait && !task.is_finished() {
            if self.database.is_waiting().await {
                return Run::Waits(task);
            }
        }
        Run::Ended(task.await.expect("no panic"))
    }

    /// Looks at what is sealed, as a reader who was here before.
    pub async fn observe(&mut self) -> Verdict {
        let db = self.reader();
        let told = |error: journal::Error| format!("reading: {error}");
        let from = self.oracle.size();
        let entries = follow::sealed(&db, from, i64::MAX).await.map_err(told)?;
        for late in self.oracle.seen(entries)? {
            self.note("a late commit of lower numbers");
            self.trace.push(format!("  {late}"));
        }
        let last = self.oracle.heads.last_key_value().map(|(size, _)| *size);
        // The last one again, too.
        let after = last.map_or(0, |size| size - 1);
        let heads = log::checkpoints_after(&db, after, i64::MAX).await;
        for head in heads.map_err(told)? {
            self.oracle.head(head)?;
        }
        let newest = self.oracle.heads.last_key_value();
        if newest.map_or(0, |(size, _)| *size) != self.oracle.size() {
            return Err("leaves are under no checkpoint".to_owned());
        }
        Ok(())
    }

    /// Clocks go on, or wrong.
    pub fn time(&mut self, dice: &mut Dice) {
        let number = dice.index(self.processes.len());
        match dice.roll(6) {
            0 => {
                self.processes[number].clock.advance(TimeDelta::hours(-1));
                self.note("a clock goes back an hour");
            }
            1 => {
                self.processes[number].clock.advance(TimeDelta::hours(1));
                self.note("a clock goes on an hour");
            }
            2 => self.pass(TimeDelta::seconds(11)),
            _ => self.pass(TimeDelta::milliseconds(dice.between(1, 3_000))),
        }
    }

    /// All connections of a process are lost; it goes on.
    pub async fn cut(&mut self, dice: &mut Dice) {
        let number = dice.index(self.processes.len());
        let process = &mut self.processes[number];
        let open = process.open.len() + process.blocked.len();
        process.abandon().await;
        self.database.cut(&process.name).await;
        self.database.until_gone(&process.name).await;
        if open > 0 {
            self.note("connections cut");
        }
    }
}
