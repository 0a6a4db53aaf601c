//! The loop around one chain.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use chain::Registries;
use identity::States;
use serde::Serialize;
use store::{Db, Outcome};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Error, Result,
    apply::{Applied, apply},
    backfill::{self, Backfill},
    chain_row::{self, Standing},
    lead::Leadership,
    progress::Progress,
    source::{Extend, Source, Step},
    stage::{self, Stage},
    trail::Trail,
};

/// So many rounds on end without a proof are not a provider's bad moment any more.
const GIVE_UP: u32 = 3;

/// What a chain is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Not looked at yet.
    Starting,
    /// Behind the head.
    Backfilling,
    /// At the head.
    Following,
    /// Something does not answer; it is tried again.
    Retrying,
    /// Another process leads; this one takes over when that ends.
    Standby,
    /// Stopped until a person does something, or a provider proves what none did.
    Halted,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Backfilling,
        Self::Following,
        Self::Retrying,
        Self::Standby,
        Self::Halted,
    ];

    /// Its word, everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Backfilling => "backfilling",
            Self::Following => "following",
            Self::Retrying => "retrying",
            Self::Standby => "standby",
            Self::Halted => "halted",
        }
    }
}

/// A chain's state, for people.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// EIP-155 id.
    pub chain: u64,
    /// What it is doing.
    pub state: State,
    /// Newest block of the source.
    pub head: Option<i64>,
    /// Everything up to here is stored; ahead of what is projected in a backfill.
    pub ground: Option<i64>,
    /// Steps applied by this process.
    pub steps: u64,
    /// Logs stored by this process.
    pub logs: u64,
    /// Reorgs seen by this process.
    pub reorgs: u64,
    /// Why it is retrying or halted.
    pub error: Option<String>,
    /// How fast it is read.
    #[serde(skip)]
    pub progress: Progress,
}

/// Follows one chain.
pub struct Follower<S> {
    db: Db,
    chain: u64,
    contracts: Registries,
    source: S,
    leadership: Leadership,
    /// Where the chain stands, unless that has to be read first.
    standing: Option<Standing>,
    backfill: Option<Backfill>,
    /// The connections of a backfill that runs.
    own: Option<Db>,
    /// Whether indexes and foreign keys may be missing, which are built at a backfill's end.
    unindexed: bool,
    /// Told of every commit that rows and entries came with.
    wake: Arc<Notify>,
    /// Ends a question that is under way.
    stop: CancellationToken,
    /// Rounds on end in which a block could not be proven.
    unproven: u32,
    /// Whether a person has to do something first.
    halted: bool,
    status: Arc<Mutex<Status>>,
}

impl<S: Source> Follower<S> {
    /// A follower of an opened chain; `holder` names this process among those that could lead it.
    pub fn new(db: Db, chain: u64, contracts: Registries, source: S, holder: Uuid) -> Self {
        let status = Status {
            chain,
            state: State::Starting,
            head: None,
            ground: None,
            steps: 0,
            logs: 0,
            reorgs: 0,
            error: None,
            progress: Progress::default(),
        };
        Self {
            leadership: Leadership::new(db.clone(), chain, holder),
            db,
            chain,
            contracts,
            source,
            standing: None,
            backfill: None,
            own: None,
            unindexed: true,
            wake: Arc::default(),
            stop: CancellationToken::new(),
            unproven: 0,
            halted: false,
            status: Arc::new(Mutex::new(status)),
        }
    }

    /// Who is told from now on of every commit that rows and entries came with, before anything else is done.
    pub fn wake(&mut self, who: Arc<Notify>) {
        self.wake = who;
    }

    /// Once this is cancelled no round waits for what the source says; what it has said is still applied.
    pub fn stop_with(&mut self, stop: CancellationToken) {
        self.stop = stop;
    }

    /// Leads no longer: whoever waits, or is started next, goes on at once. Nothing that it stored is touched.
    pub async fn resign(&mut self) {
        self.leadership.release().await;
    }

    /// Where the status can be read while the follower runs.
    pub fn status(&self) -> Arc<Mutex<Status>> {
        Arc::clone(&self.status)
    }

    /// Asks the source once and applies what it says. Errors that cannot heal ([`Error::halts`]) halt the
    /// chain: later rounds do nothing, other chains go on. So does a block that nobody can prove, but it is
    /// asked for again.
    pub async fn round(&mut self) -> Result<Outcome> {
        if self.halted {
            return Ok(Outcome::Idle);
        }
        // Large, because a whole projection lies in it.
        let result = Box::pin(self.step()).await;
        let unproven = matches!(&result, Err(Error::Unproven { .. }));
        self.unproven = if unproven { self.unproven + 1 } else { 0 };
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(Outcome::Idle) => {
                status.state = State::Following;
                status.error = None;
            }
            Ok(Outcome::Busy) => status.error = None,
            Err(error) => {
                status.error = Some(error.to_string());
                self.halted = error.halts();
                status.state = if matches!(error, Error::Led(_)) {
                    State::Standby
                } else if self.halted || self.unproven >= GIVE_UP {
                    State::Halted
                } else {
                    State::Retrying
                };
                if self.halted || self.unproven == GIVE_UP {
                    tracing::error!(chain = self.chain, %error, "chain {} stopped: {error}", self.chain);
                }
            }
        }
        result
    }

    async fn step(&mut self) -> Result<Outcome> {
        self.leadership.take().await?;
        let standing = match self.standing.take() {
            Some(standing) => standing,
            None => self.find_standing().await?,
        };
        if self.reload(&standing).await? {
            self.standing = Some(standing);
            return Ok(Outcome::Busy);
        }
        let trail = Trail::new(&self.db, self.chain);
        // It may take long, and whoever waits to lead must not take over meanwhile.
        let asking = self.source.next(standing.ground, trail);
        let asking = self.leadership.keep(asking);
        let Some(next) = self.stop.run_until_cancelled(asking).await else {
            return Ok(Outcome::Busy);
        };
        if self.leadership.lease().is_none() {
            return Err(Error::Led(self.chain));
        }
        // What the source says leaves us where we are; what the database says may not.
        self.standing = Some(standing.clone());
        let Some(step) = next? else {
            return self.idle(standing).await;
        };
        self.standing = None;
        match step {
            Step::Extend(extend) if self.is_bulk(&extend, &standing) => {
                self.extend_ahead(standing, *extend).await?;
            }
            Step::Extend(extend) => {
                self.project(&standing, States::Left).await?;
                self.build_indexes().await?;
                self.write(|status| status.head = Some(extend.head));
                self.apply(&standing, Step::Extend(extend)).await?;
            }
            Step::Rewind { to } => {
                self.backfill = None;
                self.apply(&standing, Step::Rewind { to }).await?;
            }
            Step::Enter(enter) => self.apply(&standing, Step::Enter(enter)).await?,
        }
        Ok(Outcome::Busy)
    }

    /// Whether a step's ground is stored ahead of its projection. A backfill that runs takes in everything that is
    /// settled, also close to the head.
    fn is_bulk(&self, extend: &Extend, standing: &Standing) -> bool {
        let joins = self.backfill.is_some() && extend.to.number.cast_signed() <= extend.settled;
        joins || extend.is_bulk(standing.ground.number)
    }

    /// After a start or a failure: what is in memory may not be what is stored.
    async fn find_standing(&mut self) -> Result<Standing> {
        self.backfill = None;
        chain_row::standing(&self.db, self.chain).await
    }

    /// Reads a part of stored ground into memory that was not projected before a restart.
    async fn reload(&mut self, standing: &Standing) -> Result<bool> {
        if self.backfill.is_none() {
            if standing.is_level() {
                return Ok(false);
            }
            self.backfill = Some(self.window(standing.head).await?);
        }
        let Some(backfill) = &mut self.backfill else {
            return Ok(false);
        };
        if backfill.through() >= standing.ground.number {
            return Ok(false);
        }
        if backfill.is_full() {
            self.project(standing, States::Saved).await?;
            return Ok(true);
        }
        backfill.reload(standing.ground).await?;
        Ok(true)
    }

    async fn window(&mut self, head: i64) -> Result<Backfill> {
        let topics = chain_row::topics(&self.db, self.chain).await?;
        let own = || self.db.apart(backfill::CONNECTIONS);
        let (db, contracts) = (
            self.own.get_or_insert_with(own).clone(),
            self.contracts.clone(),
        );
        Ok(Backfill::new(db, self.chain, contracts, topics, head))
    }

    /// Nothing new: what is stored is projected, and then there is nothing to do.
    async fn idle(&mut self, standing: Standing) -> Result<Outcome> {
        let outcome = if standing.is_level() {
            Outcome::Idle
        } else {
            Outcome::Busy
        };
        self.project(&standing, States::Left).await?;
        self.build_indexes().await?;
        self.write(|status| status.head = Some(standing.ground.number));
        Ok(outcome)
    }

    /// A step of a backfill: its ground is stored, its facts wait in memory.
    async fn extend_ahead(&mut self, standing: Standing, extend: Extend) -> Result<()> {
        if self.backfill.as_ref().is_some_and(Backfill::is_full) {
            self.project(&standing, States::Saved).await?;
        }
        let backfill = if let Some(backfill) = self.backfill.take() {
            backfill
        } else {
            self.unindexed |= store::deferred::begin(&self.db).await? > 0;
            self.window(standing.ground.number).await?
        };
        let head = extend.head;
        let lease = self.leadership.lease();
        let work = backfill.extend(standing.ground, extend, lease);
        let (backfill, applied) = stage::timed(self.chain, Stage::Ground, work).await?;
        self.backfill = Some(backfill);
        let head_before = self.standing.as_ref().map_or(standing.head, |new| new.head);
        self.standing = Some(Standing {
            ground: applied.cursor,
            head: head_before,
            ..standing
        });
        self.write(|status| status.head = Some(head));
        self.tell(&applied);
        Ok(())
    }

    /// Projects what waits in memory, if anything.
    async fn project(&mut self, standing: &Standing, states: States) -> Result<()> {
        let Some(backfill) = self.backfill.take() else {
            return Ok(());
        };
        let through = backfill.through();
        self.standing = None;
        let lease = self.leadership.lease().cloned();
        // Large: a whole projection lies in it.
        let work = Box::pin(backfill.project(lease.as_ref(), self.unindexed, states));
        let projecting = stage::timed(self.chain, Stage::Project, work);
        // At the end the index of ground is not written meanwhile, and what follows does not wait for it; where more
        // ground comes, it would have to be kept.
        let indexing = async {
            if self.unindexed && states == States::Left {
                store::deferred::build(&self.db, "chain.").await?;
            }
            Ok(())
        };
        let both = async { tokio::try_join!(projecting, indexing) };
        let (entries, ()) = self.leadership.keep(both).await?;
        self.wake.notify_one();
        stage::waiting(self.chain, 0);
        tracing::info!(
            chain = self.chain,
            through,
            entries,
            "chain {}: everything up to block {through} is projected",
            self.chain
        );
        self.standing = Some(Standing {
            head: through,
            settled: through.max(standing.settled),
            ..standing.clone()
        });
        Ok(())
    }

    /// A backfill from nothing goes without secondary indexes and foreign keys; they are built when it ends.
    async fn build_indexes(&mut self) -> Result<()> {
        if self.unindexed {
            let db = self.own.as_ref().unwrap_or(&self.db);
            let work = stage::timed(self.chain, Stage::Index, store::deferred::build(db, ""));
            let built = self.leadership.keep(work).await?;
            self.unindexed = false;
            if built > 0 {
                tracing::info!(
                    chain = self.chain,
                    built,
                    "{built} indexes and keys were built at a backfill's end"
                );
            }
        }
        if let Some(own) = self.own.take() {
            own.close().await;
        }
        Ok(())
    }

    async fn apply(&mut self, standing: &Standing, step: Step) -> Result<()> {
        let lease = self.leadership.lease();
        let (chain, contracts) = (self.chain, &self.contracts);
        let work = Box::pin(apply(
            &self.db,
            chain,
            contracts,
            standing.ground,
            step,
            lease,
        ));
        let applied = stage::timed(chain, Stage::Step, work).await?;
        self.wake.notify_one();
        if applied.rewound > 0 {
            tracing::warn!(
                chain = self.chain,
                blocks = applied.rewound,
                "chain {} was reorganised: {} blocks taken back",
                self.chain,
                applied.rewound
            );
        }
        // What it settled is known to the database.
        self.standing = None;
        self.tell(&applied);
        Ok(())
    }

    /// Shows what was done.
    fn tell(&self, applied: &Applied) {
        stage::stepped(self.chain, applied.logs, applied.rewound.unsigned_abs());
        let waiting = self.backfill.as_ref().map_or(0, Backfill::bytes);
        stage::waiting(self.chain, waiting);
        self.write(|status| {
            status.ground = Some(applied.cursor.number);
            status.steps += 1;
            status.logs += applied.logs as u64;
            status.reorgs += u64::from(applied.rewound > 0);
            let logs = status.logs;
            status
                .progress
                .note(Instant::now(), applied.cursor.number, logs);
            status.state = match status.head {
                Some(head) if head > applied.cursor.number => State::Backfilling,
                _ => State::Following,
            };
        });
    }

    fn write(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
