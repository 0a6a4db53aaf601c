//! Rounds of pinning at Kubo, run by a worker.

use std::time::Duration;

use kernel::Cid;
use store::{Cause, Db, Outcome, job};

use super::JOB;
use crate::{
    Block, Content, Error, Kubo, Result, car,
    content::MAX_DAG,
    lookup::{Gathered, gather},
};

/// How long a worker has for a round: longer than Kubo may take for it.
const LEASE: Duration = Duration::from_mins(10);
/// A CAR is sent when it has grown to this, in bytes.
const CAR_BYTES: usize = 16 << 20;

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
    blocks: Vec<Block>,
    size: usize,
}

impl Car {
    fn add(&mut self, root: Cid, blocks: Vec<Block>) {
        self.roots.push(root);
        self.add_rest(blocks);
    }

    fn add_rest(&mut self, blocks: Vec<Block>) {
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
