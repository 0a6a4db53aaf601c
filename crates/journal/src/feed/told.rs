//! A sealed entry as the feed tells it, also where its body is not to be had.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kernel::AgentId;
use store::{Archive, Db};
use uuid::Uuid;

use crate::{
    body,
    entry::{Entry, EntryKind},
    error::{Error, Result},
    log::number,
    publication::{State, stored_state},
};

/// Bodies that are read at once, and how long one may take that was archived: so a page ends in time, whoever
/// keeps the bodies.
const AT_ONCE: usize = 32;
const PATIENCE: Duration = Duration::from_secs(2);

/// A sealed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its leaf.
    pub leaf_index: u64,
    /// Its id.
    pub cid: String,
    /// How far it is published.
    pub state: State,
    /// What it is about.
    pub kind: EntryKind,
    /// Whom it is about.
    pub agent: Option<AgentId>,
    /// When it was appended.
    pub appended_at: DateTime<Utc>,
    /// What it says; `None` where it was archived and nobody gives its body now, or where its body was altered.
    pub entry: Option<Entry>,
}

impl Told {
    /// Its place in the feed.
    pub fn place(&self) -> u64 {
        self.leaf_index + 1
    }
}

struct Row {
    leaf_index: i64,
    cid: String,
    kind: String,
    agent_id: Option<Uuid>,
    appended_at: DateTime<Utc>,
    state: String,
    body: Option<Vec<u8>>,
}

impl Row {
    async fn told(self, archive: &Archive) -> Result<Told> {
        let kind = EntryKind::parse(&self.kind);
        let unknown = || Error::Damaged(format!("entry {}: its kind is unknown", self.cid));
        let kind = kind.ok_or_else(unknown)?;
        let entry = entry(archive, &self.cid, self.body).await;
        Ok(Told {
            leaf_index: number(self.leaf_index)?,
            state: stored_state(&self.state)?,
            kind,
            agent: self.agent_id.map(AgentId),
            appended_at: self.appended_at,
            entry,
            cid: self.cid,
        })
    }
}

/// What an entry says, unless its body is not to be had in time or is not the one that was sealed: one damaged row
/// holds up nobody.
async fn entry(archive: &Archive, cid: &str, stored: Option<Vec<u8>>) -> Option<Entry> {
    let read = async {
        let body = match stored {
            Some(body) => body::checked(cid, body)?,
            None => body::of(archive, cid, None).await?,
        };
        Ok::<_, Error>(Entry::parse(&body)?)
    };
    let why = match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(entry)) => return Some(entry),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("nobody gave it within {} s", PATIENCE.as_secs()),
    };
    tracing::warn!(cid, "the feed tells of an entry without its body: {why}");
    None
}

/// The entries of these leaves, in the order of their leaves.
pub(super) async fn by_leaf(db: &Db, leaves: &[i64]) -> Result<Vec<Told>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT v.leaf_index AS "leaf_index!", v.cid AS "cid!", v.kind AS "kind!", v.agent_id,
                  v.appended_at AS "appended_at!", v.state AS "state!", e.body
             FROM journal.v_entries v JOIN journal.entries e ON e.seq = v.seq
            WHERE v.leaf_index = ANY($1) ORDER BY v.leaf_index"#,
        leaves,
    )
    .fetch_all(db.pool())
    .await?;
    stream::iter(rows)
        .map(|row| row.told(db.archive()))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}
