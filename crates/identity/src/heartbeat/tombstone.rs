//! What an agent that ended for good leaves here that is no fact: the row of its last beat, which each look for who is
//! overdue reads.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use store::{Cause, Db, Outcome};
use uuid::Uuid;

use crate::{Result, dirty};

/// Most agents of one transaction.
const BATCH: i64 = 1_000;

/// Forgets the last beats of agents that ended before this time, and neither beat nor were due since. Their rows show
/// what facts say then: the last beat on chain, or none, and that they were active when they last became so. Facts,
/// histories and the journal keep what they have. Busy where there may be more.
pub async fn collect(db: &Db, ended_before: DateTime<Utc>) -> Result<Outcome> {
    let mut tx = db.begin(Cause::Job("tombstone")).await?;
    // The array is made once: a subquery that locks might be asked again for each row.
    let gone = sqlx::query_scalar!(
        "DELETE FROM identity.heartbeats WHERE agent_id = ANY(ARRAY(
             SELECT h.agent_id FROM identity.heartbeats h JOIN identity.agents a ON a.id = h.agent_id
              WHERE a.status_final AND NOT h.alive AND greatest(h.last, h.next_due) < $1
                AND NOT EXISTS (SELECT FROM identity.agent_status_history s
                                 WHERE s.agent_id = h.agent_id AND s.changed_at >= $1)
                AND NOT EXISTS (SELECT FROM identity.statements s
                                 WHERE s.agent_id = h.agent_id AND s.kind = 'deregister' AND s.at >= $1)
              LIMIT $2 FOR UPDATE OF h SKIP LOCKED))
         RETURNING agent_id",
        ended_before,
        BATCH,
    )
    .fetch_all(tx.conn())
    .await?;
    let more = i64::try_from(gone.len()).is_ok_and(|gone| gone == BATCH);
    let gone: HashSet<Uuid> = gone.into_iter().collect();
    dirty::mark(&mut tx, &gone, false).await?;
    tx.commit().await?;
    Ok(if more { Outcome::Busy } else { Outcome::Idle })
}
