//! Recorded chains, indexed from file to rows and journal.

use std::path::{Path, PathBuf};

use chain::Registries;
use indexer::{Follower, Replay};
use sqlx::{PgPool, Row};
use store::{Clock, Db, Outcome};
use uuid::Uuid;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/corpus/erc8004")
        .join(name)
}

async fn index(db: &Db, file: &Path, step_logs: usize) -> anyhow::Result<u64> {
    let replay = Replay::open(file, step_logs, Registries::default())?;
    let chain = replay.chain()?;
    indexer::open(db, &chain).await?;
    let mut follower = Follower::new(
        db.clone(),
        chain.id,
        chain.contracts.clone(),
        replay,
        Uuid::from_u128(7),
    );
    while follower.round().await? == Outcome::Busy {}
    let status = follower.status();
    let steps = status.lock().expect("not poisoned").steps;
    Ok(steps)
}

async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query(query)
        .fetch_one(pool)
        .await
        .expect(query)
        .get(0)
}

#[sqlx::test(migrations = "../migrations")]
async fn mainnet_logs_give_92_agents_of_which_19_are_incomplete(
    pool: PgPool,
) -> anyhow::Result<()> {
    let db = Db::from_pool(pool.clone(), Clock::System);
    index(&db, &corpus("mainnet-logs.json"), 10).await?;
    assert_eq!(count(&pool, "SELECT count(*) FROM chain.logs").await, 108);
    assert_eq!(
        count(&pool, "SELECT count(*) FROM identity.agents").await,
        92
    );
    assert_eq!(
        count(
            &pool,
            "SELECT count(*) FROM identity.tokens WHERE NOT complete"
        )
        .await,
        19
    );
    assert_eq!(
        count(
            &pool,
            "SELECT count(*) FROM identity.agents WHERE owner_address IS NULL"
        )
        .await,
        19
    );
    assert_eq!(
        count(
            &pool,
            "SELECT count(*) FROM identity.tokens WHERE complete AND claimed"
        )
        .await,
        73,
        "owners rest on Registered alone"
    );
    let rows = count(&pool, "SELECT count(*) FROM journal.entries").await;
    assert_eq!(
        index(&db, &corpus("mainnet-logs.json"), 10).await?,
        0,
        "nothing is new"
    );
    assert_eq!(
        count(&pool, "SELECT count(*) FROM journal.entries").await,
        rows
    );
    Ok(())
}
