//! One process of the code under test: a pool of its own, a clock that may be wrong, a sealer, and transactions that
//! it has open.

use std::{collections::BTreeSet, sync::Arc};

use chrono::{DateTime, Utc};
use journal::{Appended, LogKey, NewEntry, Sealer, append};
use store::{Cause, Clock, Db, Tx};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{
    database::Database,
    oracle::{Chain, Written},
};

/// The signed log's name.
pub const ORIGIN: &str = "example.com/simulated";

pub struct Process {
    pub name: String,
    pub holder: Uuid,
    pub clock: Clock,
    pub db: Db,
    pub sealer: Arc<Sealer>,
    pub open: Vec<Open>,
    pub blocked: Vec<Blocked>,
}

/// A transaction that was begun.
pub struct Open {
    pub id: i64,
    pub tx: Tx,
    pub pid: i32,
    /// Chains that it appended to.
    pub touched: BTreeSet<Chain>,
    pub written: Vec<Written>,
}

/// A transaction that waits for another one of the same chain.
pub struct Blocked {
    pub id: i64,
    pub pid: i32,
    pub touched: BTreeSet<Chain>,
    pub entries: Vec<NewEntry>,
    pub task: JoinHandle<(Tx, journal::Result<Vec<Appended>>)>,
}

impl Process {
    pub fn new(database: &Database, number: usize, holder: u128, now: DateTime<Utc>) -> Self {
        let name = format!("process-{number}");
        let clock = Clock::manual(now);
        let key = LogKey::from_seed(&[7; 32]);
        Self {
            db: Db::from_pool(database.process(&name), clock.clone()),
            name,
            holder: Uuid::from_u128(holder),
            clock,
            sealer: Arc::new(Sealer::new(key, Some(ORIGIN)).expect("a proper origin")),
            open: Vec::new(),
            blocked: Vec::new(),
        }
    }

    pub async fn begin(&self, id: i64) -> Result<Open, store::Error> {
        let mut tx = self.db.begin(Cause::Job("simulation")).await?;
        let pid = sqlx::query_scalar("SELECT pg_backend_pid()");
        let pid = pid.fetch_one(tx.conn()).await?;
        Ok(Open {
            id,
            tx,
            pid,
            touched: BTreeSet::new(),
            written: Vec::new(),
        })
    }

    /// As after `kill -9`, once the server has noticed: what was open is undone.
    pub async fn kill(&mut self, database: &Database) {
        self.abandon().await;
        database.cut(&self.name).await;
        self.db.pool().close().await;
        database.until_gone(&self.name).await;
    }

    /// Nobody waits any more for what is open.
    pub async fn abandon(&mut self) {
        self.open.clear();
        for blocked in self.blocked.drain(..) {
            blocked.task.abort();
            let _ = blocked.task.await;
        }
    }
}

impl Open {
    /// Appends in a task of its own, because it may wait for another transaction's end.
    pub fn append_behind(mut self, entries: Vec<NewEntry>, touched: BTreeSet<Chain>) -> Blocked {
        let (id, pid, given) = (self.id, self.pid, entries.clone());
        let task = tokio::spawn(async move {
            let appended = append(&mut self.tx, given).await;
            (self.tx, appended)
        });
        Blocked {
            id,
            pid,
            touched,
            entries,
            task,
        }
    }
}
