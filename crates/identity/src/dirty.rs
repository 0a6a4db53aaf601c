//! Agents to project again: what plain SQL changed, whom a judged document touches, of whom
//! somebody held a row. One worker sweeps; it never waits for anybody.

use std::collections::HashSet;

use kernel::AgentId;
use store::{Cause, Db, Outcome, Tx};
use uuid::Uuid;

use crate::{
    Result,
    project::{Mode, Report, project},
};

/// How many agents one sweep takes.
const BATCH: i64 = 2_000;

/// Marks agents.
pub(crate) async fn mark(tx: &mut Tx, agents: &HashSet<Uuid>, refold: bool) -> Result<()> {
    let agents: Vec<Uuid> = agents.iter().copied().collect();
    sqlx::query!(
        "INSERT INTO identity.dirty (agent_id, refold) SELECT id, $2 FROM unnest($1::uuid[]) AS id",
        &agents,
        refold,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Marks everybody who ever named a URI, in the judge's transaction.
pub(crate) async fn mark_by_uri(tx: &mut Tx, uri: &[u8]) -> Result<u64> {
    let marked = sqlx::query!(
        // Whose current URI it is goes on from where it stands; for others it may change the past.
        "INSERT INTO identity.dirty (agent_id, refold)
         SELECT u.agent_id, t.uri_hash IS DISTINCT FROM u.uri_hash
           FROM identity.uri_agents u LEFT JOIN identity.tokens t ON t.agent_id = u.agent_id
          WHERE u.uri_hash = $1",
        uri,
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    Ok(marked)
}

/// Projects a batch of dirty agents. Idle where there was none, or only such as somebody holds.
pub async fn sweep(db: &Db) -> Result<Outcome> {
    let mut tx = db.begin(Cause::Job("sweep")).await?;
    let rows = sqlx::query!(
        "DELETE FROM identity.dirty WHERE seq IN
            (SELECT seq FROM identity.dirty ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING agent_id, refold",
        BATCH,
    )
    .fetch_all(tx.conn())
    .await?;
    if rows.is_empty() {
        return Ok(Outcome::Idle);
    }
    let refold: HashSet<Uuid> =
        rows.iter().filter(|row| row.refold).map(|row| row.agent_id).collect();
    let forward: HashSet<Uuid> = rows
        .iter()
        .map(|row| row.agent_id)
        .filter(|agent| !refold.contains(agent))
        .collect();
    let ids = |set: &HashSet<Uuid>| set.iter().copied().map(AgentId).collect::<Vec<_>>();
    let mut busy = 0;
    let mut all = Report::default();
    for (agents, mode) in [(ids(&forward), Mode::Forward), (ids(&refold), Mode::Refold)] {
        if agents.is_empty() {
            continue;
        }
        let report = project(&mut tx, &agents, mode).await?;
        busy += report.busy.len();
        all.head.extend(report.head);
    }
    let progressed = forward.len() + refold.len() > busy;
    crate::head::record(&mut tx, &all.head, false).await?;
    tx.commit().await?;
    Ok(if progressed { Outcome::Busy } else { Outcome::Idle })
}
