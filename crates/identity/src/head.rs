//! The head feed: what changed at the head, before it is settled, and what was undone.

use chrono::{DateTime, TimeDelta, Utc};
use journal::Change;
use kernel::AgentId;
use serde::Serialize;
use serde_json::Value;
use store::{Db, Tx};
use uuid::Uuid;

use crate::Result;

/// One change at the head.
#[derive(Debug, Clone, Serialize)]
pub struct HeadChange {
    /// Order of the feed.
    pub seq: i64,
    /// When it was seen.
    pub at: DateTime<Utc>,
    /// Whose.
    pub agent_id: Uuid,
    /// Column.
    pub what: String,
    /// New value.
    pub value: Option<Value>,
    /// The fact.
    pub cause: String,
    /// Whether a reorg took it back.
    pub undone: bool,
}

/// Records changes, or that they were undone.
pub async fn record(tx: &mut Tx, changes: &[(AgentId, Vec<Change>)], undone: bool) -> Result<()> {
    let flat: Vec<(Uuid, &Change)> = changes
        .iter()
        .flat_map(|(agent, changes)| changes.iter().map(|change| (agent.0, change)))
        .collect();
    if flat.is_empty() {
        return Ok(());
    }
    let agents: Vec<Uuid> = flat.iter().map(|(agent, _)| *agent).collect();
    let whats: Vec<String> = flat.iter().map(|(_, change)| change.column.clone()).collect();
    let values: Vec<Value> = flat.iter().map(|(_, change)| change.value.clone()).collect();
    let causes: Vec<String> = flat.iter().map(|(_, change)| change.cause.clone()).collect();
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO identity.head_changes (at, agent_id, what, value, cause, undone)
         SELECT $1, agent, what, value, cause, $6
           FROM unnest($2::uuid[], $3::text[], $4::jsonb[], $5::text[]) AS c(agent, what, value, cause)",
        now,
        &agents,
        &whats,
        &values,
        &causes,
        undone,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The newest changes, newest first.
pub async fn latest(db: &Db, limit: i64) -> Result<Vec<HeadChange>> {
    Ok(sqlx::query_as!(
        HeadChange,
        "SELECT seq, at, agent_id, what, value, cause, undone FROM identity.head_changes
          ORDER BY seq DESC LIMIT $1",
        limit,
    )
    .fetch_all(db.pool())
    .await?)
}

/// Forgets what is older than `keep`.
pub async fn expire(tx: &mut Tx, keep: TimeDelta) -> Result<u64> {
    let before = tx.now() - keep;
    Ok(sqlx::query!("DELETE FROM identity.head_changes WHERE at < $1", before)
        .execute(tx.conn())
        .await?
        .rows_affected())
}

/// Tells the feed that what it said because of some blocks' logs is undone.
pub async fn undo(tx: &mut Tx, agents: &[Uuid], causes: &[String]) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO identity.head_changes (at, agent_id, what, value, cause, undone)
         SELECT $1, h.agent_id, h.what, h.value, h.cause, true
           FROM identity.head_changes h
          WHERE h.agent_id = ANY($2) AND NOT h.undone
            AND EXISTS (SELECT FROM unnest($3::text[]) AS c(start) WHERE starts_with(h.cause, c.start))
          ORDER BY h.seq",
        now,
        agents,
        causes,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
