//! Rounds of pinning at Kubo, run by a worker.

use std::time::Duration;

use chrono::TimeDelta;
use kernel::Cid;
use store::{Cause, Db, Outcome, job};

use super::JOB;
use crate::{Block, Content, Error, Kubo, Result, car, content::MAX_DAG, lookup::Walk};

/// How long a worker has for a round: longer than Kubo may take for it.
const LEASE: Duration = Duration::from_mins(10);
/// A CAR is sent when it has grown to this, in bytes.
const CAR_BYTES: usize = 8 << 20;

/// Due jobs that are looked at to find those whose blocks are here.
const LOOK_AHEAD: i64 = 4_096;
/// For how long a job whose blocks are not here is left to other processes, one of which may have them.
const LEFT_TO_OTHERS: TimeDelta = TimeDelta::minutes(10);
/// How many of those that nobody took one round tries: Kubo looks for their blocks in its network, which may last.
const UNTAKEN: usize = 1;
/// Such a job's pause rises no further than that after so many attempts, some ten minutes: whoever has its blocks may
/// come back.
const ATTEMPTS_WITHOUT: i32 = 7;

/// Pins up to `limit` of what is due at Kubo: gives it the blocks in a CAR, then asks whether it
/// keeps them. What fails is tried again later, for ever. [`Outcome::Busy`] where more is due and
/// Kubo is well.
///
/// A blockstore belongs to one process, and what one of several put into its own is given to Kubo by that one.
pub async fn pin_due(db: &Db, content: &Content, limit: i64) -> Result<Outcome> {
    let Some(kubo) = content.kubo() else {
        return Ok(Outcome::Idle);
    };
    let limit = usize::try_from(limit).unwrap_or_default();
    let due = Due::look(db, content).await?;
    let done = pin_jobs(db, content, kubo, due.own, limit).await?;
    // Of these each may last: our own do not wait for them.
    pin_jobs(db, content, kubo, due.untaken, UNTAKEN).await?;
    let more = done.pinned > 0 && done.claimed == limit;
    Ok(if more { Outcome::Busy } else { Outcome::Idle })
}

/// Keys of jobs that are due.
struct Due {
    /// Their blocks are here.
    own: Vec<String>,
    /// Their blocks are not, and nobody else took them.
    untaken: Vec<String>,
}

impl Due {
    /// Looks at both ends: many that nobody has, as those of a data directory that is no more, are longer due than what
    /// comes now.
    async fn look(db: &Db, content: &Content) -> Result<Self> {
        let longest = job::due(db, JOB, LOOK_AHEAD).await?;
        let mut newest = Vec::new();
        if i64::try_from(longest.len()).is_ok_and(|found| found == LOOK_AHEAD) {
            newest = job::newly_due(db, JOB, LOOK_AHEAD).await?;
        }
        let here = |job: &job::Due| is_here(content, &job.key);
        let (mut own, others): (Vec<_>, Vec<_>) = longest.into_iter().partition(here);
        own.extend(newest.into_iter().filter(here));
        let late = db.clock().now() - LEFT_TO_OTHERS;
        let untaken = others.into_iter().filter(|job| job.since <= late);
        Ok(Self {
            own: own.into_iter().map(|job| job.key).collect(),
            untaken: untaken.map(|job| job.key).collect(),
        })
    }
}

/// What became of some jobs.
struct Done {
    claimed: usize,
    pinned: usize,
}

/// Takes up to `limit` of these jobs, and pins what they name.
async fn pin_jobs(
    db: &Db,
    content: &Content,
    kubo: &Kubo,
    mut keys: Vec<String>,
    limit: usize,
) -> Result<Done> {
    keys.truncate(limit);
    let mut jobs = Vec::new();
    if !keys.is_empty() {
        jobs = job::claim_of(db, JOB, &keys, LEASE).await?;
    }
    let mut done = Done {
        claimed: jobs.len(),
        pinned: 0,
    };
    if jobs.is_empty() {
        return Ok(done);
    }
    let roots: Vec<Cid> = jobs.iter().filter_map(|job| job.key.parse().ok()).collect();
    let results = pin_all(kubo, content, &roots).await;
    for job in &jobs {
        let result = roots.iter().position(|root| root.to_string() == job.key);
        let error = match result.map(|at| &results[at]) {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(error.to_string()),
            None => Some("the job names no CID".to_owned()),
        };
        done.pinned += usize::from(error.is_none());
        let attempts = if is_here(content, &job.key) {
            job.attempts
        } else {
            job.attempts.min(ATTEMPTS_WITHOUT)
        };
        record(db, job, attempts, error.as_deref()).await?;
    }
    Ok(done)
}

/// Whether our own blocks have the root that a job names; one that names none is everybody's.
fn is_here(content: &Content, key: &str) -> bool {
    key.parse().map_or(true, |root| content.blocks().has(&root))
}

/// Writes down what became of a job.
async fn record(db: &Db, job: &job::Job, attempts: i32, error: Option<&str>) -> Result<()> {
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
            let at = now + job::back_off(attempts, &job.key);
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
    for (at, root) in roots.iter().enumerate() {
        results.push(Ok(()));
        match car.add(kubo, content, root, &mut results).await {
            Ok(missing) if missing.is_empty() => car.roots.push((*root, at)),
            // Kubo may know where to find the rest.
            Ok(missing) => results[at] = Err(Error::Missing(missing[0])),
            Err(error) => results[at] = Err(error),
        }
    }
    // Its roots have the error.
    drop(car.send(kubo, &mut results).await);
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
    /// Roots all of whose blocks are in this one or an earlier one, with their places among the results.
    roots: Vec<(Cid, usize)>,
    blocks: Vec<Block>,
    size: usize,
}

impl Car {
    /// Adds the blocks below `root`, and sends what is full before that. Gives those that are not here.
    async fn add(
        &mut self,
        kubo: &Kubo,
        content: &Content,
        root: &Cid,
        results: &mut [Result<()>],
    ) -> Result<Vec<Cid>> {
        let mut walk = Walk::new(content.blocks(), root, MAX_DAG);
        loop {
            let blocks = walk.portion(CAR_BYTES).await?;
            if blocks.is_empty() {
                return Ok(walk.missing);
            }
            let size: usize = blocks.iter().map(|(_, bytes)| bytes.len() + 64).sum();
            if self.size > 0 && self.size + size > CAR_BYTES {
                self.send(kubo, results).await?;
            }
            self.size += size;
            self.blocks.extend(blocks);
        }
    }

    /// Sends what there is and begins anew. Where that fails, so do its roots. Those that were not pinned show when
    /// they are confirmed; their errors are only logged.
    async fn send(&mut self, kubo: &Kubo, results: &mut [Result<()>]) -> Result<()> {
        let car = std::mem::take(self);
        let sent = car.import(kubo).await;
        if let Err(error) = &sent {
            let message = error.to_string();
            for (_, at) in car.roots {
                let (message, code, status) = (message.clone(), 0, 0);
                results[at] = Err(Error::Kubo {
                    message,
                    code,
                    status,
                });
            }
        }
        sent
    }

    async fn import(&self, kubo: &Kubo) -> Result<()> {
        let Some((first, _)) = self.blocks.first() else {
            return Ok(());
        };
        if self.roots.is_empty() {
            // In the middle of what is larger than a CAR. Some root it must name.
            return kubo.put_car(car::write(&[*first], &self.blocks)?).await;
        }
        let roots: Vec<Cid> = self.roots.iter().map(|(root, _)| *root).collect();
        for imported in kubo.import(car::write(&roots, &self.blocks)?).await? {
            if let Some(error) = imported.pin_error {
                tracing::warn!(cid = %imported.root, %error, "Kubo did not pin {}: {error}", imported.root);
            }
        }
        Ok(())
    }
}
