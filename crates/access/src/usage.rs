//! How often keys are used: counted in memory, per minute and per hour, and written behind. What was counted since the
//! last flush goes with a process that is killed: some seconds of a statistic, and nothing that a limit rests on.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use kernel::Limit;
use serde::Serialize;
use store::{Cause, Db, Tx};

use crate::Result;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
/// How long windows of a minute are kept, and those of an hour.
const MINUTES_KEPT: TimeDelta = TimeDelta::days(1);
const HOURS_KEPT: TimeDelta = TimeDelta::days(90);

/// What is counted and not written yet.
#[derive(Debug, Default)]
pub struct Usage {
    counts: Mutex<HashMap<Arc<str>, Count>>,
}

#[derive(Debug, Default, Clone)]
struct Count {
    /// By the minute's number since 1970.
    minutes: HashMap<i64, i32>,
    last: DateTime<Utc>,
}

/// Requests of a key in one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Window {
    /// The key.
    pub key_id: String,
    /// When it began.
    pub window_start: DateTime<Utc>,
    /// `minute` or `hour`.
    pub window_type: String,
    /// How many requests there were.
    pub request_count: i32,
}

impl Usage {
    /// One more request of this key.
    pub fn note(&self, key_id: &Arc<str>, now: DateTime<Utc>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(Arc::clone(key_id)).or_default();
        let minute = count.minutes.entry(now.timestamp() / MINUTE).or_default();
        *minute = minute.saturating_add(1);
        count.last = count.last.max(now);
    }

    /// Writes what was counted. Where that fails it is counted on.
    pub async fn flush(&self, db: &Db) -> Result<()> {
        let taken =
            std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.is_empty() {
            return Ok(());
        }
        let written = async {
            let mut tx = db.begin(Cause::Job("usage")).await?;
            // Nothing rests on it: nobody waits for the disk.
            tx.commit_lazily().await?;
            write(&mut tx, &taken).await?;
            Ok(tx.commit().await?)
        };
        let outcome: Result<()> = written.await;
        if outcome.is_err() {
            self.put_back(taken);
        }
        outcome
    }

    fn put_back(&self, taken: HashMap<Arc<str>, Count>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (key_id, old) in taken {
            let count = counts.entry(key_id).or_default();
            for (minute, requests) in old.minutes {
                let now = count.minutes.entry(minute).or_default();
                *now = now.saturating_add(requests);
            }
            count.last = count.last.max(old.last);
        }
    }
}

async fn write(tx: &mut Tx, counts: &HashMap<Arc<str>, Count>) -> Result<()> {
    let mut windows: HashMap<(&str, &str, i64), i32> = HashMap::new();
    for (key_id, count) in counts {
        for (minute, requests) in &count.minutes {
            let start = minute * MINUTE;
            for (kind, start) in [("minute", start), ("hour", start - start.rem_euclid(HOUR))] {
                let sum = windows.entry((key_id, kind, start)).or_default();
                *sum = sum.saturating_add(*requests);
            }
        }
    }
    // Two processes that write the same windows take their locks in one order.
    let mut windows: Vec<_> = windows.into_iter().collect();
    windows.sort_unstable();
    let (mut keys, mut kinds, mut starts, mut sums) = (vec![], vec![], vec![], vec![]);
    for ((key, kind, start), sum) in windows {
        keys.push(key.to_owned());
        kinds.push(kind.to_owned());
        starts.push(DateTime::from_timestamp(start, 0).unwrap_or_default());
        sums.push(sum);
    }
    sqlx::query!(
        "INSERT INTO access.rate_limit_tracker AS t (key_id, window_type, window_start, request_count)
         SELECT n.key_id, n.window_type, n.window_start, n.request_count
           FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::integer[])
                AS n (key_id, window_type, window_start, request_count)
           JOIN access.api_keys k ON k.key_id = n.key_id
         ON CONFLICT (key_id, window_start, window_type)
         DO UPDATE SET request_count = t.request_count + excluded.request_count",
        &keys,
        &kinds,
        &starts,
        &sums,
    )
    .execute(tx.conn())
    .await?;
    let mut used: Vec<_> = counts
        .iter()
        .map(|(key, count)| (key, count.last))
        .collect();
    used.sort_unstable();
    let (keys, times): (Vec<String>, Vec<DateTime<Utc>>) = used
        .into_iter()
        .map(|(key, last)| (key.to_string(), last))
        .unzip();
    sqlx::query!(
        "UPDATE access.api_keys AS k SET last_used_at = greatest(k.last_used_at, n.last)
           FROM unnest($1::text[], $2::timestamptz[]) AS n (key_id, last) WHERE k.key_id = n.key_id",
        &keys,
        &times,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A key's windows, newest first.
pub async fn list(db: &Db, key_id: &str, window_type: &str, limit: Limit) -> Result<Vec<Window>> {
    let windows = sqlx::query_as!(
        Window,
        r#"SELECT key_id, window_start, window_type, request_count AS "request_count!"
             FROM access.rate_limit_tracker WHERE key_id = $1 AND window_type = $2
            ORDER BY window_start DESC LIMIT $3"#,
        key_id,
        window_type,
        i64::try_from(limit.get()).unwrap_or(i64::MAX),
    );
    Ok(windows.fetch_all(db.pool()).await?)
}

/// Deletes windows that are too old.
pub async fn expire(tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "DELETE FROM access.rate_limit_tracker
          WHERE (window_type = 'minute' AND window_start < $1) OR (window_type = 'hour' AND window_start < $2)",
        now - MINUTES_KEPT,
        now - HOURS_KEPT,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use kernel::Principal;
    use store::Clock;

    use super::*;
    use crate::key::{self, NewKey};

    async fn key(db: &Db) -> anyhow::Result<String> {
        let new = NewKey {
            principal: None,
            client_id: None,
            name: "tests".to_owned(),
            scopes: Vec::new(),
            expires_at: None,
            per_minute: 60,
            per_hour: 1000,
            created_by: Principal::Operator,
            made_with: None,
            description: None,
        };
        let mut tx = db.begin(Cause::Job("test")).await?;
        let issued = key::create(&mut tx, &new).await?;
        tx.commit().await?;
        Ok(issued.record.key_id)
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn two_processes_count_together_and_old_windows_go(
        pool: sqlx::PgPool,
    ) -> anyhow::Result<()> {
        // Ten seconds before an hour is full.
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000 - 10, 0).unwrap());
        let db = Db::from_pool(pool, clock.clone());
        let key_id = key(&db).await?;
        let name: Arc<str> = key_id.as_str().into();
        let (here, there) = (Usage::default(), Usage::default());
        for usage in [&here, &there] {
            usage.note(&name, clock.now());
            usage.note(&"key_gone".into(), clock.now());
        }
        clock.advance(TimeDelta::seconds(20));
        here.note(&name, clock.now());
        here.flush(&db).await?;
        there.flush(&db).await?;
        here.flush(&db).await?;
        let counts = async |kind: &str| -> anyhow::Result<Vec<i32>> {
            let windows = list(&db, &key_id, kind, Limit::default()).await?;
            Ok(windows.iter().map(|window| window.request_count).collect())
        };
        assert_eq!(counts("minute").await?, [1, 2]);
        assert_eq!(counts("hour").await?, [1, 2]);
        let used = key::get(&db, &key_id, None).await?.last_used_at;
        assert_eq!(used, Some(clock.now()));
        for (days, minutes, hours) in [(2, 0, 2), (91, 0, 0)] {
            clock.advance(TimeDelta::days(days));
            let mut tx = db.begin(Cause::Job("test")).await?;
            expire(&mut tx).await?;
            tx.commit().await?;
            assert_eq!(counts("minute").await?.len(), minutes);
            assert_eq!(counts("hour").await?.len(), hours);
        }
        Ok(())
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn what_could_not_be_written_is_counted_on(pool: sqlx::PgPool) -> anyhow::Result<()> {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let db = Db::from_pool(pool.clone(), clock.clone());
        let key_id = key(&db).await?;
        let usage = Usage::default();
        usage.note(&key_id.as_str().into(), clock.now());
        let broken = db.apart(1);
        broken.close().await;
        assert!(usage.flush(&broken).await.is_err());
        usage.note(&key_id.as_str().into(), clock.now());
        usage.flush(&db).await?;
        let windows = list(&db, &key_id, "hour", Limit::default()).await?;
        assert_eq!(windows[0].request_count, 2);
        Ok(())
    }
}
