//! Statements that were verified and wait for their transaction: those that come at once share one.

use std::{
    collections::{HashSet, VecDeque},
    slice,
    sync::{Mutex, PoisonError},
};

use axum::http::StatusCode;
use identity::{
    Error,
    request::{self, Answered, Request},
    statement::{self, Signed},
};
use kernel::Kind;
use store::{Cause, Db};
use tokio::sync::{Semaphore, oneshot};

use super::Recorded;
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
    client: Client,
}

/// Who waits.
#[derive(Debug)]
struct Client {
    /// What he calls his request, where he may ask for its answer again.
    request: Option<Request>,
    attempts: u32,
    tell: oneshot::Sender<Result<Recorded, Problem>>,
}

impl Statements {
    /// Records a statement, together with all others that wait, and keeps the answer to `request` with it. It is
    /// committed even where the client goes away meanwhile.
    pub(super) async fn record(
        &self,
        app: &Shared,
        signed: Signed,
        request: Option<Request>,
    ) -> Result<Recorded, Problem> {
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MOST_WAITING {
                let detail = "too many statements wait to be recorded: try again later";
                return Err(Problem::new(Code::Limited, detail));
            }
            let client = Client {
                request,
                attempts: 0,
                tell,
            };
            waiting.push_back(Waiting { signed, client });
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
    let (mut signed, mut clients) = (Vec::new(), Vec::new());
    for one in batch {
        signed.push(one.signed);
        clients.push(one.client);
    }
    let outcomes = match record(db, &signed, &clients).await {
        Ok(outcomes) => outcomes,
        Err(error) if error.kind().is_transient() => {
            let again = signed.into_iter().zip(clients);
            return again
                .filter_map(|(signed, client)| again_or_tell(signed, client))
                .collect();
        }
        // One of them is more than the rest can bear: each alone, so that only that one fails.
        Err(error) if signed.len() > 1 => {
            tracing::error!(%error, "a batch of statements was refused: {error}");
            one_by_one(db, &signed, &clients).await
        }
        Err(error) => vec![Err(error)],
    };
    let mut again = Vec::new();
    for ((signed, outcome), client) in signed.into_iter().zip(outcomes).zip(clients) {
        match outcome {
            Err(Error::Raced) => again.extend(again_or_tell(signed, client)),
            outcome => {
                // Whoever went away is told nothing.
                let _ = client.tell.send(outcome.map_err(Problem::from));
            }
        }
    }
    again
}

fn again_or_tell(signed: Signed, mut client: Client) -> Option<Waiting> {
    if client.attempts < ATTEMPTS {
        client.attempts += 1;
        return Some(Waiting { signed, client });
    }
    let problem = Problem::of(Kind::Unavailable, Error::Raced);
    let _ = client.tell.send(Err(problem));
    None
}

/// Records statements and keeps the answers that may be asked for again, in one transaction.
async fn record(
    db: &Db,
    signed: &[Signed],
    clients: &[Client],
) -> identity::Result<Vec<identity::Result<Recorded>>> {
    let mut tx = db.begin(Cause::Job("statements")).await?;
    let receipts = statement::record(&mut tx, signed).await?;
    let outcomes: Vec<identity::Result<Recorded>> = receipts
        .into_iter()
        .zip(signed)
        .map(|(receipt, signed)| Ok(Recorded::of(receipt?, signed.statement().sequence)))
        .collect();
    let mut answered = Vec::new();
    for (outcome, client) in outcomes.iter().zip(clients) {
        if let (Ok(recorded), Some(request)) = (outcome, &client.request) {
            answered.push(Answered {
                request,
                status: StatusCode::OK.as_u16(),
                body: serde_json::to_vec(recorded).map_err(Error::State)?,
            });
        }
    }
    request::finish(&mut tx, &answered).await?;
    tx.commit().await?;
    Ok(outcomes)
}

async fn one_by_one(
    db: &Db,
    signed: &[Signed],
    clients: &[Client],
) -> Vec<identity::Result<Recorded>> {
    let mut outcomes = Vec::with_capacity(signed.len());
    for (signed, client) in signed.iter().zip(clients) {
        let (signed, client) = (slice::from_ref(signed), slice::from_ref(client));
        let outcome = record(db, signed, client).await;
        outcomes.push(outcome.and_then(|mut one| one.pop().unwrap_or(Err(Error::Raced))));
    }
    outcomes
}
