//! An indexer that the test drives round by round.

use std::collections::BTreeMap;

use chain::{At, SeenTopics};
use content::Content;
use indexer::{
    Anchor, Chain as Row, ChainConfig, Follower, Origin, Prover, Providers, RpcSource, Scope,
    Settling, Watch,
};
use kernel::Address;
use sqlx::{AssertSqlSafe, PgPool, Row as _};
use store::{Clock, Db, Outcome};
use uuid::Uuid;

use super::anvil::{Agent, Chain};

/// A database that follows a chain.
pub struct Index {
    /// The database.
    pub db: Db,
    /// Its pool, for plain SQL.
    pub pool: PgPool,
    /// The chain as it is opened.
    pub row: Row,
    /// What is settled.
    pub settling: Settling,
    /// Whom it is read from.
    pub providers: Providers,
    follower: Follower<RpcSource>,
    prover: Prover,
}

impl Index {
    /// Opens `chain`, from its first block on. With depth 0 it is one that we started, else
    /// somebody's node.
    pub async fn open(pool: &PgPool, chain: &Chain, settling: Settling) -> Self {
        Self::open_with(pool, chain, settling, &indexer::Config::default()).await
    }

    /// The same with another configuration.
    pub async fn open_with(
        pool: &PgPool,
        chain: &Chain,
        settling: Settling,
        config: &indexer::Config,
    ) -> Self {
        // Neither anvil's nor geth's address has a path.
        Self::open_through(pool, chain, settling, config, vec![chain.rpc.place()]).await
    }

    /// The same, read from the nodes at these URLs.
    pub async fn open_through(
        pool: &PgPool,
        chain: &Chain,
        settling: Settling,
        config: &indexer::Config,
        urls: Vec<String>,
    ) -> Self {
        Self::open_for(pool, chain, settling, config, urls, None).await
    }

    /// Opens `chain` for some alone.
    pub async fn open_watching(
        pool: &PgPool,
        chain: &Chain,
        settling: Settling,
        watch: Watch,
    ) -> Self {
        let (config, urls) = (indexer::Config::default(), vec![chain.rpc.place()]);
        Self::open_for(pool, chain, settling, &config, urls, Some(watch)).await
    }

    async fn open_for(
        pool: &PgPool,
        chain: &Chain,
        settling: Settling,
        config: &indexer::Config,
        urls: Vec<String>,
        watch: Option<Watch>,
    ) -> Self {
        let genesis = chain
            .rpc
            .block(At::Number(0))
            .await
            .expect("answered")
            .expect("a genesis");
        let row = Row {
            id: chain.rpc.chain(),
            name: "test".to_owned(),
            origin: if settling == Settling::Depth(0) {
                Origin::Started
            } else {
                Origin::Rpc
            },
            anchor: Anchor {
                number: 0,
                hash: genesis.hash,
            },
            start: 0,
            topics: SeenTopics::ALL,
            contracts: chain.contracts(),
        };
        let db = Db::from_pool(pool.clone(), Clock::System);
        let scope = watch.as_ref().map_or(Scope::All, |_| Scope::Watched);
        let opened = indexer::open_scope(&db, &row, scope).await;
        opened.expect("opened");
        let nodes = ChainConfig {
            rpc: urls,
            ..ChainConfig::default()
        };
        let providers = Providers::connect(config, &nodes).await.expect("connected");
        let mut source = RpcSource::new(providers.clone(), &row.contracts, settling, config);
        if let Some(watch) = watch {
            source = source.watching(db.clone(), watch, &row.contracts, row.start, config);
        }
        let holder = Uuid::from_u128(1);
        let (witness, contracts) = (source.witness(), row.contracts.clone());
        let prover = Prover::new(db.clone(), row.id, contracts, witness, holder);
        let follower = Follower::new(db.clone(), row.id, row.contracts.clone(), source, holder);
        Self {
            db,
            pool: pool.clone(),
            row,
            settling,
            providers,
            follower,
            prover,
        }
    }

    /// One round.
    pub async fn round(&mut self) -> indexer::Result<Outcome> {
        self.follower.round().await
    }

    /// What the follower says of itself.
    pub fn status(&self) -> indexer::Status {
        self.follower.status().lock().expect("not poisoned").clone()
    }

    /// Rounds until the head.
    pub async fn catch_up(&mut self) {
        while self.round().await.expect("a round") == Outcome::Busy {}
    }

    /// Proves what was only reported, until nothing is left.
    pub async fn prove(&mut self) -> indexer::Result<()> {
        while self.prover.round().await? == Outcome::Busy {}
        Ok(())
    }

    /// Where the index stands.
    pub async fn head(&self) -> i64 {
        indexer::standing(&self.db, self.row.id)
            .await
            .expect("a chain")
            .head
    }

    /// Projects what is dirty.
    pub async fn sweep(&self) {
        while identity::dirty::sweep(&self.db).await.expect("a sweep") == Outcome::Busy {}
    }

    /// Fetches and judges what is due, and projects what that changes.
    pub async fn judge(&self, content: &Content) {
        while identity::document::fetch_due(&self.db, content)
            .await
            .expect("judged")
            == Outcome::Busy
        {}
        self.sweep().await;
    }

    /// Plain SQL of a person; gives the rows that it changed.
    pub async fn sql(&self, text: &str) -> u64 {
        let done = sqlx::query(AssertSqlSafe(text.to_owned()))
            .execute(&self.pool)
            .await;
        done.unwrap_or_else(|error| panic!("{text}: {error}"))
            .rows_affected()
    }

    /// The first column, as text.
    pub async fn list(&self, query: &str) -> Vec<String> {
        list(&self.pool, query).await
    }

    /// Our rows of the chain's agents, in the form of the contract's answers.
    pub async fn agents(&self) -> Vec<Agent> {
        agents(&self.pool).await
    }
}

/// Our rows of a chain's agents, in the form of the contract's answers.
pub async fn agents(pool: &PgPool) -> Vec<Agent> {
    let rows = sqlx::query(
        "SELECT t.token_id::bigint, t.owner, t.wallet, coalesce(t.uri, ''), t.approved, a.owner_address,
                CASE WHEN t.uri <> '' THEN encode(t.uri_hash, 'hex') END, t.onchain
           FROM identity.v_tokens t JOIN identity.agents a ON a.id = t.agent_id ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .expect("tokens");
    let address = |bytes: Option<Vec<u8>>| bytes.map(|bytes| Address::from_slice(&bytes));
    rows.iter()
        .map(|row| {
            let owner = address(row.get(1));
            let shown = owner.map(|owner| format!("{owner:#x}"));
            assert_eq!(
                shown,
                row.get::<Option<String>, _>(5),
                "owner_address is the owner"
            );
            Agent {
                id: row.get::<i64, _>(0).cast_unsigned(),
                owner,
                wallet: address(row.get(2)),
                uri: row.get(3),
                uri_hash: row.get(6),
                approved: address(row.get(4)),
                metadata: metadata(row.get(7)),
            }
        })
        .collect()
}

/// What is not empty: the contract does not tell an empty value from none.
fn metadata(onchain: serde_json::Value) -> BTreeMap<String, String> {
    let all: BTreeMap<String, String> = serde_json::from_value(onchain).expect("texts");
    all.into_iter().filter(|(_, value)| value != "0x").collect()
}

/// The first column of the rows of a query, as text.
pub async fn list(pool: &PgPool, query: &str) -> Vec<String> {
    let text = format!("SELECT q.v::text FROM ({query}) AS q(v)");
    sqlx::query(AssertSqlSafe(text))
        .fetch_all(pool)
        .await
        .unwrap_or_else(|error| panic!("{query}: {error}"))
        .iter()
        .map(|row| row.get::<Option<String>, _>(0).unwrap_or_default())
        .collect()
}
