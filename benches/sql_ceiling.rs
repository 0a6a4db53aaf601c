//! The ceiling of a backfill: the very steps that a node's logs make, from memory, by the same engine into a fresh
//! database: ground, projection, journal, indexes and seals, without network and JSON.
//!
//!     sql-ceiling RPC_URL REGISTRY DATABASE_URL
//!
//! The database is migrated and empty. Prints the seconds from the first step until everything is committed, indexed
//! and sealed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a measurement may stop"
)]

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chain::{At, Registries, SeenTopics};
use indexer::{
    Anchor, Chain, ChainConfig, Config, Cursor, Follower, Origin, Providers, RpcSource, Settling,
    Source, Step, Trail,
};
use journal::{LogKey, Sealer};
use store::{Clock, Db, Outcome, PoolConfig, SslMode};
use uuid::Uuid;

/// As the binary has it: what is measured is not the allocator.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How often it is looked for entries to seal.
const SEAL_EVERY: Duration = Duration::from_millis(100);

/// A chain's steps, all in memory.
struct Memory(VecDeque<Step>);

impl Source for Memory {
    async fn next(&mut self, _: Cursor, _: Trail<'_>) -> indexer::Result<Option<Step>> {
        Ok(self.0.pop_front())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let [rpc, registry, url]: [String; 3] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .context("sql-ceiling RPC_URL REGISTRY DATABASE_URL")?;
    let config = PoolConfig {
        sslmode: SslMode::Disable,
        ..PoolConfig::default()
    };
    let db = Db::connect(&url, &config, Clock::System).await?;
    let nodes = ChainConfig {
        rpc: vec![rpc],
        ..ChainConfig::default()
    };
    let providers = Providers::connect(&Config::default(), &nodes).await?;
    let chain = open(&db, &providers, &registry).await?;
    let (steps, logs) = read(&db, &providers, &chain).await?;
    let began = Instant::now();
    let done = AtomicBool::new(false);
    let following = async {
        let mut follower = Follower::new(
            db.clone(),
            chain.id,
            chain.contracts.clone(),
            Memory(steps),
            Uuid::from_u128(1),
        );
        while follower.round().await? == Outcome::Busy {}
        done.store(true, Ordering::Release);
        anyhow::Ok(())
    };
    tokio::try_join!(following, seal(&db, &done))?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(
        store::deferred::missing(&db).await?.is_empty(),
        "indexes are missing"
    );
    println!("{seconds:.3} s for {logs} logs");
    Ok(())
}

async fn open(db: &Db, providers: &Providers, registry: &str) -> Result<Chain> {
    let node = providers.node()?;
    let first = node.block(At::Number(0)).await?.context("no block 0")?;
    let chain = Chain {
        id: node.chain(),
        name: "workload".to_owned(),
        origin: Origin::Rpc,
        anchor: Anchor {
            number: 0,
            hash: first.hash,
        },
        start: 0,
        topics: SeenTopics::ALL,
        contracts: Registries {
            identity: vec![registry.parse()?],
            ..Registries::default()
        },
    };
    indexer::open(db, &chain).await?;
    Ok(chain)
}

/// Everything that the node has, and how many logs that are.
async fn read(db: &Db, providers: &Providers, chain: &Chain) -> Result<(VecDeque<Step>, usize)> {
    let (settling, config) = (Settling::Finalized(64), Config::default());
    let mut source = RpcSource::new(providers.clone(), &chain.contracts, settling, &config);
    let (mut steps, mut logs) = (VecDeque::new(), 0);
    let mut cursor = indexer::standing(db, chain.id).await?.ground;
    while let Some(step) = source.next(cursor, Trail::new(db, chain.id)).await? {
        if let Step::Extend(extend) = &step {
            cursor = extend.cursor();
            logs += extend.logs.logs.len();
        }
        steps.push_back(step);
    }
    Ok((steps, logs))
}

/// Seals until all is done and sealed.
async fn seal(db: &Db, done: &AtomicBool) -> Result<()> {
    let sealer = Sealer::new(LogKey::from_seed(&[7; 32]), None)?;
    loop {
        let last = done.load(Ordering::Acquire);
        while sealer.round(db, Uuid::from_u128(1)).await? == Outcome::Busy {}
        if last {
            return Ok(());
        }
        tokio::time::sleep(SEAL_EVERY).await;
    }
}
