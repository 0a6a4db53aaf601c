//! Statements that were verified and wait for their transaction: those that come at once share one.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use identity::{
    Error,
    statement::{self, Receipt, Signed},
};
use kernel::Kind;
use store::{Cause, Db};
use tokio::sync::{Semaphore, oneshot};

use crate::http::{Code, Problem, Shared};

/// How many statements one transaction takes.
const AT_ONCE: usize = 256;
/// How many may wait; whoever comes then is sent away.
const MOST_WAITING: usize = 8_192;
/// How often a statement is brought again that another transaction got in the way of.
const ATTEMPTS: u32 = 5;

/// What waits.
#[derive(Debug)]
pub struct Statements {
    waiting: Mutex<VecDeque<Waiting>>,
    /// One transaction at a time: two would get in each other's way, and the next is the fuller the
    /// longer this one takes.
    turn: Semaphore,
}

impl Default for Statements {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }
}

/// A statement, and who waits for its outcome.
#[derive(Debug)]
struct Waiting {
    signed: Signed,
    attempts: u32,
    tell: oneshot::Sender<Result<Done, Problem>>,
}

/// A statement that is recorded and committed.
#[derive(Debug, Clone)]
pub struct Done {
    /// What became of it.
    pub receipt: Receipt,
    /// Its sequence.
    pub sequence: u64,
}

impl Statements {
    /// Records a statement, together with all others that wait. It is committed even where the client
    /// goes away meanwhile.
    pub async fn record(&self, app: &Shared, signed: Signed) -> Result<Done, Problem> {
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MOST_WAITING {
                let detail = "too many statements wait to be recorded: try again later";
                return Err(Problem::new(Code::Limited, detail));
            }
            waiting.push_back(Waiting {
                signed,
                attempts: 0,
                tell,
            });
        }
        let app = Shared::clone(app);
        tokio::spawn(async move { app.statements.drain(&app).await });
        told.await.unwrap_or_else(|_| {
            let detail = "the process stops: ask whether the statement was recorded";
            Err(Problem::new(Code::Unavailable, detail))
        })
    }

    async fn drain(&self, app: &Shared) {
        let Ok(_turn) = self.turn.acquire().await else {
            return;
        };
        loop {
            let batch = self.take();
            if batch.is_empty() {
                return;
            }
            let again = commit(&app.db, batch).await;
            app.committed.notify_one();
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            for one in again.into_iter().rev() {
                waiting.push_front(one);
            }
        }
    }

    /// The next ones, of each agent at most one: two of one agent stand in their order.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut named = HashSet::new();
        let (mut batch, mut later) = (Vec::new(), VecDeque::new());
        while let Some(one) = waiting.pop_front() {
            let is_first = named.insert(one.signed.statement().agent.clone());
            if is_first {
                batch.push(one);
            } else {
                later.push_back(one);
            }
            if batch.len() == AT_ONCE {
                break;
            }
        }
        later.append(&mut waiting);
        *waiting = later;
        batch
    }
}

/// Commits a batch and tells its outcomes; gives those that are to be brought again.
async fn commit(db: &Db, batch: Vec<Waiting>) -> Vec<Waiting> {
    let (mut signed, mut rest) = (Vec::new(), Vec::new());
    for one in batch {
        signed.push(one.signed);
        rest.push((one.attempts, one.tell));
    }
    let outcomes = match record(db, &signed).await {
        Ok(outcomes) => outcomes,
        Err(error) if error.kind().is_transient() => {
            let again = signed.into_iter().zip(rest);
            return again
                .filter_map(|(signed, (attempts, tell))| again_or_tell(signed, attempts, tell))
                .collect();
        }
        // One of them is more than the rest can bear: each alone, so that only that one fails.
        Err(error) if signed.len() > 1 => {
            tracing::error!(%error, "a batch of statements was refused: {error}");
            one_by_one(db, &signed).await
        }
        Err(error) => vec![Err(error)],
    };
    let mut again = Vec::new();
    for ((signed, outcome), (attempts, tell)) in signed.into_iter().zip(outcomes).zip(rest) {
        match outcome {
            Err(Error::Raced) => again.extend(again_or_tell(signed, attempts, tell)),
            outcome => {
                let sequence = signed.statement().sequence;
                let told = outcome.map(|receipt| Done { receipt, sequence });
                // Whoever went away is told nothing.
                let _ = tell.send(told.map_err(Problem::from));
            }
        }
    }
    again
}

fn again_or_tell(
    signed: Signed,
    attempts: u32,
    tell: oneshot::Sender<Result<Done, Problem>>,
) -> Option<Waiting> {
    if attempts < ATTEMPTS {
        return Some(Waiting {
            signed,
            attempts: attempts + 1,
            tell,
        });
    }
    let _ = tell.send(Err(Problem::of(Kind::Unavailable, Error::Raced)));
    None
}

async fn record(db: &Db, signed: &[Signed]) -> identity::Result<Vec<identity::Result<Receipt>>> {
    let mut tx = db.begin(Cause::Job("statements")).await?;
    let outcomes = statement::record(&mut tx, signed).await?;
    tx.commit().await?;
    Ok(outcomes)
}

async fn one_by_one(db: &Db, signed: &[Signed]) -> Vec<identity::Result<Receipt>> {
    let mut outcomes = Vec::with_capacity(signed.len());
    for one in signed {
        let outcome = record(db, std::slice::from_ref(one)).await;
        outcomes.push(outcome.and_then(|mut one| one.pop().unwrap_or(Err(Error::Raced))));
    }
    outcomes
}
