//! What should be kept, and where it is confirmed that it is.
//!
//! A pin is wanted in the transaction of the record that names it. The blockstore has its bytes
//! already; Kubo is given them by a job, and believed only after it was asked again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kernel::{Cid, Limit, Page};
use serde::Serialize;
use store::{Cause, Db, Outcome, Tx, job};

use crate::{
    Content, Error, Kubo, Result, car,
    content::MAX_DAG,
    lookup::{Gathered, gather},
};

/// The kind of the jobs, keyed by CID.
pub const JOB: &str = "pin";
/// How long a worker has for a round: longer than Kubo may take for it.
const LEASE: Duration = Duration::from_secs(600);
/// A CAR is sent when it has grown to this, in bytes.
const CAR_BYTES: usize = 16 << 20;

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

/// Pins up to `limit` of what is due at Kubo: gives it the blocks in a CAR, then asks whether it
/// keeps them. What fails is tried again later, for ever. [`Outcome::Busy`] where more is due and
/// Kubo is well.
pub async fn pin_due(db: &Db, content: &Content, limit: i64) -> Result<Outcome> {
    let Some(kubo) = content.kubo() else {
        return Ok(Outcome::Idle);
    };
    let jobs = job::claim(db, JOB, limit, LEASE).await?;
    if jobs.is_empty() {
        return Ok(Outcome::Idle);
    }
    let roots: Vec<Cid> = jobs.iter().filter_map(|job| job.key.parse().ok()).collect();
    let results = pin_all(kubo, content, &roots).await;
    let mut done = 0;
    for job in &jobs {
        let result = roots.iter().position(|root| root.to_string() == job.key);
        let error = match result.map(|at| &results[at]) {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(error.to_string()),
            None => Some("the job names no CID".to_owned()),
        };
        done += usize::from(error.is_none());
        record(db, job, error.as_deref()).await?;
    }
    let more = done > 0 && i64::try_from(jobs.len()).is_ok_and(|claimed| claimed == limit);
    Ok(if more { Outcome::Busy } else { Outcome::Idle })
}

/// Writes down what became of a job.
async fn record(db: &Db, job: &job::Job, error: Option<&str>) -> Result<()> {
    let mut tx = db.begin(Cause::Job(JOB)).await?;
    let now = tx.now();
    sqlx::query!(
        "UPDATE content.pins
            SET state = CASE WHEN $2::text IS NULL THEN 'pinned' ELSE 'failed' END,
                attempts = CASE WHEN $2::text IS NULL THEN attempts ELSE attempts + 1 END,
                last_error = left($2, 500), updated_at = $3
          WHERE cid = $1 AND store = 'kubo'",
        job.key,
        error,
        now,
    )
    .execute(tx.conn())
    .await?;
    match error {
        // Where the lease was lost, another worker has the job too; what Kubo confirmed is true
        // all the same.
        None => drop(job::finish(&mut tx, job).await?),
        Some(error) => {
            let at = now + job::back_off(job.attempts, &job.key);
            job::retry(&mut tx, job, at, error).await?;
        }
    }
    Ok(tx.commit().await?)
}

/// Gives Kubo the DAGs of `roots`, in as few CARs as their size allows; one result per root.
async fn pin_all(kubo: &Kubo, content: &Content, roots: &[Cid]) -> Vec<Result<()>> {
    // One question tells a Kubo that is down from many calls that each wait for it.
    if let Err(error) = kubo.version().await {
        let down = |_| {
            Err(Error::Kubo {
                message: error.to_string(),
                code: 0,
                status: 0,
            })
        };
        return roots.iter().map(down).collect();
    }
    let mut results: Vec<Result<()>> = Vec::new();
    let mut car = Car::default();
    let mut waiting = Vec::new();
    for (at, root) in roots.iter().enumerate() {
        results.push(Ok(()));
        match gather(content.blocks(), root, MAX_DAG).await {
            Ok(Gathered { blocks, missing }) if missing.is_empty() => {
                car.add(*root, blocks);
                waiting.push(at);
            }
            // Kubo may know where to find the rest.
            Ok(gathered) => {
                car.add_rest(gathered.blocks);
                results[at] = Err(Error::Missing(gathered.missing[0]));
            }
            Err(error) => results[at] = Err(error),
        }
        if car.size >= CAR_BYTES || at + 1 == roots.len() {
            if let Err(error) = car.send(kubo).await {
                let error = error.to_string();
                for at in waiting.drain(..) {
                    results[at] = Err(Error::Kubo {
                        message: error.clone(),
                        code: 0,
                        status: 0,
                    });
                }
            }
            waiting.clear();
        }
    }
    for (root, result) in roots.iter().zip(&mut results) {
        let incomplete = matches!(result, Err(Error::Missing(_)));
        if incomplete {
            *result = kubo.pin(root).await;
        }
        if result.is_ok() {
            *result = confirm(kubo, root).await;
        }
    }
    results
}

/// Asks whether Kubo keeps `root`.
async fn confirm(kubo: &Kubo, root: &Cid) -> Result<()> {
    if kubo.is_pinned(root).await? {
        return Ok(());
    }
    let message = "took the blocks but does not keep them".to_owned();
    Err(Error::Kubo {
        message,
        code: 0,
        status: 200,
    })
}

/// A CAR in the making.
#[derive(Default)]
struct Car {
    roots: Vec<Cid>,
    blocks: Vec<crate::Block>,
    size: usize,
}

impl Car {
    fn add(&mut self, root: Cid, blocks: Vec<crate::Block>) {
        self.roots.push(root);
        self.add_rest(blocks);
    }

    fn add_rest(&mut self, blocks: Vec<crate::Block>) {
        self.size += blocks
            .iter()
            .map(|(_, bytes)| bytes.len() + 64)
            .sum::<usize>();
        self.blocks.extend(blocks);
    }

    /// Sends what there is and begins anew. Roots that were not pinned show when they are
    /// confirmed; their errors are only logged.
    async fn send(&mut self, kubo: &Kubo) -> Result<()> {
        let car = std::mem::take(self);
        if car.blocks.is_empty() {
            return Ok(());
        }
        for imported in kubo.import(car::write(&car.roots, &car.blocks)?).await? {
            if let Some(error) = imported.pin_error {
                tracing::warn!(cid = %imported.root, %error, "Kubo did not pin {}: {error}", imported.root);
            }
        }
        Ok(())
    }
}

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
    let missing = match gather(content.blocks(), cid, MAX_DAG).await {
        Ok(gathered) => gathered.missing.len(),
        Err(error) => return Some(error.to_string()),
    };
    if missing == 0 {
        return None;
    }
    tracing::error!(%cid, missing, "{missing} blocks of {cid} are missing or corrupt; getting them back");
    content.heal(cid).await.err().map(|error| error.to_string())
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
