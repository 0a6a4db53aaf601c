//! Looking again at what was confirmed once.

use chrono::{DateTime, Utc};
use kernel::Cid;
use store::{Cause, Db, Outcome, job};

use super::JOB;
use crate::{Content, Result, content::MAX_DAG, lookup};

/// Confirms again up to `limit` pins that were last confirmed before `before`, oldest first: reads
/// and hashes our own blocks, and asks Kubo. What is lost is got back where somebody has it.
/// [`Outcome::Busy`] where there may be more.
pub async fn recheck(
    db: &Db,
    content: &Content,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<Outcome> {
    let due = sqlx::query!(
        "SELECT cid, store FROM content.pins
          WHERE state IN ('stored', 'pinned') AND updated_at < $1
            AND (store = 'local' OR $3) ORDER BY updated_at LIMIT $2",
        before,
        limit,
        content.kubo().is_some(),
    )
    .fetch_all(db.pool())
    .await?;
    for row in &due {
        let Ok(cid) = row.cid.parse::<Cid>() else {
            continue;
        };
        let lost = match content.kubo().filter(|_| row.store == "kubo") {
            Some(kubo) => {
                (!kubo.is_pinned(&cid).await?).then(|| "Kubo does not keep it".to_owned())
            }
            None => recheck_local(content, &cid).await,
        };
        if let Some(error) = &lost {
            tracing::error!(cid = %cid, store = row.store, "{cid} is lost at {}: {error}", row.store);
        }
        let mut tx = db.begin(Cause::Job("recheck")).await?;
        let now = tx.now();
        sqlx::query!(
            "UPDATE content.pins
                SET state = CASE WHEN $3::text IS NULL THEN state ELSE 'lost' END,
                    last_error = $3, updated_at = $4
              WHERE cid = $1 AND store = $2",
            row.cid,
            row.store,
            lost,
            now,
        )
        .execute(tx.conn())
        .await?;
        if lost.is_some() && row.store == "kubo" {
            job::enqueue(&mut tx, JOB, std::slice::from_ref(&row.cid), now).await?;
        }
        tx.commit().await?;
    }
    let more = i64::try_from(due.len()).is_ok_and(|found| found == limit);
    Ok(if more { Outcome::Busy } else { Outcome::Idle })
}

/// Why our own copy is lost for good.
async fn recheck_local(content: &Content, cid: &Cid) -> Option<String> {
    let missing = match lookup::missing(content.blocks(), cid, MAX_DAG).await {
        Ok(missing) => missing.len(),
        Err(error) => return Some(error.to_string()),
    };
    if missing == 0 {
        return None;
    }
    tracing::error!(%cid, missing, "{missing} blocks of {cid} are missing or corrupt; getting them back");
    content.heal(cid).await.err().map(|error| error.to_string())
}

/// Queues at Kubo up to `limit` of what our own blockstore keeps and Kubo was never asked to: what
/// was wanted before there was a Kubo. [`Outcome::Busy`] where there may be more.
pub async fn catch_up(db: &Db, content: &Content, limit: i64) -> Result<Outcome> {
    if content.kubo().is_none() {
        return Ok(Outcome::Idle);
    }
    let mut tx = db.begin(Cause::Job(JOB)).await?;
    let now = tx.now();
    let queued = sqlx::query_scalar!(
        "INSERT INTO content.pins (cid, store, state, updated_at)
         SELECT cid, 'kubo', 'queued', $2::timestamptz FROM content.pins AS own
          WHERE store = 'local' AND NOT EXISTS (
                SELECT FROM content.pins AS p WHERE p.cid = own.cid AND p.store = 'kubo')
          ORDER BY cid LIMIT $1
         ON CONFLICT (cid, store) DO NOTHING
         RETURNING cid",
        limit,
        now,
    )
    .fetch_all(tx.conn())
    .await?;
    job::enqueue(&mut tx, JOB, &queued, now).await?;
    tx.commit().await?;
    let more = i64::try_from(queued.len()).is_ok_and(|found| found == limit);
    Ok(if more { Outcome::Busy } else { Outcome::Idle })
}
