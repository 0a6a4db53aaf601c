//! What the tests of this crate share.

use std::time::Duration;

use chrono::DateTime;
use kernel::AgentId;
use sqlx::PgPool;
use store::{Cause, Clock, Db, Tx, lease, lease::Lease};
use uuid::Uuid;

use crate::{Appended, Change, LogKey, NewEntry, Sealed, Sealer, append};

pub fn db(pool: PgPool) -> Db {
    let start = DateTime::from_timestamp(1_767_323_045, 0).expect("in range");
    Db::from_pool(pool, Clock::manual(start))
}

pub async fn begin(db: &Db) -> Tx {
    db.begin(Cause::Job("test")).await.expect("begins")
}

pub fn agent(n: u64) -> AgentId {
    AgentId::of_did(&format!("did:test:{n}"))
}

pub fn change(value: impl Into<serde_json::Value>, cause: &str) -> Change {
    let (column, cause) = ("name".to_owned(), cause.to_owned());
    Change {
        column,
        value: value.into(),
        cause,
        time: DateTime::UNIX_EPOCH,
    }
}

/// Appends and commits entries of one change each, for the agents of these numbers.
pub async fn say(db: &Db, agents: impl IntoIterator<Item = u64>, cause: &str) -> Vec<Appended> {
    let entries = agents
        .into_iter()
        .map(|n| NewEntry::agent(agent(n), vec![change(n, cause)]))
        .collect();
    commit(db, entries).await
}

pub async fn commit(db: &Db, entries: Vec<NewEntry>) -> Vec<Appended> {
    let mut tx = begin(db).await;
    let appended = append(&mut tx, entries).await.expect("appends");
    tx.commit().await.expect("commits");
    appended
}

pub fn sealer() -> Sealer {
    Sealer::new(LogKey::from_seed(&[7; 32]), Some("example.com/log")).expect("a proper origin")
}

pub async fn lease(db: &Db) -> Lease {
    lease::acquire(db, "test", Uuid::from_u128(1), Duration::from_mins(10))
        .await
        .expect("answers")
        .expect("free")
}

/// Seals until nothing is left; the number of entries.
pub async fn seal_all(db: &Db, sealer: &Sealer) -> usize {
    let lease = lease(db).await;
    let mut sum = 0;
    while let Sealed::Batch { entries, .. } = sealer.seal_once(db, &lease).await.expect("seals") {
        sum += entries;
    }
    sum
}

/// Waits until another connection to this database waits for a lock.
pub async fn until_blocked(db: &Db) {
    loop {
        let blocked: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(db.pool())
        .await
        .expect("answers");
        if blocked > 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
}
