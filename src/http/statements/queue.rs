//! Statements that were verified and wait for their transaction: those that come at once share one.

use std::{
    collections::{HashSet, VecDeque},
    mem, slice,
    sync::{Mutex, MutexGuard, PoisonError},
};

use access::audit_log::{self, Event, EventType};
use axum::http::StatusCode;
use identity::{
    Error,
    request::{self, Answered, Request},
    statement::{self, Signed},
};
use kernel::Kind;
use store::{Cause, Db};
use tokio::sync::oneshot;

use super::Recorded;
use crate::http::{Code, Problem, Shared};

/// How many statements one transaction takes.
const AT_ONCE: usize = 256;
/// How many may wait; whoever comes then is sent away.
const MOST_WAITING: usize = 8_192;
/// How often a statement is brought again that another transaction got in the way of.
const ATTEMPTS: u32 = 5;

/// How many transactions run at once: while one waits for Postgres or the disk, the other is worked on.
const LANES: u32 = 2;
/// So many wait before a transaction begins beside another: the fuller they are, the less each statement costs.
const FULL: usize = 64;

/// What waits, and how many transactions take of it.
#[derive(Debug)]
pub struct Statements {
    queue: Mutex<Queue>,
    /// With connections of its own.
    db: Db,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    lanes: u32,
    /// Of whom a statement is being recorded: two of one agent stand in their order.
    busy: HashSet<String>,
}

/// A statement, and who waits for its outcome.
#[derive(Debug)]
struct Waiting {
    signed: Signed,
    client: Client,
}

impl Waiting {
    fn agent(&self) -> &str {
        &self.signed.statement().agent
    }
}

/// Who waits.
#[derive(Debug)]
struct Client {
    /// What he calls his request, where he may ask for its answer again.
    request: Option<Request>,
    /// What the audit log is told where he registers an agent.
    event: Option<Event>,
    attempts: u32,
    tell: oneshot::Sender<Result<Recorded, Problem>>,
}

impl Statements {
    /// Writes to this database.
    pub fn new(db: &Db) -> Self {
        Self {
            queue: Mutex::default(),
            db: db.apart(LANES),
        }
    }

    /// Records a statement, together with all others that wait, and with it the answer to `request` and, of an agent that
    /// it registers, the event. It is committed even where the client goes away meanwhile.
    pub(super) async fn record(
        &self,
        app: &Shared,
        signed: Signed,
        event: Option<Event>,
        request: Option<Request>,
    ) -> Result<Recorded, Problem> {
        let (tell, told) = oneshot::channel();
        {
            let mut queue = self.queue();
            if queue.waiting.len() >= MOST_WAITING {
                let detail = "too many statements wait to be recorded: try again later";
                return Err(Problem::new(Code::Limited, detail));
            }
            let client = Client {
                request,
                event,
                attempts: 0,
                tell,
            };
            queue.waiting.push_back(Waiting { signed, client });
        }
        let app = Shared::clone(app);
        tokio::spawn(async move { app.statements.drain(&app).await });
        told.await.unwrap_or_else(|_| {
            let detail = "the process stops: ask whether the statement was recorded";
            Err(Problem::new(Code::Unavailable, detail))
        })
    }

    /// Records what waits, as far as it is worth a transaction beside those that run. Who runs one comes here again
    /// after it, so that nothing is left waiting.
    async fn drain(&self, app: &Shared) {
        while let Some(mut lane) = self.take() {
            let again = commit(&self.db, mem::take(&mut lane.batch)).await;
            app.committed.notify_one();
            lane.end(again);
        }
    }

    /// The next ones, of each agent at most one: two of one agent stand in their order.
    fn take(&self) -> Option<Lane<'_>> {
        let mut queue = self.queue();
        let least = if queue.lanes == 0 { 1 } else { FULL };
        if queue.lanes == LANES || queue.waiting.len() < least {
            return None;
        }
        let (mut batch, mut later) = (Vec::new(), VecDeque::new());
        while let Some(one) = queue.waiting.pop_front() {
            if queue.busy.insert(one.agent().to_owned()) {
                batch.push(one);
            } else {
                later.push_back(one);
            }
            if batch.len() == AT_ONCE {
                break;
            }
        }
        later.append(&mut queue.waiting);
        queue.waiting = later;
        if batch.is_empty() {
            return None;
        }
        queue.lanes += 1;
        let agents = batch.iter().map(|one| one.agent().to_owned()).collect();
        let of = self;
        Some(Lane { of, agents, batch })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A transaction's statements. Their agents are free again when it is dropped.
#[derive(Debug)]
struct Lane<'a> {
    of: &'a Statements,
    agents: Vec<String>,
    batch: Vec<Waiting>,
}

impl Lane<'_> {
    /// Ends it; some are the next to be brought again.
    fn end(self, again: Vec<Waiting>) {
        let mut queue = self.of.queue();
        for one in again.into_iter().rev() {
            queue.waiting.push_front(one);
        }
        drop(queue);
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut queue = self.of.queue();
        queue.lanes -= 1;
        for agent in &self.agents {
            queue.busy.remove(agent);
        }
    }
}

/// Commits a batch and tells its outcomes; gives those that are to be brought again.
async fn commit(db: &Db, batch: Vec<Waiting>) -> Vec<Waiting> {
    let (mut signed, mut clients) = (Vec::new(), Vec::new());
    for one in batch {
        signed.push(one.signed);
        clients.push(one.client);
    }
    let is_last = clients.iter().any(|client| client.attempts == ATTEMPTS);
    let outcomes = match record(db, &signed, &clients).await {
        Ok(outcomes) => outcomes,
        // What one of them meets each time, was not another transaction in passing: the rest goes on without it.
        Err(Error::Raced) if is_last && signed.len() > 1 => one_by_one(db, &signed, &clients).await,
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

/// Records statements, the answers that may be asked for again, and who registered agents, in one transaction.
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
    let (mut answered, mut registered) = (Vec::new(), Vec::new());
    for (outcome, client) in outcomes.iter().zip(clients) {
        let Ok(recorded) = outcome else { continue };
        if let Some(request) = &client.request {
            answered.push(Answered {
                request,
                status: StatusCode::OK.as_u16(),
                body: serde_json::to_vec(recorded).map_err(Error::State)?,
            });
        }
        registered.extend(client.event.clone().map(|event| Event {
            resource_id: Some(recorded.agent.to_string()),
            ..event
        }));
    }
    request::finish(&mut tx, &answered).await?;
    audit_log::write(&mut tx, EventType::AgentRegistered, registered).await?;
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use did::ed25519::{self, SecretKey};
    use identity::statement::{Action, Nonce, Offered, Statement, Submission};
    use kernel::AgentId;
    use sqlx::{AssertSqlSafe, PgPool};
    use store::Clock;

    use super::*;

    const ORIGIN: &str = "queue.example";

    /// A registration by the key of this number.
    async fn waiting(number: usize) -> Waiting {
        asked(number).await.0
    }

    /// The same, and where its outcome is told.
    async fn asked(number: usize) -> (Waiting, oneshot::Receiver<Result<Recorded, Problem>>) {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let key = SecretKey::from_seed(&seed);
        let now = Clock::System.now();
        let statement = Statement {
            action: Action::Register,
            agent: key.public().did(),
            content: r#"{"name":"Waiting"}"#.to_owned(),
            sequence: 1,
            nonce: Nonce([0; 16]),
            issued: now.timestamp(),
            expires: now.timestamp() + 60,
            origin: ORIGIN.to_owned(),
        };
        let offered = Offered {
            by: statement.agent.clone(),
            signature: ed25519::signature_wire(&key.sign(&statement.key_bytes())),
        };
        let submission = Submission {
            statement,
            signatures: vec![offered],
        };
        let signed = statement::verify(submission, ORIGIN, now, &BTreeMap::new()).await;
        let (tell, told) = oneshot::channel();
        let waiting = Waiting {
            signed: signed.expect("signed"),
            client: Client {
                request: None,
                event: None,
                attempts: 0,
                tell,
            },
        };
        (waiting, told)
    }

    fn agents(lane: &Lane<'_>) -> Vec<String> {
        lane.batch
            .iter()
            .map(|one| one.agent().to_owned())
            .collect()
    }

    fn push(statements: &Statements, one: Waiting) {
        statements.queue().waiting.push_back(one);
    }

    #[tokio::test]
    async fn a_second_transaction_begins_where_it_is_worth_it_and_never_of_the_same_agents() {
        let nowhere = PgPool::connect_lazy("postgres://nobody@localhost/nothing").expect("a URL");
        let statements = Statements::new(&Db::from_pool(nowhere, Clock::System));
        assert!(statements.take().is_none(), "nothing waits");
        let first = waiting(0).await;
        let agent = first.agent().to_owned();
        push(&statements, first);
        let lane = statements
            .take()
            .expect("whoever comes first waits for nobody");
        push(&statements, waiting(0).await);
        for number in 1..FULL - 1 {
            push(&statements, waiting(number).await);
        }
        assert!(statements.take().is_none(), "too few wait");
        push(&statements, waiting(FULL).await);
        let beside = statements.take().expect("enough wait");
        assert_eq!(beside.batch.len(), FULL - 1);
        assert!(!agents(&beside).contains(&agent));
        for number in 0..FULL {
            let number = 2 * FULL + number;
            push(&statements, waiting(number).await);
        }
        assert!(statements.take().is_none(), "two are under way");
        beside.end(Vec::new());
        lane.end(vec![waiting(0).await]);
        let next = statements.take().expect("all wait");
        assert_eq!(agents(&next)[0], agent, "what is brought again comes first");
        assert_eq!(
            next.batch.len(),
            1 + FULL,
            "and one statement of an agent at once"
        );
        assert_eq!(statements.queue().waiting.len(), 1);
    }

    #[sqlx::test(migrations = "./migrations")]
    async fn whoever_meets_the_same_rows_each_time_fails_alone(pool: PgPool) {
        let db = Db::from_pool(pool, Clock::System);
        let (first, first_told) = asked(1).await;
        let (second, second_told) = asked(2).await;
        // One of the rows that the first one's agent gets is there, and stays.
        let did = first.agent();
        let left = format!(
            "SELECT set_config('chancery.cause', 'job:test', true);
             INSERT INTO identity.agent_identifiers (agent_id, kind, value, standing)
             VALUES ('{}', 'did', '{did}', 'verified')",
            AgentId::of_did(did)
        );
        let left = sqlx::raw_sql(AssertSqlSafe(left)).execute(db.pool()).await;
        left.expect("left");
        let mut batch = vec![first, second];
        for attempt in 0..ATTEMPTS {
            batch = commit(&db, batch).await;
            assert_eq!(batch.len(), 2, "brought again after attempt {attempt}");
        }
        assert!(commit(&db, batch).await.is_empty());
        assert!(first_told.await.expect("told").is_err());
        assert!(second_told.await.expect("told").is_ok());
    }
}
