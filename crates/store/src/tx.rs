//! A transaction that knows who writes and when.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool, Postgres};

use crate::{Archive, Cause, Result};

/// The unit of work. Dropped without [`Tx::commit`], it rolls back.
#[derive(Debug)]
pub struct Tx {
    inner: sqlx::Transaction<'static, Postgres>,
    cause: Cause,
    now: DateTime<Utc>,
    archive: Archive,
}

impl Tx {
    pub(crate) async fn begin(
        pool: &PgPool,
        cause: Cause,
        now: DateTime<Utc>,
        archive: Archive,
    ) -> Result<Self> {
        let mut inner = pool.begin().await?;
        // Triggers on VEXEL's tables tell our own writes from a person's by this setting.
        let text = cause.to_string();
        sqlx::query!("SELECT set_config('chancery.cause', $1, true)", text)
            .fetch_one(&mut *inner)
            .await?;
        Ok(Self {
            inner,
            cause,
            now,
            archive,
        })
    }

    /// The connection, for queries.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    /// The default cause of what is written here.
    pub fn cause(&self) -> &Cause {
        &self.cause
    }

    /// The time of this transaction; one for all of it.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// What was moved out of the database.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Lets this transaction's commit return before it is on disk: a crash of the server may lose it whole, and then
    /// every later one too.
    pub async fn commit_lazily(&mut self) -> Result<()> {
        sqlx::query!("SELECT set_config('synchronous_commit', 'off', true)")
            .fetch_one(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Makes everything visible at once.
    pub async fn commit(self) -> Result<()> {
        Ok(self.inner.commit().await?)
    }

    /// Undoes everything.
    pub async fn rollback(self) -> Result<()> {
        Ok(self.inner.rollback().await?)
    }
}
