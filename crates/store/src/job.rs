//! Our own work, kept in Postgres: at most one job per kind and key, leased, retried with back-off. The first jobs
//! of a kind may come by the ten thousand, and go in by COPY.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Db, Result, Tx, copy::Rows};

/// A job that this worker has until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Row id.
    pub id: i64,
    /// What the work is about, in the form that its kind chose.
    pub key: String,
    /// Attempts before this one.
    pub attempts: i32,
    lease_token: i64,
}

/// Asks for work about each of `keys` at `run_at`; what is asked already is left as it is.
pub async fn enqueue(
    tx: &mut Tx,
    kind: &str,
    keys: &[String],
    run_at: DateTime<Utc>,
) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO store.jobs (kind, key, run_at) SELECT $1, key, $3 FROM unnest($2::text[]) AS key
         ON CONFLICT (kind, key) DO NOTHING",
        kind,
        keys,
        run_at,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The same for very many keys, each named once. Where there is no job of this kind yet, somebody else's first
/// ones are a unique violation: the transaction must be repeated then.
pub async fn enqueue_many(
    tx: &mut Tx,
    kind: &'static str,
    keys: &[String],
    run_at: DateTime<Utc>,
) -> Result<()> {
    let any = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM store.jobs WHERE kind = $1) AS "any!""#,
        kind
    );
    if any.fetch_one(tx.conn()).await? {
        return enqueue(tx, kind, keys, run_at).await;
    }
    let mut rows = Rows::new(3);
    for keys in keys.chunks(10_000) {
        for key in keys {
            rows.row().text(kind).text(key).time(run_at);
        }
        let statement = "COPY store.jobs (kind, key, run_at) FROM STDIN (FORMAT binary)";
        rows.copy(tx, statement).await?;
    }
    Ok(())
}

/// A job that nobody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// What the work is about.
    pub key: String,
    /// Since when it is due.
    pub since: DateTime<Utc>,
}

/// Up to `limit` due jobs of `kind`, the longest due first, for who takes only some of them ([`claim_of`]).
pub async fn due(db: &Db, kind: &str, limit: i64) -> Result<Vec<Due>> {
    let now = db.clock().now();
    Ok(sqlx::query_as!(
        Due,
        "SELECT key, run_at AS since FROM store.jobs
          WHERE kind = $1 AND run_at <= $2 AND (leased_until IS NULL OR leased_until < $2)
          ORDER BY run_at LIMIT $3",
        kind,
        now,
        limit,
    )
    .fetch_all(db.pool())
    .await?)
}

/// The same, the shortest due first: behind many that nobody takes they are found.
pub async fn newly_due(db: &Db, kind: &str, limit: i64) -> Result<Vec<Due>> {
    let now = db.clock().now();
    Ok(sqlx::query_as!(
        Due,
        "SELECT key, run_at AS since FROM store.jobs
          WHERE kind = $1 AND run_at <= $2 AND (leased_until IS NULL OR leased_until < $2)
          ORDER BY run_at DESC LIMIT $3",
        kind,
        now,
        limit,
    )
    .fetch_all(db.pool())
    .await?)
}

/// Takes up to `limit` due jobs of `kind` for `lease`.
pub async fn claim(db: &Db, kind: &str, limit: i64, lease: Duration) -> Result<Vec<Job>> {
    claim_among(db, kind, None, limit, lease).await
}

/// Takes those jobs of `kind` for `lease` that are about `keys`, and are due.
pub async fn claim_of(db: &Db, kind: &str, keys: &[String], lease: Duration) -> Result<Vec<Job>> {
    claim_among(db, kind, Some(keys), i64::MAX, lease).await
}

async fn claim_among(
    db: &Db,
    kind: &str,
    keys: Option<&[String]>,
    limit: i64,
    lease: Duration,
) -> Result<Vec<Job>> {
    let now = db.clock().now();
    let until = now + TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX);
    let jobs = sqlx::query_as!(
        Job,
        "UPDATE store.jobs AS j
            SET leased_until = $4, lease_token = j.lease_token + 1
           FROM (SELECT id FROM store.jobs
                  WHERE kind = $1 AND run_at <= $3 AND (leased_until IS NULL OR leased_until < $3)
                    AND ($5::text[] IS NULL OR key = ANY($5))
                  ORDER BY run_at LIMIT $2 FOR UPDATE SKIP LOCKED) AS due
          WHERE j.id = due.id
         RETURNING j.id, j.key, j.attempts, j.lease_token",
        kind,
        limit,
        now,
        until,
        keys,
    )
    .fetch_all(db.pool())
    .await?;
    Ok(jobs)
}

/// The work is done, in the transaction that shows its result. `false` where the lease was lost:
/// another worker has the job, and this transaction should be given up.
pub async fn finish(tx: &mut Tx, job: &Job) -> Result<bool> {
    let done = sqlx::query!(
        "DELETE FROM store.jobs WHERE id = $1 AND lease_token = $2",
        job.id,
        job.lease_token
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    Ok(done == 1)
}

/// The work failed for now: try again at `run_at`.
pub async fn retry(tx: &mut Tx, job: &Job, run_at: DateTime<Utc>, error: &str) -> Result<()> {
    sqlx::query!(
        "UPDATE store.jobs
            SET run_at = $3, attempts = attempts + 1, leased_until = NULL, last_error = left($4, 500)
          WHERE id = $1 AND lease_token = $2",
        job.id,
        job.lease_token,
        run_at,
        error,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Gives back what a dead process had: for the one that knows that it is alone on this database. What
/// that process would still finish is refused, because a new claim raises the lease's token.
pub async fn abandon(db: &Db) -> Result<u64> {
    let given_back =
        sqlx::query!("UPDATE store.jobs SET leased_until = NULL WHERE leased_until IS NOT NULL")
            .execute(db.pool())
            .await?
            .rows_affected();
    Ok(given_back)
}

/// Time until the next attempt: 5 s, 10 s, ... 10 min for the first hour, then 1 h ... 168 h, for
/// ever. Spread by up to a quarter, by the key, so that many failures do not return together.
pub fn back_off(attempts: i32, key: &str) -> TimeDelta {
    let attempts = u32::try_from(attempts).unwrap_or(0);
    let seconds: i64 = if attempts < 8 {
        (5_i64 << attempts).min(600)
    } else {
        (3600_i64 << (attempts - 8).min(8)).min(168 * 3600)
    };
    let digest = kernel::sha256(format!("{key}/{attempts}").as_bytes());
    TimeDelta::milliseconds(seconds * 1000 + seconds * 250 * i64::from(digest[0]) / 255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, Clock};

    const LEASE: Duration = Duration::from_mins(1);

    #[test]
    fn back_off_rises_to_a_week_and_never_ends() {
        let at = |attempts| back_off(attempts, "k").num_seconds();
        assert!((5..=6).contains(&at(0)));
        assert!((600..=750).contains(&at(7)));
        assert!((3600..=4500).contains(&at(8)));
        assert!((168 * 3600..=210 * 3600).contains(&at(i32::MAX)));
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn a_dead_workers_job_is_taken_over_and_its_late_result_is_refused(
        pool: sqlx::PgPool,
    ) -> anyhow::Result<()> {
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let db = Db::from_pool(pool, clock.clone());
        let mut tx = db.begin(Cause::Job("test")).await?;
        let keys = ["a".to_owned(), "a".to_owned(), "b".to_owned()];
        enqueue_many(&mut tx, "k", &keys[..1], clock.now()).await?;
        enqueue_many(&mut tx, "k", &keys[..1], clock.now()).await?;
        enqueue(&mut tx, "k", &keys[1..], clock.now()).await?;
        tx.commit().await?;

        let first = claim(&db, "k", 10, LEASE).await?;
        assert_eq!(first.len(), 2, "one job per key");
        assert_eq!(claim(&db, "k", 10, LEASE).await?, [], "leased");
        assert_eq!(due(&db, "k", 10).await?, [], "leased");
        assert_eq!(claim_of(&db, "k", &keys, LEASE).await?, [], "leased");
        clock.advance(TimeDelta::seconds(61));
        let waiting = due(&db, "k", 10).await?;
        assert_eq!(waiting.len(), 2);
        assert_eq!(waiting[0].since, DateTime::UNIX_EPOCH);
        let second = claim_of(&db, "k", &keys[2..], LEASE).await?;
        assert_eq!(second.len(), 1);
        let late = first
            .iter()
            .find(|job| job.id == second[0].id)
            .expect("the same job");

        let mut tx = db.begin(Cause::Job("test")).await?;
        assert!(!finish(&mut tx, late).await?, "the lease was lost");
        retry(
            &mut tx,
            &second[0],
            clock.now() + TimeDelta::seconds(5),
            "later",
        )
        .await?;
        tx.commit().await?;
        clock.advance(TimeDelta::seconds(61));
        let again = claim(&db, "k", 10, LEASE).await?;
        assert_eq!(abandon(&db).await?, 2, "both are free at once");
        assert_eq!(claim(&db, "k", 10, LEASE).await?.len(), 2);
        assert_eq!(again.iter().map(|job| job.attempts).sum::<i32>(), 1);
        Ok(())
    }
}
