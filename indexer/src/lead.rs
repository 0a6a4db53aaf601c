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
                () = tokio::time::sleep(RENEW) => {
                    if let Err(error) = self.take().await {
                        tracing::warn!(chain = self.chain, %error, "the lease was not renewed: {error}");
                    }
                }
            }
        }
    }
}
