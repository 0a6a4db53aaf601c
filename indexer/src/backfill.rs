//! A backfill: ground is stored ahead in its own commits, its facts are kept in memory, and the projection
//! trails with its own cursor (`indexing.md` §9).
//!
//! After a kill the facts are read again from the stored logs; memory is bounded by their bytes.

use std::sync::Arc;

use chain::{Registries, SeenTopics};
use chrono::{DateTime, Utc};
use identity::{Feed, Mode, States, Window};
use kernel::AgentId;
use store::{Cause, Db, Tx, lease::Lease};

use crate::{
    Error, Result,
    apply::{Applied, spoken_of, store_ground, tell_malformed},
    chain_row::{self, Standing},
    ground,
    sorted::Sorted,
    source::{Cursor, Extend},
};

/// Facts of this many bytes are projected even where more ground is at hand.
const WINDOW_BYTES: usize = 22 << 20;

/// Connections that a backfill writes with.
pub const CONNECTIONS: u32 = 2;

/// So often a window is projected where other chains name the same things meanwhile.
const RACES: usize = 5;

/// Logs that are read at once from the database after a restart.
const RELOAD_LOGS: i64 = 20_000;

/// Ground that is stored and not projected, as facts in memory.
pub struct Backfill {
    db: Db,
    chain: u64,
    contracts: Registries,
    window: Window,
    /// Everything up to here is in the window.
    through: Cursor,
    /// The newest block time in it.
    time: Option<DateTime<Utc>>,
}

impl Backfill {
    /// Goes on above `head`, up to which everything is projected.
    pub fn new(db: Db, chain: u64, contracts: Registries, topics: SeenTopics, head: i64) -> Self {
        Self {
            db,
            chain,
            contracts,
            window: Window::new(chain, topics, head),
            through: Cursor {
                number: head,
                hash: None,
            },
            time: None,
        }
    }

    /// Everything up to here is in the window.
    pub fn through(&self) -> i64 {
        self.through.number
    }

    /// Whether the window should be projected before more is taken in.
    pub fn is_full(&self) -> bool {
        self.window.bytes() >= WINDOW_BYTES
    }

    /// How much memory the window takes.
    pub fn bytes(&self) -> usize {
        self.window.bytes()
    }

    /// Reads a part of stored ground into the window, up to `ground`.
    pub async fn reload(&mut self, ground: Cursor) -> Result<()> {
        let (above, up_to) = (self.through.number, ground.number);
        let stored = ground::read(&self.db, self.chain, above, up_to, RELOAD_LOGS).await?;
        let sorted = Sorted::new(stored.logs, &self.contracts);
        self.through = match stored.end {
            Some(end) => Cursor {
                number: end.number.cast_signed(),
                hash: Some(end.hash),
            },
            None => ground,
        };
        self.time = stored.blocks.last().and_then(ground::time).or(self.time);
        let now = self.db.clock().now();
        // What cannot be read was told when it was stored.
        self.window
            .add(self.through.number, now, &stored.blocks, &sorted.logs)?;
        Ok(())
    }

    /// Stores a step's ground from `cursor`, where the window ends, and takes its facts in meanwhile. After
    /// an error the window is not what is stored: it is to be read again.
    pub async fn extend(
        mut self,
        cursor: Cursor,
        step: Extend,
        lease: Option<&Lease>,
    ) -> Result<(Self, Applied)> {
        let step = Arc::new(step);
        let cause = Cause::Block {
            chain: self.chain,
            number: step.to.number,
        };
        let mut tx = self.db.begin(cause).await?;
        // A step that a crash of the server loses is read again; the projection's commit waits for the disk.
        tx.commit_lazily().await?;
        chain_row::lock(&mut tx, self.chain, cursor.number).await?;
        let (to, now, mut window) = (step.cursor(), tx.now(), self.window);
        let facts = Arc::clone(&step);
        let folding = blocking(move || {
            let malformed = window.add(to.number, now, &facts.blocks, &facts.logs.logs);
            malformed.map(|malformed| (window, malformed))
        });
        let storing = store_ground(&mut tx, self.chain, cursor, &step);
        let (stored, folded) = tokio::join!(storing, folding);
        stored?;
        let (window, malformed) = folded??;
        let malformed: Vec<(usize, String)> = malformed
            .into_iter()
            .map(|(place, why)| (place, why.to_string()))
            .chain(step.logs.malformed.iter().cloned())
            .collect();
        tell_malformed(&mut tx, self.chain, &step.logs, &malformed).await?;
        if let Some(lease) = lease {
            lease.fence(&mut tx).await?;
        }
        tx.commit().await?;
        self.window = window;
        self.through = to;
        self.time = ground::time(&step.to).or(self.time);
        let applied = Applied {
            cursor: to,
            logs: step.logs.logs.len(),
            agents: step.logs.tokens.len(),
            rewound: 0,
        };
        Ok((self, applied))
    }

    /// Projects the whole window at one moment: rows, journal and cursor. Where foreign keys are `deferred`, a
    /// second connection takes a part of the rows. The window is used up, whether that succeeds or not. Where another
    /// chain named the same URIs first, it is projected again, and finds them.
    pub async fn project(
        self,
        lease: Option<&Lease>,
        deferred: bool,
        states: States,
    ) -> Result<usize> {
        let whole = Whole {
            db: self.db,
            chain: self.chain,
            window: Arc::new(self.window),
            through: self.through,
            time: self.time,
        };
        let mut tries = 1;
        loop {
            match whole.project(lease, deferred, states).await {
                Err(Error::Identity(identity::Error::Raced)) if tries < RACES => tries += 1,
                done => return done,
            }
        }
    }
}

/// A window that is projected.
struct Whole {
    db: Db,
    chain: u64,
    window: Arc<Window>,
    through: Cursor,
    time: Option<DateTime<Utc>>,
}

impl Whole {
    async fn project(
        &self,
        lease: Option<&Lease>,
        deferred: bool,
        states: States,
    ) -> Result<usize> {
        let to = self.through.number;
        let cause = Cause::Block {
            chain: self.chain,
            number: to.unsigned_abs(),
        };
        let mut tx = self.db.begin(cause.clone()).await?;
        let mut second = None;
        if deferred {
            second = self.second(&mut tx, cause).await?;
        }
        let before = chain_row::lock_any(&mut tx, self.chain).await?;
        if before.ground.number < to {
            return Err(Error::Store(store::Error::Moved {
                what: format!("ground of chain {}", self.chain),
                expected: to.to_string(),
                found: before.ground.number.to_string(),
            }));
        }
        let late = self.settle_before(&mut tx, &before).await?;
        let settled = to.max(before.settled);
        chain_row::advance_head(&mut tx, self.chain, self.through, self.time, settled).await?;
        let report = identity::project_window(
            &mut tx,
            second.as_mut(),
            &self.window,
            Feed::Watched,
            states,
        )
        .await?;
        identity::vexel::mark(&mut tx, self.chain, before.head, to).await?;
        // At the end: renewing the lease must not wait for a long transaction.
        if let Some(lease) = lease {
            lease.fence(&mut tx).await?;
        }
        // Only what can be made again: a death between the two commits loses nothing (identity.ahead).
        if let Some(second) = second {
            second.commit().await?;
        }
        tx.commit().await?;
        Ok(report.entries + late)
    }

    /// A transaction beside `tx`, where nobody builds indexes that it would wait for.
    async fn second(&self, tx: &mut Tx, cause: Cause) -> Result<Option<Tx>> {
        store::deferred::hold(tx).await?;
        let mut second = self.db.begin(cause).await?;
        let held = store::deferred::hold_too(&mut second).await?;
        Ok(held.then_some(second))
    }

    /// A chain that was at its head before has logs below the window that were not settled then. They are now,
    /// and the states that the window goes on from must hold them. Gives the number of journal entries.
    async fn settle_before(&self, tx: &mut Tx, before: &Standing) -> Result<usize> {
        if before.settled >= before.head {
            return Ok(0);
        }
        let agents = spoken_of(tx, self.chain, before.settled, before.head).await?;
        let agents: Vec<AgentId> = agents.into_iter().map(AgentId).collect();
        chain_row::settle(tx, self.chain, before.head).await?;
        let report = identity::project(tx, &agents, Mode::Forward, Feed::Watched).await?;
        Ok(report.entries)
    }
}

/// Work that would keep other tasks from running.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    Ok(tokio::task::spawn_blocking(work).await?)
}
