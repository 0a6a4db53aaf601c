//! What beats lead to: liveness becomes `active` with the first one and `inactive` once the next is overdue. Only that
//! is a fact, an act of `liveness`, and goes into the histories and the journal.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use kernel::AgentId;
use serde_json::json;
use store::{Cause, Db, Outcome, Tx};
use uuid::Uuid;

use super::{Falls, LEAST_TTL, Pulse, agree, pulse::hold, ttl};
use crate::{
    Result,
    project::{Feed, Mode, lock, without_beats},
};

/// Most agents whose liveness changes in one transaction.
const BATCH: i64 = 1_000;

/// Most rows of agents that are brought up to date in one.
const SHOWN: i64 = 5_000;

/// Who the acts are of.
const WHO: &str = "liveness";

/// An agent whose liveness is not what its beats say.
struct Due {
    agent: Uuid,
    alive: bool,
    last: DateTime<Utc>,
}

/// Tells of agents that beat and were not alive, and of those whose next beat is overdue.
pub async fn transit(db: &Db) -> Result<Outcome> {
    let now = db.clock().now();
    let found = sqlx::query_scalar!(
        "SELECT agent_id FROM identity.heartbeats WHERE alive <> (next_due > $1) LIMIT $2",
        now,
        BATCH,
    )
    .fetch_all(db.pool())
    .await?;
    if found.is_empty() {
        return Ok(Outcome::Idle);
    }
    let mut tx = db.begin(Cause::Job(WHO)).await?;
    // Beats do not wait for this: their rows are written last. Who does the same elsewhere waits here, and finds
    // nothing more to do.
    let mut ids = found.clone();
    ids.sort_unstable();
    lock(&mut tx, &ids).await?;
    let due = due(&mut tx, &ids).await?;
    if !due.is_empty() {
        act(&mut tx, &due).await?;
        let agents: Vec<AgentId> = due.iter().map(|due| AgentId(due.agent)).collect();
        let projected = without_beats(&mut tx, &agents, Mode::Forward, Feed::Told).await?;
        told(&mut tx, &due, projected.1).await?;
    }
    tx.commit().await?;
    let more = i64::try_from(found.len()).is_ok_and(|found| found == BATCH);
    Ok(if more { Outcome::Busy } else { Outcome::Idle })
}

/// Read under the lock.
async fn due(tx: &mut Tx, agents: &[Uuid]) -> Result<Vec<Due>> {
    let now = tx.now();
    let due = sqlx::query_as!(
        Due,
        r#"SELECT agent_id AS agent, next_due > $2 AS "alive!", last FROM identity.heartbeats
            WHERE agent_id = ANY($1) AND alive <> (next_due > $2) ORDER BY agent_id"#,
        agents,
        now,
    );
    Ok(due.fetch_all(tx.conn()).await?)
}

async fn act(tx: &mut Tx, due: &[Due]) -> Result<()> {
    let now = tx.now();
    let agents: Vec<Uuid> = due.iter().map(|due| due.agent).collect();
    let changes: Vec<_> = due
        .iter()
        .map(|due| json!({ WHO: if due.alive { "active" } else { "inactive" } }))
        .collect();
    let reasons: Vec<String> = due
        .iter()
        .map(|due| {
            let last = due.last.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
            let what = if due.alive {
                "heartbeat at"
            } else {
                "no heartbeat since"
            };
            format!("{what} {last}")
        })
        .collect();
    sqlx::query!(
        "INSERT INTO identity.acts (agent_id, kind, at, who, changes, reason, founding)
         SELECT s.id, 'update', greatest($4, (SELECT c.head_time FROM chain.v_chains c
                                               WHERE c.chain_id = s.chain_id)),
                $5, d.changes, d.reason, (SELECT founding FROM identity.tokens WHERE agent_id = s.id)
           FROM unnest($1::uuid[], $2::jsonb[], $3::text[]) AS d(id, changes, reason)
           JOIN identity.subjects s ON s.id = d.id ORDER BY s.id",
        &agents,
        &changes,
        &reasons,
        now,
        WHO,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Remembers what was told. A beat that came meanwhile changes nothing of it: if it makes somebody alive who was told
/// to be inactive, the next round tells that.
async fn told(tx: &mut Tx, due: &[Due], heard: Vec<Pulse>) -> Result<()> {
    let mut heard: HashMap<Uuid, Pulse> = heard
        .into_iter()
        .map(|pulse| (pulse.agent, pulse))
        .collect();
    let pulses = due.iter().map(|due| {
        let heard = heard.remove(&due.agent);
        Pulse {
            agent: due.agent,
            // Told also where somebody holds the row, and the fold follows later: else it is told again and again.
            alive: due.alive,
            beat: heard.and_then(|pulse| pulse.beat),
            term: heard.and_then(|pulse| pulse.term),
        }
    });
    agree(tx, pulses.collect(), Falls::Overdue).await
}

/// Writes the last beat into the rows of agents, for those who read them with SQL: once per TTL, because a row of
/// `agents` is wide. Whom somebody holds is left for later.
pub async fn show(db: &Db) -> Result<Outcome> {
    let mut tx = db.begin(Cause::Job(WHO)).await?;
    let ids = sqlx::query_scalar!(
        "SELECT agent_id FROM identity.heartbeats h
          WHERE last > coalesce(shown, '-infinity')
            AND last >= coalesce(shown, '-infinity') + CASE
                    -- The term of a beat on chain is no measure for those that come otherwise meanwhile.
                    WHEN next_due - last > make_interval(secs => $2)
                    THEN (SELECT make_interval(secs => CASE WHEN a.ttl > 0 THEN greatest(a.ttl, $3::float8) ELSE $2 END)
                            FROM identity.agents a WHERE a.id = h.agent_id)
                    ELSE next_due - last END
            AND EXISTS (SELECT FROM identity.agents a WHERE a.id = h.agent_id) LIMIT $1",
        SHOWN,
        ttl(None).as_seconds_f64(),
        LEAST_TTL.as_seconds_f64(),
    )
    .fetch_all(tx.conn())
    .await?;
    if ids.is_empty() {
        return Ok(Outcome::Idle);
    }
    let taken = sqlx::query_scalar!(
        "SELECT id FROM identity.agents WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED",
        &ids,
    )
    .fetch_all(tx.conn())
    .await?;
    sqlx::query!(
        "UPDATE identity.agents a
            SET last_heartbeat = greatest(a.last_heartbeat, h.last), last_active_at = greatest(a.last_active_at, h.last)
           FROM identity.heartbeats h WHERE h.agent_id = a.id AND a.id = ANY($1)",
        &taken,
    )
    .execute(tx.conn())
    .await?;
    hold(&mut tx, &taken).await?;
    sqlx::query!(
        "UPDATE identity.heartbeats SET shown = last WHERE agent_id = ANY($1)",
        &taken
    )
    .execute(tx.conn())
    .await?;
    let more =
        taken.len() == ids.len() && i64::try_from(ids.len()).is_ok_and(|found| found == SHOWN);
    tx.commit().await?;
    Ok(if more { Outcome::Busy } else { Outcome::Idle })
}
