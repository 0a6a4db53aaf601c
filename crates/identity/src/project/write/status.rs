//! Histories: `agent_status_history` and `status_changes`.

use kernel::DerivedTable;
use serde::Serialize;
use serde_json::Value;
use store::Tx;
use uuid::Uuid;

use super::{Folded, json};
use crate::{
    Result,
    fact::RuntimeStatus,
    fold::{DimensionRow, HistoryRow},
};

/// A row of `identity.agent_status_history`.
#[derive(Debug, Serialize)]
struct StatusRow<'a> {
    id: Uuid,
    agent_id: Uuid,
    previous_status: Option<&'static str>,
    new_status: &'static str,
    changed_at: chrono::DateTime<chrono::Utc>,
    reason: Option<&'a str>,
    metadata: Option<&'a Value>,
    seq: i32,
    cause: &'a str,
    who: &'a str,
}

pub(super) async fn history(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    let row = |agent: kernel::AgentId, row: &HistoryRow| -> Uuid {
        agent.derived(DerivedTable::StatusHistory, &row.cause)
    };
    let rows: Vec<StatusRow<'_>> = shown
        .iter()
        .flat_map(|one| {
            one.delta
                .history
                .iter()
                .map(move |change| (one.subject.id, change))
        })
        .map(|(agent, change)| StatusRow {
            id: row(agent, change),
            agent_id: agent.0,
            previous_status: change.previous.map(RuntimeStatus::as_str),
            new_status: change.new.as_str(),
            changed_at: change.at,
            reason: change.reason.as_deref(),
            metadata: change.metadata.as_ref(),
            seq: change.seq,
            cause: &change.cause,
            who: &change.who,
        })
        .collect();
    let ids: Vec<Uuid> = shown.iter().map(|one| one.subject.id.0).collect();
    let bases: Vec<i32> = shown.iter().map(|one| one.base.history).collect();
    let keep: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    // What history said beyond the saved state, and what the facts no longer say.
    sqlx::query!(
        "DELETE FROM identity.agent_status_history h
          USING unnest($1::uuid[], $2::int[]) AS w(id, base)
          WHERE h.agent_id = w.id AND h.seq >= w.base
            AND NOT EXISTS (SELECT FROM unnest($3::uuid[]) AS k(id) WHERE k.id = h.id)",
        &ids,
        &bases,
        &keep,
    )
    .execute(tx.conn())
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO identity.agent_status_history AS h
         SELECT * FROM json_populate_recordset(NULL::identity.agent_status_history, $1::text::json)
         ON CONFLICT (id) DO UPDATE
            SET previous_status = EXCLUDED.previous_status, new_status = EXCLUDED.new_status,
                changed_at = EXCLUDED.changed_at, reason = EXCLUDED.reason,
                metadata = EXCLUDED.metadata, seq = EXCLUDED.seq, who = EXCLUDED.who
          WHERE h IS DISTINCT FROM EXCLUDED",
        json(&rows)?,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A row of `identity.status_changes`.
#[derive(Debug, Serialize)]
struct DimensionChange<'a> {
    id: Uuid,
    agent_id: Uuid,
    dimension: &'static str,
    previous: Option<&'a str>,
    new: &'a str,
    changed_at: chrono::DateTime<chrono::Utc>,
    reason: Option<&'a str>,
    seq: i32,
    cause: &'a str,
    who: &'a str,
}

pub(super) async fn dimensions(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    let id = |agent: kernel::AgentId, row: &DimensionRow| {
        agent.derived(
            DerivedTable::StatusChanges,
            &format!("{}/{}", row.cause, row.dimension),
        )
    };
    let rows: Vec<DimensionChange<'_>> = shown
        .iter()
        .flat_map(|one| {
            one.delta
                .dimensions
                .iter()
                .map(move |row| (one.subject.id, row))
        })
        .map(|(agent, row)| DimensionChange {
            id: id(agent, row),
            agent_id: agent.0,
            dimension: row.dimension,
            previous: row.previous.as_deref(),
            new: &row.new,
            changed_at: row.at,
            reason: row.reason.as_deref(),
            seq: row.seq,
            cause: &row.cause,
            who: &row.who,
        })
        .collect();
    let ids: Vec<Uuid> = shown.iter().map(|one| one.subject.id.0).collect();
    let liveness: Vec<i32> = shown.iter().map(|one| one.base.liveness).collect();
    let admin: Vec<i32> = shown.iter().map(|one| one.base.admin).collect();
    let load: Vec<i32> = shown.iter().map(|one| one.base.load).collect();
    let keep: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    sqlx::query!(
        "DELETE FROM identity.status_changes s
          USING unnest($1::uuid[], $2::int[], $3::int[], $4::int[]) AS w(id, liveness, admin, load)
          WHERE s.agent_id = w.id
            AND NOT EXISTS (SELECT FROM unnest($5::uuid[]) AS k(id) WHERE k.id = s.id)
            AND s.seq >= CASE s.dimension WHEN 'liveness' THEN w.liveness
                                          WHEN 'admin_status' THEN w.admin ELSE w.load END",
        &ids,
        &liveness,
        &admin,
        &load,
        &keep,
    )
    .execute(tx.conn())
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO identity.status_changes AS s
         SELECT * FROM json_populate_recordset(NULL::identity.status_changes, $1::text::json)
         ON CONFLICT (id) DO UPDATE
            SET previous = EXCLUDED.previous, new = EXCLUDED.new, changed_at = EXCLUDED.changed_at,
                reason = EXCLUDED.reason, seq = EXCLUDED.seq, who = EXCLUDED.who
          WHERE s IS DISTINCT FROM EXCLUDED",
        json(&rows)?,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
