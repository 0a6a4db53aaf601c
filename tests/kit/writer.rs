//! Whoever appends to a journal while other things happen to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use journal::{Change, NewEntry};
use kernel::AgentId;
use sqlx::{PgPool, postgres::PgPoolOptions};
use store::{Cause, Clock, Db};

use super::until;

/// Commits entries, some at a time, until it is stopped. It has a thread of its own: tests stand still while they
/// wait for processes.
pub struct Writer {
    stop: Arc<AtomicBool>,
    commits: Arc<AtomicUsize>,
    thread: JoinHandle<Vec<String>>,
}

impl Writer {
    /// One that writes of agents of its own, by its name, into the database of `pool`.
    pub fn start(pool: &PgPool, name: &str) -> Self {
        let options = (*pool.connect_options()).clone();
        let (stop, commits) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, done, name) = (Arc::clone(&stop), Arc::clone(&commits), name.to_owned());
        let write = async move {
            let pool = PgPoolOptions::new().max_connections(1);
            let db = Db::from_pool(pool.connect_with(options).await.unwrap(), Clock::System);
            let mut acknowledged = Vec::new();
            for round in 0.. {
                if stopped.load(Relaxed) {
                    break;
                }
                // Postgres may be restarted meanwhile: what then fails is not acknowledged.
                if let Ok(committed) = commit(&db, &name, round).await {
                    acknowledged.extend(committed);
                    done.fetch_add(1, Relaxed);
                }
                // A steady rate, and not all that the machine gives.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            acknowledged
        };
        let thread = thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(write)
        });
        Self {
            stop,
            commits,
            thread,
        }
    }

    /// Waits until so many more transactions were committed.
    pub async fn more(&self, commits: usize) {
        let enough = self.commits.load(Relaxed) + commits;
        until("entries are committed", Duration::from_mins(1), || async {
            (self.commits.load(Relaxed) >= enough).then_some(())
        })
        .await;
    }

    /// Stops it; gives the CIDs of all that was committed, in order.
    pub fn stop(self) -> Vec<String> {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap()
    }
}

/// One transaction of one to seven entries: the first is of somebody new, so that the layout never ends growing, and the
/// others of those who were there before.
async fn commit(db: &Db, name: &str, round: u64) -> journal::Result<Vec<String>> {
    let entry = |n: u64| {
        let change = Change {
            column: "description".to_owned(),
            value: format!("{round} and {n}").into(),
            cause: format!("act:{round}"),
            time: chrono::DateTime::UNIX_EPOCH,
        };
        let number = round - n * (round / 7).max(1);
        let agent = format!("did:test:{name}:{number}");
        NewEntry::agent(AgentId::of_did(&agent), vec![change])
    };
    let mut tx = db.begin(Cause::Job("test")).await?;
    let entries = (0..=round % 7).map(entry).collect();
    let appended = journal::append(&mut tx, entries).await?;
    tx.commit().await?;
    Ok(appended.into_iter().map(|one| one.cid).collect())
}
