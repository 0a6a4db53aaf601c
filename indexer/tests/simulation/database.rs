//! A database of the simulation: made once for each worker, emptied for each seed.

use std::time::Duration;

use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// The name under which the code under test connects.
const ENGINE: &str = "engine";

pub struct Database {
    cluster: PgConnectOptions,
    name: String,
    options: PgConnectOptions,
    /// The simulation's own connections: its psql, and its look at the rows.
    pub pool: PgPool,
    pub has_copy: bool,
}

impl Database {
    /// `name` is made anew in a cluster.
    pub async fn new(cluster: &PgConnectOptions, name: &str) -> Self {
        // As everywhere but in a cluster for tests: a crash takes back what said that it may, and no emptying.
        let durable = [("synchronous_commit", "on")];
        let options = cluster.clone().database(name).options(durable);
        let database = Self {
            cluster: cluster.clone(),
            name: name.to_owned(),
            pool: PgPoolOptions::new().connect_lazy_with(options.clone()),
            options,
            has_copy: false,
        };
        database
            .admin(&[
                "DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)",
                "CREATE DATABASE \"{}\"",
            ])
            .await;
        let migrator = sqlx::migrate!("../migrations");
        migrator.run(&database.pool).await.expect("migrated");
        let sim = sqlx::raw_sql(include_str!("sim.sql"));
        sim.execute(&database.pool).await.expect("sim.sql");
        database.pool.close().await;
        database
            .admin(&["ALTER DATABASE \"{}\" SET search_path = sim, pg_catalog, public"])
            .await;
        Self {
            pool: pool(database.options.clone().application_name("simulation"), 4).await,
            ..database
        }
    }

    pub async fn reset(&mut self) {
        self.has_copy = false;
        self.pool
            .execute("SELECT sim.reset()")
            .await
            .expect("emptied");
    }

    /// Drops it for good.
    pub async fn drop(self) {
        self.pool.close().await;
        self.admin(&[
            "DROP DATABASE IF EXISTS \"{}_copy\" WITH (FORCE)",
            "DROP DATABASE \"{}\" WITH (FORCE)",
        ])
        .await;
    }

    /// Connections for one process of the code under test.
    pub async fn engine(&self) -> PgPool {
        pool(self.options.clone().application_name(ENGINE), 4).await
    }

    /// Lets the engine's n-th write from now fail with an SQLSTATE, or its connection die.
    pub async fn fail(&self, at: i64, code: &str) {
        let arm = format!(
            "DELETE FROM sim.fault; SELECT setval('sim.writes', 1, false);
             INSERT INTO sim.fault VALUES ({at}, '{code}')"
        );
        sqlx::raw_sql(AssertSqlSafe(arm))
            .execute(&self.pool)
            .await
            .expect("armed");
    }

    /// No write fails any more; gives how many there were since [`Self::fail`].
    pub async fn heal(&self) -> i64 {
        self.pool
            .execute("DELETE FROM sim.fault")
            .await
            .expect("healed");
        let writes = sqlx::query_scalar("SELECT last_value - (NOT is_called)::int FROM sim.writes");
        writes.fetch_one(&self.pool).await.expect("a count")
    }

    /// Every connection of the engine dies, whatever it is doing.
    pub async fn cut(&self) {
        let cut = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = '{ENGINE}'"
        );
        self.pool.execute(AssertSqlSafe(cut)).await.expect("cut");
    }

    /// One backend of the engine is killed with -9: the server ends all others, and recovers.
    pub async fn crash(&self) {
        let pid = format!(
            "SELECT pid FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = '{ENGINE}' LIMIT 1"
        );
        let pid = sqlx::query_scalar::<_, i32>(AssertSqlSafe(pid));
        let Some(pid) = pid.fetch_optional(&self.pool).await.expect("a server") else {
            return;
        };
        // Our own pool would wait for the new server, and never tell of the old one's end.
        let own = PgConnection::connect_with(&self.options).await;
        let mut own = own.expect("a connection");
        let mut kill = std::process::Command::new("kill");
        let killed = kill.args(["-9", &pid.to_string()]).status();
        assert!(
            killed.expect("kill").success(),
            "this needs the right to kill {pid}"
        );
        while own.execute("SELECT pg_sleep(0.01)").await.is_ok() {}
        // Nobody new is let in before all of the old server is gone.
        while PgConnection::connect_with(&self.options).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    /// The write that was to wait ([`Self::fail`]) is under way.
    pub async fn reached(&self) {
        let waits = format!(
            "SELECT EXISTS (SELECT FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = '{ENGINE}'
                AND wait_event = 'PgSleep') FROM pg_sleep(0.003)"
        );
        while !sqlx::query_scalar::<_, bool>(AssertSqlSafe(waits.clone()))
            .fetch_one(&self.pool)
            .await
            .expect("activity")
        {}
    }

    /// A pool for the engine with no connection left in it; they are given back with the second value.
    pub async fn exhausted(&self) -> (PgPool, PoolConnection<Postgres>) {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_millis(50))
            .connect_lazy_with(self.options.clone().application_name(ENGINE));
        // On a busy machine the first connection alone may take as long.
        loop {
            match pool.acquire().await {
                Ok(held) => return (pool, held),
                Err(sqlx::Error::PoolTimedOut) => {}
                Err(error) => panic!("no connection to hold: {error}"),
            }
        }
    }

    /// A copy of everything, to be restored later. Nobody may be connected meanwhile.
    pub async fn back_up(&mut self) {
        self.offline(&[
            "DROP DATABASE IF EXISTS \"{}_copy\"",
            "CREATE DATABASE \"{}_copy\" TEMPLATE \"{}\"",
        ])
        .await;
        self.has_copy = true;
    }

    /// Puts the copy in the place of what is there.
    pub async fn restore(&mut self) {
        self.offline(&[
            "DROP DATABASE \"{}\" WITH (FORCE)",
            "ALTER DATABASE \"{}_copy\" RENAME TO \"{}\"",
            "ALTER DATABASE \"{}\" SET search_path = sim, pg_catalog, public",
        ])
        .await;
        self.has_copy = false;
    }

    async fn offline(&mut self, statements: &[&str]) {
        self.pool.close().await;
        self.admin(statements).await;
        self.pool = pool(self.options.clone().application_name("simulation"), 4).await;
    }

    async fn admin(&self, statements: &[&str]) {
        let mut admin = PgConnection::connect_with(&self.cluster)
            .await
            .expect("Postgres");
        for statement in statements {
            let statement = statement.replace("{}", &self.name);
            admin
                .execute(AssertSqlSafe(statement))
                .await
                .expect("an administrator's statement");
        }
        admin.close().await.expect("closed");
    }

    /// psql's clock.
    pub async fn set_clock(&self, seconds: i64) {
        let set = format!("UPDATE sim.clock SET now = to_timestamp({seconds})");
        self.pool
            .execute(AssertSqlSafe(set))
            .await
            .expect("a clock");
    }
}

async fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(true)
        .connect_with(options)
        .await
        .expect("a pool")
}
