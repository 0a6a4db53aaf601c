//! Histories: `agent_status_history` and `status_changes`. Those of new agents go in by COPY.

use kernel::DerivedTable;
use serde::Serialize;
use serde_json::Value;
use store::{Tx, copy::Rows};
use uuid::Uuid;

use super::{Folded, json};
use crate::{Result, fact::RuntimeStatus};

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

fn status_rows(one: &Folded) -> impl Iterator<Item = StatusRow<'_>> {
    let agent = one.subject.id;
    one.delta.history.iter().map(move |change| StatusRow {
        id: agent.derived(DerivedTable::StatusHistory, &change.cause),
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
}

/// Columns of [`put_history`] and of [`put_dimensions`].
pub(super) const COLUMNS: i16 = 10;

/// Puts a new agent's status history.
pub(super) fn put_history(rows: &mut Rows, one: &Folded) -> Result<()> {
    for row in status_rows(one) {
        rows.row()
            .uuid(row.id)
            .uuid(row.agent_id)
            .maybe(row.previous_status, Rows::text)
            .text(row.new_status)
            .time(row.changed_at)
            .maybe(row.reason, Rows::text);
        match row.metadata {
            Some(metadata) => rows.jsonb(metadata)?,
            None => rows.null(),
        };
        rows.integer(row.seq).text(row.cause).text(row.who);
    }
    Ok(())
}

/// Copies new rows.
pub(super) async fn copy_history(tx: &mut Tx, rows: &mut Rows) -> Result<()> {
    let statement = "COPY identity.agent_status_history
            (id, agent_id, previous_status, new_status, changed_at, reason, metadata, seq, cause, who)
        FROM STDIN (FORMAT binary)";
    Ok(rows.copy(tx, statement).await?)
}

pub(super) async fn history(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    if shown.is_empty() {
        return Ok(());
    }
    let rows: Vec<StatusRow<'_>> = shown.iter().flat_map(|one| status_rows(one)).collect();
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

fn dimension_rows(one: &Folded) -> impl Iterator<Item = DimensionChange<'_>> {
    let agent = one.subject.id;
    one.delta.dimensions.iter().map(move |row| DimensionChange {
        id: agent.derived(
            DerivedTable::StatusChanges,
            &format!("{}/{}", row.cause, row.dimension),
        ),
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
}

/// Puts the histories of a new agent's other dimensions.
pub(super) fn put_dimensions(rows: &mut Rows, one: &Folded) {
    for row in dimension_rows(one) {
        rows.row()
            .uuid(row.id)
            .uuid(row.agent_id)
            .text(row.dimension)
            .maybe(row.previous, Rows::text)
            .text(row.new)
            .time(row.changed_at)
            .maybe(row.reason, Rows::text)
            .integer(row.seq)
            .text(row.cause)
            .text(row.who);
    }
}

/// Copies new rows.
pub(super) async fn copy_dimensions(tx: &mut Tx, rows: &mut Rows) -> Result<()> {
    let statement = "COPY identity.status_changes
            (id, agent_id, dimension, previous, new, changed_at, reason, seq, cause, who)
        FROM STDIN (FORMAT binary)";
    Ok(rows.copy(tx, statement).await?)
}

pub(super) async fn dimensions(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    if shown.is_empty() {
        return Ok(());
    }
    let rows: Vec<DimensionChange<'_>> = shown.iter().flat_map(|one| dimension_rows(one)).collect();
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
