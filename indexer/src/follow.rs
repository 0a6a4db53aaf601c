//! The loop around one chain.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chain::Registries;
use serde::Serialize;
use store::{Db, Outcome, lease};
use uuid::Uuid;

use crate::{
    Error, Result, apply, chain_row,
    source::{Source, Step},
};

/// How long a leader may be silent before another process takes over.
const LEASE: Duration = Duration::from_secs(15);

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
    /// Stopped until a person does something.
    Halted,
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
    /// Steps applied by this process.
    pub steps: u64,
    /// Logs stored by this process.
    pub logs: u64,
    /// Reorgs seen by this process.
    pub reorgs: u64,
    /// Why it is retrying or halted.
    pub error: Option<String>,
}

/// Follows one chain.
pub struct Follower<S> {
    db: Db,
    chain: u64,
    contracts: Registries,
    source: S,
    holder: Uuid,
    status: Arc<Mutex<Status>>,
}

impl<S: Source> Follower<S> {
    /// A follower of an opened chain; `holder` names this process among those that could lead it.
    pub fn new(db: Db, chain: u64, contracts: Registries, source: S, holder: Uuid) -> Self {
        let status = Status {
            chain,
            state: State::Starting,
            head: None,
            steps: 0,
            logs: 0,
            reorgs: 0,
            error: None,
        };
        Self {
            db,
            chain,
            contracts,
            source,
            holder,
            status: Arc::new(Mutex::new(status)),
        }
    }

    /// Where the status can be read while the follower runs.
    pub fn status(&self) -> Arc<Mutex<Status>> {
        Arc::clone(&self.status)
    }

    /// Asks the source once and applies what it says. An error that cannot heal halts the chain: later
    /// rounds do nothing, other chains go on.
    pub async fn round(&mut self) -> Result<Outcome> {
        if self.read().state == State::Halted {
            return Ok(Outcome::Idle);
        }
        let result = self.step().await;
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        match &result {
            Ok(Outcome::Idle) => {
                status.state = State::Following;
                status.error = None;
            }
            Ok(Outcome::Busy) => status.error = None,
            Err(error) => {
                status.error = Some(error.to_string());
                status.state = if error.halts() {
                    State::Halted
                } else {
                    State::Retrying
                };
                if error.halts() {
                    tracing::error!(chain = self.chain, %error, "chain {} stopped: {error}", self.chain);
                }
            }
        }
        result
    }

    async fn step(&mut self) -> Result<Outcome> {
        let name = format!("index:{}", self.chain);
        let lease = lease::acquire(&self.db, &name, self.holder, LEASE)
            .await?
            .ok_or(Error::Led(self.chain))?;
        let (cursor, trail) = chain_row::cursor(&self.db, self.chain).await?;
        let Some(step) = self.source.next(cursor, &trail).await? else {
            self.write(|status| status.head = Some(cursor.number));
            return Ok(Outcome::Idle);
        };
        let head = match &step {
            Step::Extend(extend) => Some(extend.head),
            Step::Rewind { .. } => None,
        };
        let applied = apply(
            &self.db,
            self.chain,
            &self.contracts,
            cursor,
            step,
            Some(&lease),
        )
        .await?;
        if applied.rewound > 0 {
            tracing::warn!(
                chain = self.chain,
                blocks = applied.rewound,
                "chain {} was reorganised: {} blocks taken back",
                self.chain,
                applied.rewound
            );
        }
        self.write(|status| {
            status.head = head.or(status.head);
            status.steps += 1;
            status.logs += applied.logs as u64;
            status.reorgs += u64::from(applied.rewound > 0);
            status.state = match status.head {
                Some(head) if head > applied.cursor.number => State::Backfilling,
                _ => State::Following,
            };
        });
        Ok(Outcome::Busy)
    }

    fn read(&self) -> Status {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn write(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
