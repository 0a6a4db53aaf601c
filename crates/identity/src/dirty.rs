//! Agents to project again: what plain SQL changed, whom a judged document touches, of whom
//! somebody held a row. One worker sweeps; it never waits for anybody.

use std::collections::{BTreeMap, HashSet};

use kernel::AgentId;
use store::{Cause, Db, Outcome, Tx};
use uuid::Uuid;

use crate::{
    Error, Result,
    heartbeat::{self, Falls},
    project::{Feed, Mode, lock, without_beats},
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

/// Who of `agents` waits for the sweep.
pub async fn among(tx: &mut Tx, agents: &[Uuid]) -> Result<HashSet<Uuid>> {
    let rows = sqlx::query_scalar!(
        r#"SELECT DISTINCT agent_id AS "agent!" FROM identity.dirty WHERE agent_id = ANY($1)"#,
        agents
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().collect())
}

/// Marks everybody who ever named a URI, in the judge's transaction.
///
/// The first version stands at the logs that named the URI: whoever named it twice, or has another
/// one now, is folded from the start. Later ones stand at their own time, after all that is known.
pub(crate) async fn mark_by_uri(tx: &mut Tx, uri: &[u8], version: i32) -> Result<u64> {
    let marked = sqlx::query!(
        "INSERT INTO identity.dirty (agent_id, refold)
         SELECT u.agent_id, $2 AND (u.again OR t.uri_hash IS DISTINCT FROM u.uri_hash)
           FROM identity.uri_agents u LEFT JOIN identity.tokens t ON t.agent_id = u.agent_id
          WHERE u.uri_hash = $1",
        uri,
        version == 1,
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    Ok(marked)
}

/// Projects a batch of dirty agents. Idle where there was none, or only such as somebody holds or whose DID another one
/// still has.
///
/// Errors with [`Error::PutOff`] where nobody else was left than agents whose entries must wait. The batch is committed,
/// and they stand behind all others: who sweeps again makes a pause first.
pub async fn sweep(db: &Db) -> Result<Outcome> {
    let mut tx = db.begin(Cause::Job("sweep")).await?;
    let rows = sqlx::query!(
        "SELECT seq, agent_id, refold FROM identity.dirty ORDER BY seq LIMIT $1 FOR UPDATE SKIP LOCKED",
        BATCH,
    )
    .fetch_all(tx.conn())
    .await?;
    if rows.is_empty() {
        return Ok(Outcome::Idle);
    }
    let taken: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    let mut agents: BTreeMap<Uuid, bool> = BTreeMap::new();
    for row in rows {
        *agents.entry(row.agent_id).or_default() |= row.refold;
    }
    // All of them at once and in order, before the two parts take theirs.
    lock(&mut tx, &agents.keys().copied().collect::<Vec<_>>()).await?;
    let (mut busy, mut put_off, mut pulses) = (0, 0, Vec::new());
    for (refold, mode) in [(false, Mode::Forward), (true, Mode::Refold)] {
        let part: Vec<AgentId> = agents
            .iter()
            .filter(|(_, of)| **of == refold)
            .map(|(id, _)| AgentId(*id))
            .collect();
        if !part.is_empty() {
            let (report, beats) = without_beats(&mut tx, &part, mode, Feed::Told).await?;
            pulses.extend(beats);
            busy += report.busy.len();
            put_off += report.put_off.len();
        }
    }
    // Only now: whoever wants a DID that an agent of the other part has must see that this one waits, too.
    sqlx::query!("DELETE FROM identity.dirty WHERE seq = ANY($1)", &taken)
        .execute(tx.conn())
        .await?;
    heartbeat::agree(&mut tx, pulses, Falls::ByItsFacts).await?;
    tx.commit().await?;
    if agents.len() > busy + put_off {
        Ok(Outcome::Busy)
    } else if put_off > 0 {
        Err(Error::PutOff(put_off))
    } else {
        Ok(Outcome::Idle)
    }
}
