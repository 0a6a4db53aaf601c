//! A database of the simulation: made once for each worker, emptied for each seed.

use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// Connections of one process under test.
const CONNECTIONS: u32 = 8;

pub struct Database {
    cluster: PgConnectOptions,
    name: String,
    options: PgConnectOptions,
    /// The simulation's own connections: what it looks at.
    pub pool: PgPool,
    /// Holds, while something under test is to wait, the lock that it waits for.
    gate: PgConnection,
}

impl Database {
    /// `name` is made anew in a cluster; `broken` breaks a rule of the journal in it.
    pub async fn new(cluster: &PgConnectOptions, name: &str, broken: &'static str) -> Self {
        let mut admin = PgConnection::connect_with(cluster).await.expect("Postgres");
        for statement in [
            format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"),
            format!("CREATE DATABASE \"{name}\""),
        ] {
            let made = admin.execute(AssertSqlSafe(statement)).await;
            made.expect("a database");
        }
        // A server that is killed keeps what it committed: that is not what is simulated.
        let options = cluster
            .clone()
            .database(name)
            .options([("synchronous_commit", "on")]);
        let pool = pool(options.clone().application_name("simulation"), 3);
        let migrator = sqlx::migrate!("../../migrations");
        migrator.run(&pool).await.expect("migrated");
        for sql in [include_str!("sim.sql"), broken] {
            pool.execute(sqlx::raw_sql(sql)).await.expect("SQL");
        }
        let gate = PgConnection::connect_with(&options).await;
        Self {
            cluster: cluster.clone(),
            name: name.to_owned(),
            gate: gate.expect("a connection"),
            options,
            pool,
        }
    }

    pub async fn reset(&self) {
        let emptied = self.pool.execute("SELECT sim.reset()").await;
        emptied.expect("emptied");
    }

    /// Drops it for good.
    pub async fn drop(self) {
        self.pool.close().await;
        let mut admin = PgConnection::connect_with(&self.cluster)
            .await
            .expect("Postgres");
        let drop = format!("DROP DATABASE \"{}\" WITH (FORCE)", self.name);
        admin.execute(AssertSqlSafe(drop)).await.expect("dropped");
    }

    /// Connections for a process of this name.
    pub fn process(&self, name: &str) -> PgPool {
        pool(self.options.clone().application_name(name), CONNECTIONS)
    }

    /// Lets the n-th write of a process from now on fail, die or wait ([`Self::hold`]).
    pub async fn fail(&self, who: &str, at: i64, code: &str) {
        let arm = format!(
            "DELETE FROM sim.fault; SELECT setval('sim.writes', 1, false);
             INSERT INTO sim.fault VALUES ('{who}', {at}, '{code}')"
        );
        let armed = self.pool.execute(sqlx::raw_sql(AssertSqlSafe(arm))).await;
        armed.expect("armed");
    }

    /// No write fails any more; those that wait go on.
    pub async fn heal(&mut self) {
        let healed = self.pool.execute("DELETE FROM sim.fault").await;
        healed.expect("healed");
        self.release().await;
    }

    /// What is to wait will wait from now on.
    pub async fn hold(&mut self) {
        let held = self.gate.execute("SELECT pg_advisory_lock(77)").await;
        held.expect("held");
    }

    /// What waits goes on.
    pub async fn release(&mut self) {
        let free = self.gate.execute("SELECT pg_advisory_unlock_all()").await;
        free.expect("released");
    }

    /// Whether something waits at the point where it was told to.
    pub async fn is_waiting(&self) -> bool {
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
        let waits = sqlx::query_scalar(waits).fetch_one(&self.pool).await;
        waits.expect("locks")
    }

    /// Whether a backend waits for a lock that another one holds.
    pub async fn is_blocked(&self, pid: i32) -> bool {
        let blocked = sqlx::query_scalar("SELECT cardinality(pg_blocking_pids($1)) > 0");
        let blocked = blocked.bind(pid).fetch_one(&self.pool).await;
        blocked.expect("locks")
    }

    /// Whether any backend of a process waits for a lock that another one holds.
    pub async fn is_any_blocked(&self, who: &str) -> bool {
        let blocked = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1
                AND cardinality(pg_blocking_pids(pid)) > 0)",
        );
        let blocked = blocked.bind(who).fetch_one(&self.pool).await;
        blocked.expect("locks")
    }

    /// Every connection of a process dies, whatever it is doing.
    pub async fn cut(&self, who: &str) {
        let cut = sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = $1",
        );
        cut.bind(who).execute(&self.pool).await.expect("cut");
    }

    /// These connections die, whatever they are doing.
    pub async fn end(&self, pids: &[i32]) {
        let end = sqlx::query("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid");
        end.bind(pids).execute(&self.pool).await.expect("ended");
    }

    /// Waits until a process has no connection left.
    pub async fn until_gone(&self, who: &str) {
        let left = "SELECT EXISTS (SELECT FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = $1)";
        while sqlx::query_scalar::<_, bool>(left)
            .bind(who)
            .fetch_one(&self.pool)
            .await
            .expect("activity")
        {
            tokio::task::yield_now().await;
        }
    }

    /// One backend of this database is killed with -9: the server ends all others, and recovers.
    pub async fn crash(&mut self) {
        let own = PgConnection::connect_with(&self.options).await;
        let mut own = own.expect("a connection");
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut self.gate)
            .await
            .expect("a backend");
        let mut kill = std::process::Command::new("kill");
        let killed = kill.args(["-9", &pid.to_string()]).status();
        assert!(
            killed.expect("kill").success(),
            "this needs the right to kill {pid}"
        );
        while own.execute("SELECT pg_sleep(0.01)").await.is_ok() {}
        // Nobody new is let in before all of the old server is gone.
        self.gate = loop {
            match PgConnection::connect_with(&self.options).await {
                Ok(gate) => break gate,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        self.pool.close().await;
        self.pool = pool(self.options.clone().application_name("simulation"), 3);
    }
}

fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .connect_lazy_with(options)
}
