//! A transaction that knows who writes and when.

use chrono::{DateTime, Utc};
use sqlx::{Executor as _, PgConnection, PgPool, Postgres, pool::PoolConnection};

use crate::{Archive, Cause, Result};

/// The unit of work. Dropped without [`Tx::commit`], it rolls back.
#[derive(Debug)]
pub struct Tx {
    /// There is one until this is ended.
    conn: Option<PoolConnection<Postgres>>,
    copying: bool,
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
        let mut tx = Self {
            conn: Some(pool.acquire().await?),
            copying: false,
            cause,
            now,
            archive,
        };
        tx.conn().execute("BEGIN").await?;
        // Triggers on VEXEL's tables tell our own writes from a person's by this setting.
        let text = tx.cause.to_string();
        sqlx::query!("SELECT set_config('chancery.cause', $1, true)", text)
            .fetch_one(tx.conn())
            .await?;
        Ok(tx)
    }

    /// The connection, for queries.
    pub fn conn(&mut self) -> &mut PgConnection {
        match &mut self.conn {
            Some(conn) => conn,
            None => unreachable!("who ends a transaction has it no more"),
        }
    }

    /// Whether a COPY is under way, which its sender may be dropped in.
    pub(crate) fn set_copying(&mut self, copying: bool) {
        self.copying = copying;
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
            .fetch_one(self.conn())
            .await?;
        Ok(())
    }

    /// Makes everything visible at once.
    pub async fn commit(mut self) -> Result<()> {
        self.end("COMMIT").await
    }

    /// Undoes everything.
    pub async fn rollback(mut self) -> Result<()> {
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, statement: &'static str) -> Result<()> {
        self.conn().execute(statement).await?;
        self.conn = None;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let Some(mut conn) = self.conn.take() else {
            return;
        };
        // sqlx loses count of the answers after a COPY that nobody finished: whoever gets the connection next would
        // take them for his own, or wait for ever for one that does not come.
        let copying = self.copying;
        tokio::spawn(async move {
            if copying || conn.execute("ROLLBACK").await.is_err() {
                conn.close_on_drop();
            }
        });
    }
}
