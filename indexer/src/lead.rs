//! Leading a chain: one process writes, the others wait for its lease to run out.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use store::{
    Db,
    lease::{self, Lease},
};
use uuid::Uuid;

use crate::{Error, Result, stage};

/// How long a dead leader keeps the others waiting.
const TTL: Duration = Duration::from_secs(3);

/// A lease of this age is renewed.
const RENEW: Duration = Duration::from_secs(1);

/// Who stops does not wait longer for the database.
const RELEASE_WITHIN: Duration = Duration::from_secs(1);

/// The lease on following one chain, as far as we have it.
pub struct Leadership {
    db: Db,
    chain: u64,
    name: String,
    holder: Uuid,
    held: Option<(Lease, DateTime<Utc>)>,
}

impl Leadership {
    /// Nobody's yet; `holder` names this process.
    pub fn new(db: Db, chain: u64, holder: Uuid) -> Self {
        Self {
            db,
            chain,
            name: format!("index:{chain}"),
            holder,
            held: None,
        }
    }

    /// Takes the lease, or renews it where it is older than a second. Errors where another process leads.
    pub async fn take(&mut self) -> Result<()> {
        let now = self.db.clock().now();
        let fresh = |since: &DateTime<Utc>| {
            let age = now - *since;
            age >= TimeDelta::zero() && age.to_std().is_ok_and(|age| age < RENEW)
        };
        if self.held.as_ref().is_some_and(|(_, since)| fresh(since)) {
            return Ok(());
        }
        let lease = lease::acquire(&self.db, &self.name, self.holder, TTL).await?;
        self.held = lease.map(|lease| (lease, now));
        stage::leads(self.chain, self.held.is_some());
        match self.held {
            Some(_) => Ok(()),
            None => Err(Error::Led(self.chain)),
        }
    }

    /// Gives the lease back, so that nobody has to wait until it runs out. Where the database does not hear of it,
    /// it runs out.
    pub async fn release(&mut self) {
        let Some((lease, _)) = self.held.take() else {
            return;
        };
        stage::leads(self.chain, false);
        let release = lease::release(&self.db, &lease);
        match tokio::time::timeout(RELEASE_WITHIN, release).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(chain = self.chain, %error, "not released: {error}"),
            Err(_) => tracing::debug!(chain = self.chain, "not released in time"),
        }
    }

    /// The lease that writes are fenced with.
    pub fn lease(&self) -> Option<&Lease> {
        self.held.as_ref().map(|(lease, _)| lease)
    }

    /// Renews the lease while long work runs. Should it be lost nevertheless, the work's fence says so.
    pub async fn keep<T, E: Into<Error>>(
        &mut self,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done.map_err(Into::into),
                () = tokio::time::sleep(RENEW) => {}
            }
            // The work goes on meanwhile: its transaction may hold the lease's row until its commit.
            let chain = self.chain;
            tokio::select! {
                done = &mut work => return done.map_err(Into::into),
                renewed = self.take() => if let Err(error) = renewed {
                    tracing::warn!(chain, %error, "the lease was not renewed: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::PgPool;
    use store::{Cause, Clock};

    use super::*;

    /// The work's transaction holds the lease's row, and ends only after somebody waits for that.
    #[sqlx::test(migrations = "../migrations")]
    async fn renewing_does_not_stop_the_work_that_it_waits_for(pool: PgPool) -> anyhow::Result<()> {
        let db = Db::from_pool(pool, Clock::System);
        let mut leadership = Leadership::new(db.clone(), 1, Uuid::from_u128(1));
        leadership.take().await?;
        let lease = leadership.lease().cloned().expect("taken");
        let work = async {
            let mut tx = db.begin(Cause::Job("test")).await?;
            lease.fence(&mut tx).await?;
            let mut is_waited_for = false;
            while !is_waited_for {
                is_waited_for =
                    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
                        .fetch_one(db.pool())
                        .await?;
            }
            tx.commit().await?;
            Ok::<_, Error>("done")
        };
        let kept = tokio::time::timeout(Duration::from_mins(1), leadership.keep(work));
        assert_eq!(kept.await.expect("it does not stand still")?, "done");
        Ok(())
    }
}
