//! Indexes and foreign keys that a backfill from nothing adds at its end.
//!
//! [`begin`] drops them while there is nothing to index, [`build`] makes those that are missing. The owner role
//! does both, behind two functions that the application's role may call (migration 9 says which indexes, and why
//! nothing that they protect can be violated meanwhile). Whenever a process dies, [`missing`] says what is.

use std::{
    sync::{Mutex, PoisonError},
    vec::IntoIter,
};

use crate::{Cause, Db, Result, Tx};

/// How many are built at once: a build keeps one core of Postgres busy.
const AT_ONCE: usize = 2;

/// SQLSTATE of a lock that somebody else has.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// Defers what can be deferred, if nothing is indexed yet and nobody holds one of the tables. Gives how many are
/// missing now.
pub async fn begin(db: &Db) -> Result<usize> {
    let mut tx = db.begin(Cause::Job("store.deferred")).await?;
    let missing = sqlx::query_scalar!(r#"SELECT store.defer_indexes() AS "missing!""#)
        .fetch_one(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(usize::try_from(missing).unwrap_or(0))
}

/// What is missing, in the order in which it should be built.
pub async fn missing(db: &Db) -> Result<Vec<String>> {
    Ok(
        sqlx::query_scalar!("SELECT name FROM store.deferred ORDER BY ordinal")
            .fetch_all(db.pool())
            .await?,
    )
}

/// Builds what is missing and has a name that begins with `prefix`, two at once; gives how many were built here.
/// An index of ground (`chain.`) can be built while what follows from it is projected; everything else waits for
/// the transactions that write its table.
pub async fn build(db: &Db, prefix: &str) -> Result<usize> {
    let mut missing = missing(db).await?;
    missing.retain(|name| name.starts_with(prefix));
    let missing = Mutex::new(missing.into_iter());
    let workers: [_; AT_ONCE] = std::array::from_fn(|_| Box::pin(build_some(db, &missing)));
    let [one, other] = workers;
    let (one, other) = tokio::join!(one, other);
    Ok(one? + other?)
}

/// Keeps [`build`] from everything that a projection writes until the transaction ends, and waits for one that is at
/// it. What is missing now stays missing that long.
pub async fn hold(tx: &mut Tx) -> Result<()> {
    // The one first that a foreign key's build locks first.
    sqlx::query!(
        "LOCK TABLE identity.agents, identity.tokens, identity.agent_identifiers, identity.agent_status_history,
                    identity.uri_agents, store.jobs, journal.entries, journal.said IN ROW EXCLUSIVE MODE"
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The same for a second transaction beside one that [`hold`]s; false, and the transaction is spent, where somebody
/// waits for the first one already. The second would wait behind them and they for the first, which waits for the
/// second: that is a circle that Postgres does not see.
pub async fn hold_too(tx: &mut Tx) -> Result<bool> {
    let held = sqlx::query!(
        "LOCK TABLE identity.agents, identity.tokens, identity.agent_identifiers, identity.agent_status_history,
                    identity.uri_agents, store.jobs, journal.entries, journal.said IN ROW EXCLUSIVE MODE NOWAIT"
    )
    .execute(tx.conn())
    .await;
    match held {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

async fn build_some(db: &Db, missing: &Mutex<IntoIter<String>>) -> Result<usize> {
    let mut built = 0;
    loop {
        let next = missing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next();
        let Some(name) = next else {
            return Ok(built);
        };
        built += usize::from(build_one(db, &name).await?);
    }
}

async fn build_one(db: &Db, name: &str) -> Result<bool> {
    let mut tx = db.begin(Cause::Job("store.deferred")).await?;
    // Two are built at once already, and a parallel worker is a process that has to map the table first.
    sqlx::query!(
        "SELECT set_config(name, '0', true)
           FROM unnest(ARRAY['max_parallel_maintenance_workers', 'max_parallel_workers_per_gather']) AS name"
    )
    .fetch_all(tx.conn())
        .await?;
    let built = sqlx::query_scalar!(r#"SELECT store.build_deferred($1) AS "built!""#, name)
        .fetch_one(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(built)
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, PgPool};

    use super::*;
    use crate::Clock;

    /// Every index and constraint, by definition.
    async fn catalog(pool: &PgPool) -> Vec<String> {
        sqlx::query_scalar(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
              WHERE c.relnamespace::regnamespace::text IN ('store', 'journal', 'chain', 'identity')
             UNION ALL
             SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
               FROM pg_constraint WHERE contype IN ('f', 'u')
              ORDER BY 1",
        )
        .fetch_all(pool)
        .await
        .expect("a catalog")
    }

    async fn run(pool: &PgPool, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(pool)
            .await
            .map(drop)
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn what_was_deferred_is_built_as_it_was(pool: PgPool) -> anyhow::Result<()> {
        let db = Db::from_pool(pool.clone(), Clock::System);
        let whole = catalog(&pool).await;
        let deferred = begin(&db).await?;
        let names = missing(&db).await?;
        assert_eq!((deferred, names.len()), (16, 16), "{names:?}");
        assert_eq!(begin(&db).await?, 16, "again changes nothing");
        assert!(build_one(&db, &names[3]).await?);
        assert!(!build_one(&db, &names[3]).await?, "it is there");
        // Another process builds at the same time.
        let (one, other) = tokio::join!(build(&db, ""), build(&db, ""));
        assert_eq!(one? + other?, 15);
        assert_eq!(missing(&db).await?, [""; 0]);
        assert_eq!(catalog(&pool).await, whole);
        Ok(())
    }

    /// Whoever builds waits for the first transaction, and the second must not wait behind that.
    #[sqlx::test(migrations = "../../migrations")]
    async fn what_two_transactions_write_is_built_before_or_after_them(
        pool: PgPool,
    ) -> anyhow::Result<()> {
        let db = Db::from_pool(pool.clone(), Clock::System);
        begin(&db).await?;
        let begun = || db.begin(Cause::Job("test"));
        let (mut first, mut second) = (begun().await?, begun().await?);
        hold(&mut first).await?;
        assert!(hold_too(&mut second).await?, "nobody waits yet");
        let mut late = begun().await?;
        // Before the build takes the connections that are left.
        let mut watcher = pool.acquire().await?;
        let builder = tokio::spawn({
            let db = db.clone();
            async move { build(&db, "").await }
        });
        let waiting = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
                                       WHERE NOT granted AND d.datname = current_database())";
        while !sqlx::query_scalar::<_, bool>(waiting)
            .fetch_one(&mut *watcher)
            .await?
        {
            assert!(!builder.is_finished(), "it waits for those who hold");
        }
        assert!(
            !hold_too(&mut late).await?,
            "it would wait behind the build"
        );
        drop(late);
        // Both write what they hold, whoever waits for it.
        for tx in [&mut first, &mut second] {
            sqlx::query("DELETE FROM identity.tokens")
                .execute(tx.conn())
                .await?;
        }
        second.commit().await?;
        first.commit().await?;
        assert_eq!(builder.await??, 16);
        Ok(())
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn nothing_is_deferred_where_something_is_indexed_or_held(
        pool: PgPool,
    ) -> anyhow::Result<()> {
        let db = Db::from_pool(pool.clone(), Clock::System);
        let mut holder = pool.begin().await?;
        sqlx::raw_sql("SELECT FROM identity.agents")
            .execute(&mut *holder)
            .await?;
        assert_eq!(begin(&db).await?, 0, "a reader is not pushed aside");
        holder.rollback().await?;
        run(
            &pool,
            "INSERT INTO identity.agents (did, name) VALUES ('did:x:1', 'one')",
        )
        .await?;
        assert_eq!(begin(&db).await?, 0);
        Ok(())
    }

    /// What a person does with plain SQL meanwhile leaves what it would have left.
    #[sqlx::test(migrations = "../../migrations")]
    async fn keys_hold_and_cascades_are_made_up_for(pool: PgPool) -> anyhow::Result<()> {
        let db = Db::from_pool(pool.clone(), Clock::System);
        begin(&db).await?;
        for did in ["did:x:1", "did:x:2", "did:x:3"] {
            let insert = format!(
                "INSERT INTO identity.agents (did, name) VALUES ('{did}', 'one');
                 BEGIN; SELECT set_config('chancery.cause', 'job:test', true);
                 INSERT INTO identity.agent_identifiers
                 SELECT id, 'did', did, 'verified' FROM identity.agents WHERE did = '{did}'; COMMIT"
            );
            run(&pool, &insert).await?;
        }
        let twice = run(
            &pool,
            "INSERT INTO identity.agents (did, name) VALUES ('did:x:1', 'two')",
        );
        let error = twice.await.expect_err("a DID has one agent");
        assert!(
            error.to_string().contains("agents_did_key_meanwhile"),
            "{error}"
        );
        let left = async || {
            let mut left = Vec::new();
            for table in ["agent_identifiers", "agent_status_history"] {
                let dids = AssertSqlSafe(format!(
                    "SELECT coalesce(a.did::text, 'nobody') FROM identity.{table} t
                       LEFT JOIN identity.agents a ON a.id = t.agent_id ORDER BY 1"
                ));
                left.push(
                    sqlx::query_scalar::<_, String>(dids)
                        .fetch_all(&pool)
                        .await?,
                );
            }
            Ok::<_, sqlx::Error>(left)
        };
        run(&pool, "DELETE FROM identity.agents WHERE did = 'did:x:1'").await?;
        let both = ["did:x:2", "did:x:3"];
        assert_eq!(left().await?, [both, both], "at once");
        // Whoever has a cause sees to it himself; a history goes by the cascade.
        let delete = "BEGIN; SELECT set_config('chancery.cause', 'job:test', true);
                      DELETE FROM identity.agents WHERE did = 'did:x:3';
                      DELETE FROM identity.agent_identifiers WHERE value = 'did:x:3'; COMMIT";
        run(&pool, delete).await?;
        let (names, histories) = (vec!["did:x:2"], vec!["did:x:2", "nobody"]);
        assert_eq!(left().await?, [names, histories]);
        assert_eq!(build(&db, "chain.").await?, 1);
        build(&db, "").await?;
        assert_eq!(left().await?, [["did:x:2"], ["did:x:2"]]);
        Ok(())
    }
}
