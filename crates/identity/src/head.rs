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

/// What a projection has to tell the feed of one agent.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub agent: AgentId,
    /// Changes that may be new; what the feed says already is not told again.
    pub new: Vec<Change>,
    /// After a fold from the first fact, all changes there are: what the feed says beyond is undone.
    pub everything: Option<Vec<Change>>,
}

/// Tells the feed what is new, and what is undone.
pub(crate) async fn record(tx: &mut Tx, shown: &[Shown]) -> Result<()> {
    undo(tx, shown).await?;
    let flat: Vec<(Uuid, &Change)> = shown
        .iter()
        .flat_map(|one| one.new.iter().map(|change| (one.agent.0, change)))
        .collect();
    if flat.is_empty() {
        return Ok(());
    }
    let agents: Vec<Uuid> = flat.iter().map(|(agent, _)| *agent).collect();
    let whats: Vec<&str> = flat
        .iter()
        .map(|(_, change)| change.column.as_str())
        .collect();
    let values: Vec<&Value> = flat.iter().map(|(_, change)| &change.value).collect();
    let causes: Vec<&str> = flat
        .iter()
        .map(|(_, change)| change.cause.as_str())
        .collect();
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO identity.head_changes (at, agent_id, what, value, cause, undone)
         SELECT $1, c.agent, c.what, c.value, c.cause, false
           FROM unnest($2::uuid[], $3::text[], $4::jsonb[], $5::text[])
                WITH ORDINALITY AS c(agent, what, value, cause, place)
          WHERE coalesce((SELECT h.undone FROM identity.head_changes h
                           WHERE h.agent_id = c.agent AND h.cause = c.cause AND h.what = c.what
                           ORDER BY h.seq DESC LIMIT 1), true)
          ORDER BY c.place",
        now,
        &agents,
        &whats as &[&str],
        &values as &[&Value],
        &causes as &[&str],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What the feed said last and the facts do not say any more.
async fn undo(tx: &mut Tx, shown: &[Shown]) -> Result<()> {
    let mut agents = Vec::new();
    let (mut of, mut whats, mut causes) = (Vec::new(), Vec::new(), Vec::new());
    for one in shown {
        let Some(everything) = &one.everything else {
            continue;
        };
        agents.push(one.agent.0);
        for change in everything {
            of.push(one.agent.0);
            whats.push(change.column.as_str());
            causes.push(change.cause.as_str());
        }
    }
    if agents.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO identity.head_changes (at, agent_id, what, value, cause, undone)
         SELECT $1, h.agent_id, h.what, h.value, h.cause, true
           FROM (SELECT DISTINCT ON (agent_id, cause, what) seq, agent_id, what, value, cause, undone
                   FROM identity.head_changes WHERE agent_id = ANY($2)
                  ORDER BY agent_id, cause, what, seq DESC) h
           LEFT JOIN unnest($3::uuid[], $4::text[], $5::text[]) AS k(agent, what, cause)
                  ON k.agent = h.agent_id AND k.what = h.what AND k.cause = h.cause
          WHERE NOT h.undone AND k.agent IS NULL
          ORDER BY h.seq",
        now,
        &agents,
        &of,
        &whats as &[&str],
        &causes as &[&str],
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
    Ok(
        sqlx::query!("DELETE FROM identity.head_changes WHERE at < $1", before)
            .execute(tx.conn())
            .await?
            .rows_affected(),
    )
}
