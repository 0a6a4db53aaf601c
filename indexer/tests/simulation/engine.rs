//! The code under test as one process of it: a pool of its own, providers' addresses, a follower. It can
//! be killed at any request that it makes and any statement that it writes.

use std::future::pending;

use chain::{Registries, SeenTopics};
use indexer::{
    Anchor, Chain, ChainConfig, Config, Follower, Origin, Prove, Prover, Providers, RpcSource,
    Settling,
};
use sqlx::PgPool;
use store::{Clock, Db, Outcome};
use uuid::Uuid;

use super::database::Database;

/// How one chain of the world is followed.
#[derive(Clone)]
pub struct Setting {
    pub chain: u64,
    pub origin: Origin,
    pub settling: Settling,
    pub anchor: Anchor,
    pub contracts: Registries,
    pub config: Config,
    pub urls: Vec<String>,
}

/// One process that follows one chain.
pub struct Engine {
    pub db: Db,
    process: Option<(Follower<RpcSource>, Prover)>,
    holder: Uuid,
    setting: Setting,
}

/// What of a process does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Follow,
    Prove,
    /// At once, as in the real process.
    Both,
}

/// How a round ended.
#[derive(Debug)]
pub enum Round {
    Done(Outcome),
    Failed(indexer::Error),
    /// It was killed while it waited.
    Killed,
}

impl Engine {
    pub async fn new(database: &Database, clock: &Clock, holder: u128, setting: &Setting) -> Self {
        Self::with_pool(database.engine().await, clock, holder, setting)
    }

    pub fn with_pool(pool: PgPool, clock: &Clock, holder: u128, setting: &Setting) -> Self {
        Self {
            db: Db::from_pool(pool, clock.clone()),
            process: None,
            holder: Uuid::from_u128(holder),
            setting: setting.clone(),
        }
    }

    /// One round; the first one opens the chain.
    pub async fn round(&mut self) -> Round {
        self.until(Part::Follow, pending()).await
    }

    /// One round of proving what was only reported.
    pub async fn prove(&mut self) -> Round {
        self.until(Part::Prove, pending()).await
    }

    /// One round, dropped where it is as soon as `stop` is over.
    pub async fn until(&mut self, part: Part, stop: impl Future<Output = ()>) -> Round {
        let round = Box::pin(self.part(part));
        tokio::select! {
            biased;
            () = stop => Round::Killed,
            result = round => match result {
                Ok(outcome) => Round::Done(outcome),
                Err(error) => Round::Failed(error),
            },
        }
    }

    async fn part(&mut self, part: Part) -> indexer::Result<Outcome> {
        if part == Part::Prove && self.setting.config.prove == Prove::Off {
            return Ok(Outcome::Idle);
        }
        let (follower, prover) = self.start().await?;
        match part {
            Part::Follow => follower.round().await,
            Part::Prove => prover.round().await,
            Part::Both => {
                let (step, proof) = futures::join!(follower.round(), prover.round());
                proof?;
                step
            }
        }
    }

    async fn start(&mut self) -> indexer::Result<&mut (Follower<RpcSource>, Prover)> {
        if self.process.is_none() {
            self.process = Some(self.open().await?);
        }
        Ok(self.process.as_mut().expect("started"))
    }

    async fn open(&self) -> indexer::Result<(Follower<RpcSource>, Prover)> {
        let setting = &self.setting;
        let nodes = ChainConfig {
            chain: Some(setting.chain.to_string()),
            rpc: setting.urls.clone(),
            ..ChainConfig::default()
        };
        let providers = Providers::connect(&setting.config, &nodes).await?;
        let chain = Chain {
            id: setting.chain,
            name: "simulated".to_owned(),
            origin: setting.origin,
            anchor: setting.anchor,
            start: 1,
            topics: SeenTopics::ALL,
            contracts: setting.contracts.clone(),
        };
        indexer::open(&self.db, &chain).await?;
        let contracts = &setting.contracts;
        let source = RpcSource::new(providers, contracts, setting.settling, &setting.config);
        let (db, id) = (&self.db, setting.chain);
        let witness = source.witness();
        let prover = Prover::new(db.clone(), id, contracts.clone(), witness, self.holder);
        let follower = Follower::new(db.clone(), id, contracts.clone(), source, self.holder);
        Ok((follower, prover))
    }

    /// As after `kill -9`: nothing is said to anybody, and a new process comes with the same name or
    /// another one.
    pub async fn restart(&mut self, database: &Database, clock: &Clock, holder: u128) {
        self.process = None;
        let setting = self.setting.clone();
        self.replace(Self::new(database, clock, holder, &setting).await)
            .await;
    }

    /// Another process in the place of this one.
    pub async fn replace(&mut self, other: Self) {
        std::mem::replace(self, other).db.close().await;
    }
}
