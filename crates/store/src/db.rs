//! The pool of connections.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use sqlx::{
    Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

use crate::{Archive, Cause, Clock, Error, Result, Snapshot, Tx};

/// For so long after its last use a connection is taken without a question.
const TRUSTED: Duration = Duration::from_secs(1);

/// How the pool is sized; the defaults are VEXEL's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolConfig {
    /// Most connections.
    pub max_connections: u32,
    /// Connections that are kept open when idle.
    pub min_idle: u32,
    /// A connection is closed at this age, in seconds.
    pub max_lifetime_seconds: u64,
    /// An idle connection above `min_idle` is closed after this, in seconds.
    pub idle_timeout_seconds: u64,
    /// How long a request waits for a connection, in seconds.
    pub acquire_timeout_seconds: u64,
    /// TLS to the server.
    pub sslmode: SslMode,
}

/// libpq's `sslmode` by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server insists.
    Allow,
    /// If the server can.
    Prefer,
    /// Always; the certificate is not checked.
    Require,
    /// Always; the certificate must chain to a known authority.
    VerifyCa,
    /// Always; and the certificate must name the host.
    VerifyFull,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_connections: 20,
            min_idle: 2,
            max_lifetime_seconds: 30 * 60,
            idle_timeout_seconds: 5 * 60,
            acquire_timeout_seconds: 10,
            sslmode: SslMode::Prefer,
        }
    }
}

impl From<SslMode> for PgSslMode {
    fn from(mode: SslMode) -> Self {
        match mode {
            SslMode::Disable => Self::Disable,
            SslMode::Allow => Self::Allow,
            SslMode::Prefer => Self::Prefer,
            SslMode::Require => Self::Require,
            SslMode::VerifyCa => Self::VerifyCa,
            SslMode::VerifyFull => Self::VerifyFull,
        }
    }
}

/// The database, for reading; [`Db::begin`] is the one way to write.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
    clock: Clock,
    archive: Archive,
}

impl Db {
    /// Opens the pool. `url` is a `postgres://` URL; an `sslmode` in it wins over the configured one.
    pub async fn connect(url: &str, config: &PoolConfig, clock: Clock) -> Result<Self> {
        let mut options = PgConnectOptions::from_str(url)
            .map_err(|error| Error::Config(format!("database.url is no Postgres URL: {error}")))?
            .application_name("chancery");
        if !url.contains("sslmode=") {
            options = options.ssl_mode(config.sslmode.into());
        }
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .min_connections(config.min_idle)
            .max_lifetime(Duration::from_secs(config.max_lifetime_seconds))
            .idle_timeout(Duration::from_secs(config.idle_timeout_seconds))
            .acquire_timeout(Duration::from_secs(config.acquire_timeout_seconds))
            .test_before_acquire(false)
            .before_acquire(|connection, held| {
                Box::pin(async move {
                    // One that was in use a moment ago is not asked whether it lives: that would cost as much as many
                    // a query.
                    if held.idle_for > TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await?;
        Ok(Self::from_pool(pool, clock))
    }

    /// The same database by so many connections of its own, opened when they are needed. The pool gives its
    /// connections in turn; who writes much stays with those whose server processes have its tables mapped.
    #[must_use]
    pub fn apart(&self, connections: u32) -> Self {
        let options = self.pool.options().clone();
        let options = options.min_connections(0).max_connections(connections);
        let to = (*self.pool.connect_options()).clone();
        Self {
            pool: options.connect_lazy_with(to),
            clock: self.clock.clone(),
            archive: self.archive.clone(),
        }
    }

    /// Wraps a pool that somebody else opened (`#[sqlx::test]`).
    pub fn from_pool(pool: PgPool, clock: Clock) -> Self {
        Self {
            pool,
            clock,
            archive: Archive::default(),
        }
    }

    /// The same database, with what was moved out of it at hand.
    #[must_use]
    pub fn with_archive(self, archive: Archive) -> Self {
        Self { archive, ..self }
    }

    /// Where reads go.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The clock that transactions take their time from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What was moved out of the database.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Begins a transaction (READ COMMITTED) that knows its cause and its time.
    pub async fn begin(&self, cause: Cause) -> Result<Tx> {
        Tx::begin(&self.pool, cause, self.clock.now(), self.archive.clone()).await
    }

    /// Begins reading one moment: what is committed later is not seen.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        Snapshot::begin(&self.pool).await
    }

    /// Closes all connections, waiting for those in use, and fetches nothing more from the archive in the background.
    pub async fn close(&self) {
        self.archive.close();
        self.pool.close().await;
    }
}
