//! What should be kept, and where it is confirmed that it is.
//!
//! A pin is wanted in the transaction of the record that names it. The blockstore has its bytes
//! already; Kubo is given them by a job, and believed only after it was asked again.

mod recheck;
mod round;

use chrono::{DateTime, Utc};
use kernel::{Cid, Limit, Page};
use serde::Serialize;
use store::{Db, Tx, job};

pub use self::{
    recheck::{catch_up, recheck},
    round::pin_due,
};
use crate::{Content, Result};

/// The kind of the jobs, keyed by CID.
pub const JOB: &str = "pin";
/// Where a CID stands at one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pin {
    /// The root of what is kept.
    pub cid: String,
    /// `local` or `kubo`.
    pub store: String,
    /// `queued`, `stored`, `pinned`, `failed` or `lost`.
    pub state: String,
    /// Attempts that failed.
    pub attempts: i32,
    /// What the last one said.
    pub last_error: Option<String>,
    /// When `state` was confirmed or changed.
    pub updated_at: DateTime<Utc>,
}

/// Asks for `cids` to be kept. Their blocks must be in the blockstore by now; without Kubo that is
/// all, with Kubo a job follows. Asking again is nothing new.
pub async fn want(tx: &mut Tx, content: &Content, cids: &[Cid]) -> Result<()> {
    let names: Vec<String> = cids.iter().map(Cid::to_string).collect();
    let states: Vec<String> = cids
        .iter()
        .map(|cid| {
            if content.blocks().has(cid) {
                "stored"
            } else {
                "lost"
            }
            .to_owned()
        })
        .collect();
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO content.pins AS p (cid, store, state, updated_at)
         SELECT DISTINCT ON (cid) cid, 'local', state, $3
           FROM unnest($1::text[], $2::text[]) AS wanted (cid, state) ORDER BY cid
         ON CONFLICT (cid, store) DO UPDATE SET state = excluded.state, updated_at = $3
          WHERE p.state <> excluded.state",
        &names,
        &states,
        now,
    )
    .execute(tx.conn())
    .await?;
    if content.kubo().is_none() {
        return Ok(());
    }
    let queued = sqlx::query_scalar!(
        "INSERT INTO content.pins AS p (cid, store, state, updated_at)
         SELECT DISTINCT cid, 'kubo', 'queued', $2::timestamptz FROM unnest($1::text[]) AS cid ORDER BY cid
         ON CONFLICT (cid, store) DO UPDATE SET state = 'queued', updated_at = $2
          WHERE p.state = 'lost'
         RETURNING cid",
        &names,
        now,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(job::enqueue(tx, JOB, &queued, now).await?)
}

/// Where `cid` is kept, by store.
pub async fn find(db: &Db, cid: &Cid) -> Result<Vec<Pin>> {
    let pins = sqlx::query_as!(
        Pin,
        "SELECT cid, store, state, attempts, last_error, updated_at
           FROM content.pins WHERE cid = $1 ORDER BY store",
        cid.to_string(),
    )
    .fetch_all(db.pool())
    .await?;
    Ok(pins)
}

/// All pins by CID and store; `cursor` is the last page's.
pub async fn list(db: &Db, cursor: Option<&str>, limit: Limit) -> Result<Page<Pin>> {
    let (cid, store) = cursor
        .and_then(|cursor| cursor.split_once('/'))
        .unwrap_or_default();
    let pins = sqlx::query_as!(
        Pin,
        "SELECT cid, store, state, attempts, last_error, updated_at
           FROM content.pins WHERE (cid, store) > ($1, $2) ORDER BY cid, store LIMIT $3",
        cid,
        store,
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    Ok(Page::from_lookahead(pins, limit, |pin| {
        format!("{}/{}", pin.cid, pin.store)
    }))
}
