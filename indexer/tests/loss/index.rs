//! The engine on a made-up network whose true end is known.

use chain::{Registries, SeenTopics};
use indexer::{
    Anchor, Chain, ChainConfig, Config, Follower, Origin, Prove, Proven, Prover, ProviderState,
    Providers, RpcSource, Settling, Status, Verifier, Witness, view::ChainView,
};
use replay_rpc::{
    node::{Faults, Network, Provider, Stats},
    workload::{Params, REGISTRY},
};
use sqlx::{AssertSqlSafe, Executor, PgPool, Row, postgres::PgPoolOptions};
use store::{Clock, Db, Outcome};
use uuid::Uuid;

/// One line for each agent, as the network's oracle writes them.
const LINES: &str = r"
    SELECT coalesce(string_agg(line, E'\n' ORDER BY token_id), '') FROM (
    SELECT token_id, token_id || '|0x' || encode(owner, 'hex') || '|0x'
           || coalesce(encode(wallet, 'hex'), repeat('0', 40)) || '|' || coalesce(uri, '') || '|'
           || coalesce((SELECT string_agg(key || '=' || value, ',' ORDER BY key)
                          FROM jsonb_each_text(onchain)), '') AS line
      FROM identity.v_tokens) AS lines";

pub struct Index {
    pool: PgPool,
    pub db: Db,
    network: Network,
    providers: Vec<Provider>,
    nodes: Providers,
    follower: Follower<RpcSource>,
    prover: Prover,
    verifier: Verifier,
}

impl Index {
    /// An empty database of its own, a chain of `blocks` blocks, and a provider for each of `faults`.
    pub async fn new(
        pool: &PgPool,
        place: usize,
        blocks: u64,
        prove: Prove,
        faults: &[Faults],
    ) -> anyhow::Result<Self> {
        let settling = Settling::Depth(64);
        Self::settling(pool, place, blocks, prove, faults, settling).await
    }

    /// The same, where blocks settle otherwise.
    pub async fn settling(
        pool: &PgPool,
        place: usize,
        blocks: u64,
        prove: Prove,
        faults: &[Faults],
        settling: Settling,
    ) -> anyhow::Result<Self> {
        let pool = database(pool, place).await?;
        let chain = Params::default().chain_id;
        Self::start(pool, chain, blocks, prove, faults, settling).await
    }

    /// The same on a chain of another id, whose receipts and headers are therefore worth something else.
    pub async fn of_chain(
        pool: &PgPool,
        place: usize,
        (chain, blocks): (u64, u64),
        prove: Prove,
        faults: &[Faults],
    ) -> anyhow::Result<Self> {
        let pool = database(pool, place).await?;
        Self::start(pool, chain, blocks, prove, faults, Settling::Depth(64)).await
    }

    async fn start(
        pool: PgPool,
        chain_id: u64,
        blocks: u64,
        prove: Prove,
        faults: &[Faults],
        settling: Settling,
    ) -> anyhow::Result<Self> {
        let db = Db::from_pool(pool.clone(), Clock::System);
        let params = Params {
            events: 10,
            chain_id,
            ..Params::default()
        };
        let network = Network::of_workload(params, blocks);
        let mut providers = Vec::new();
        let mut nodes = ChainConfig::default();
        for faults in faults {
            let provider = network.provider(faults.clone())?;
            nodes.rpc.push(provider.url());
            providers.push(provider);
        }
        let genesis = network.chain().canonical()[0].hash;
        let chain = Chain {
            id: params.chain_id,
            name: "made up".to_owned(),
            origin: Origin::Rpc,
            anchor: Anchor {
                number: 0,
                hash: genesis,
            },
            start: 0,
            topics: SeenTopics::ALL,
            contracts: Registries {
                identity: vec![REGISTRY],
                ..Registries::default()
            },
        };
        indexer::open(&db, &chain).await?;
        let config = Config {
            prove,
            range_blocks: 100,
            provider_timeout_seconds: 1,
            ..Config::default()
        };
        let nodes = Providers::connect(&config, &nodes).await?;
        let (holder, contracts) = (Uuid::from_u128(1), chain.contracts);
        let others = nodes.others_first();
        let source = RpcSource::new(nodes.clone(), &contracts, settling, &config);
        let prover = || {
            let (db, contracts) = (db.clone(), contracts.clone());
            Prover::new(db, chain.id, contracts, source.witness(), holder)
        };
        let by = Witness::new(others, indexer::filter(&contracts));
        let (verifier, prover) = (Verifier::new(prover(), by), prover());
        Ok(Self {
            pool,
            db: db.clone(),
            network,
            providers,
            nodes,
            follower: Follower::new(db, chain.id, contracts, source, holder),
            prover,
            verifier,
        })
    }

    /// Rounds until there is nothing new.
    pub async fn follow(&mut self) -> indexer::Result<()> {
        while self.follower.round().await? == Outcome::Busy {}
        Ok(())
    }

    /// Rounds until every agent is what it must be. What fails for a moment is tried again.
    pub async fn settle(&mut self) -> indexer::Result<()> {
        for _ in 0..2_000 {
            let said = match self.follower.round().await {
                Err(error) if error.kind().is_transient() => continue,
                said => said?,
            };
            if said == Outcome::Idle && self.state().await == self.truth() {
                return Ok(());
            }
        }
        panic!("the end was not reached: {}", self.place());
    }

    fn place(&self) -> String {
        let status = self.status();
        let head = self.network.chain().head().number();
        format!(
            "{:?} at {:?} of {head}: {:?}",
            status.state, status.ground, status.error
        )
    }

    /// The same, where only what is proven is right.
    pub async fn settle_proven(&mut self) -> indexer::Result<()> {
        for _ in 0..2_000 {
            let followed = self.follower.round().await;
            let proven = self.prover.round().await;
            let mut idle = true;
            for said in [followed, proven] {
                match said {
                    Err(error) if error.kind().is_transient() => idle = false,
                    said => idle &= said? == Outcome::Idle,
                }
            }
            if idle && self.state().await == self.truth() {
                return Ok(());
            }
        }
        panic!("the end was not reached: {}", self.place());
    }

    /// The witness of a process that starts now, and asks a provider with these faults.
    pub async fn stranger(&mut self, faults: Faults) -> anyhow::Result<Witness> {
        let provider = self.network.provider(faults)?;
        let node = ChainConfig {
            rpc: vec![provider.url()],
            ..ChainConfig::default()
        };
        self.providers.push(provider);
        let nodes = Providers::connect(&Config::default(), &node).await?;
        let contracts = Registries {
            identity: vec![REGISTRY],
            ..Registries::default()
        };
        Ok(Witness::new(nodes, indexer::filter(&contracts)))
    }

    /// What doors show of the chain.
    pub async fn view(&self) -> ChainView {
        let chains = indexer::view::chains(&self.db).await.expect("chains");
        chains.into_iter().next().expect("a chain")
    }

    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Rounds of proving until nothing is left.
    pub async fn prove(&mut self) -> indexer::Result<()> {
        while self.prover.round().await? == Outcome::Busy {}
        Ok(())
    }

    /// Verifies what is stored of some blocks, both ends included.
    pub async fn verify(&self, from: i64, to: i64) -> indexer::Result<Proven> {
        self.verifier.verify(from, to).await
    }

    pub fn status(&self) -> Status {
        self.follower.status().lock().expect("not poisoned").clone()
    }

    /// Does something just before the `count`-th request from now on to the first provider.
    pub fn before_request(&self, count: u64, act: impl FnOnce(&Network) + Send + 'static) {
        self.providers[0].before_request(count, act);
    }

    /// The providers as they look to whoever asks them.
    pub fn states(&self) -> Vec<ProviderState> {
        self.nodes.states()
    }

    pub fn set_faults(&self, provider: usize, faults: Faults) {
        self.providers[provider].set_faults(faults);
    }

    pub fn stats(&self, provider: usize) -> Stats {
        self.providers[provider].stats()
    }

    /// What every agent must be in the end.
    pub fn truth(&self) -> String {
        let head = self.network.chain().head().number();
        self.network.truth(head).expect("a workload").as_is
    }

    /// What every agent is.
    pub async fn state(&self) -> String {
        let row = sqlx::query(AssertSqlSafe(format!("SELECT md5(({LINES}))")));
        row.fetch_one(&self.pool).await.expect("agents").get(0)
    }

    pub async fn count(&self, of: &str) -> i64 {
        let row = sqlx::query(AssertSqlSafe(format!("SELECT count(*) FROM {of}")));
        row.fetch_one(&self.pool).await.expect(of).get(0)
    }

    /// The last block that was only reported.
    pub async fn reported_to(&self) -> u64 {
        let query = "SELECT max(to_block) FROM chain.ranges WHERE level = 'reported'";
        let row = sqlx::query(query)
            .fetch_one(&self.pool)
            .await
            .expect("ranges");
        row.get::<i64, _>(0).unsigned_abs()
    }

    /// The proof level of a block.
    pub async fn level_of(&self, block: u64) -> String {
        let query = "SELECT level FROM chain.ranges WHERE $1 BETWEEN from_block AND to_block";
        let row = sqlx::query(query).bind(block.cast_signed());
        row.fetch_one(&self.pool).await.expect("a range").get(0)
    }

    /// The proof levels of all blocks.
    pub async fn levels(&self) -> Vec<String> {
        let rows = sqlx::query("SELECT DISTINCT level FROM chain.v_ranges ORDER BY level");
        let rows = rows.fetch_all(&self.pool).await.expect("ranges");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// A migrated database beside that of the test.
async fn database(pool: &PgPool, place: usize) -> anyhow::Result<PgPool> {
    if place == 0 {
        return Ok(pool.clone());
    }
    let options = pool.connect_options();
    let name = options.get_database().unwrap_or_default();
    let name = format!(
        "other_{}",
        hex::encode(&kernel::sha256(format!("{name}{place}").as_bytes())[..12])
    );
    pool.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS \"{name}\"")))
        .await?;
    pool.execute(AssertSqlSafe(format!("CREATE DATABASE \"{name}\"")))
        .await?;
    let options = options.as_ref().clone().database(&name);
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await?;
    sqlx::migrate!("../migrations").run(&pool).await?;
    Ok(pool)
}
