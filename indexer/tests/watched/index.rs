//! Two indexes of one chain, one of everything and one of those who are watched, and their comparison.

use std::collections::BTreeSet;

use chain::SeenTopics;
use indexer::{
    Anchor, Chain, ChainConfig, Config, Follower, Origin, Prove, Prover, Providers, RpcSource,
    Scope, Settling, Watch,
};
use kernel::{Address, AgentId, Token, U256};
use sqlx::{AssertSqlSafe, Executor, PgPool, postgres::PgPoolOptions};
use store::{Clock, Db, Outcome};
use uuid::Uuid;

use crate::{
    kit::{REGISTRY, Script, list},
    net::Net,
};

/// Tables with a row or more for each agent, and their column that names it.
const TABLES: [(&str, &str); 9] = [
    ("identity.agents", "id"),
    ("identity.tokens", "agent_id"),
    ("identity.capability_vectors", "agent_id"),
    ("identity.agent_status_history", "agent_id"),
    ("identity.status_changes", "agent_id"),
    ("identity.ipfs_metadata", "agent_id"),
    ("identity.agent_identifiers", "agent_id"),
    ("identity.uri_agents", "agent_id"),
    ("chain.v_logs", "subject"),
];

/// Blocks below the head that are not settled.
const DEPTH: u64 = 8;

pub struct Index {
    pub pool: PgPool,
    pub db: Db,
    follower: Follower<RpcSource>,
    prover: Prover,
}

/// Who is watched.
pub fn watch(owners: &[Address], tokens: &[u64]) -> Watch {
    Watch {
        owners: owners.iter().copied().collect(),
        tokens: tokens.iter().map(|id| token(*id)).collect(),
    }
}

fn token(id: u64) -> Token {
    Token {
        chain: Net::id(),
        registry: REGISTRY,
        id: U256::from(id),
    }
}

pub fn chain(net: &Net) -> Chain {
    Chain {
        id: Net::id(),
        name: "made up".to_owned(),
        origin: Origin::Rpc,
        anchor: Anchor {
            number: 0,
            hash: net.genesis(),
        },
        start: 0,
        topics: SeenTopics::ALL,
        contracts: Script::new(1).contracts(),
    }
}

impl Index {
    /// Opens it, as a start of the program does; `None` keeps everything.
    pub async fn open(
        pool: &PgPool,
        net: &Net,
        watch: Option<Watch>,
        prove: Prove,
    ) -> anyhow::Result<Self> {
        let db = Db::from_pool(pool.clone(), Clock::System);
        let chain = chain(net);
        let scope = watch.as_ref().map_or(Scope::All, |_| Scope::Watched);
        indexer::open_scope(&db, &chain, scope).await?;
        let config = Config {
            prove,
            range_blocks: 40,
            provider_timeout_seconds: 5,
            ..Config::default()
        };
        let nodes = ChainConfig {
            rpc: vec![match &watch {
                Some(_) => net.url(),
                None => net.honest_url(),
            }],
            ..ChainConfig::default()
        };
        let nodes = Providers::connect(&config, &nodes).await?;
        let settling = Settling::Depth(DEPTH);
        let mut source = RpcSource::new(nodes, &chain.contracts, settling, &config);
        if let Some(watch) = watch {
            source = source.watching(db.clone(), watch, &chain.contracts, 0, &config);
        }
        let (holder, contracts) = (Uuid::from_u128(1), chain.contracts);
        let witness = source.witness();
        Ok(Self {
            pool: pool.clone(),
            prover: Prover::new(db.clone(), chain.id, contracts.clone(), witness, holder),
            follower: Follower::new(db.clone(), chain.id, contracts, source, holder),
            db,
        })
    }

    /// One round of following.
    pub async fn round(&mut self) -> indexer::Result<Outcome> {
        self.follower.round().await
    }

    /// Rounds until there is nothing new.
    pub async fn follow(&mut self) -> indexer::Result<()> {
        while self.round().await? == Outcome::Busy {}
        Ok(())
    }

    /// Rounds of following and proving until both have nothing to do.
    pub async fn prove(&mut self) -> indexer::Result<()> {
        loop {
            self.follow().await?;
            if self.prover.round().await? == Outcome::Idle {
                return Ok(());
            }
        }
    }

    /// One round of proving.
    pub async fn prove_once(&mut self) -> indexer::Result<Outcome> {
        self.prover.round().await
    }

    pub async fn count(&self, of: &str) -> usize {
        list(&self.pool, &format!("SELECT 1 FROM {of}")).await.len()
    }

    /// The proof levels of all blocks.
    pub async fn levels(&self) -> Vec<String> {
        let query = "SELECT DISTINCT level FROM chain.v_ranges ORDER BY level";
        list(&self.pool, query).await
    }

    /// Tokens of which there is an agent.
    pub async fn tokens(&self) -> BTreeSet<String> {
        let query = "SELECT token_id FROM identity.v_tokens";
        list(&self.pool, query).await.into_iter().collect()
    }

    /// Numbers of the tokens in the scope that `all` knows.
    pub async fn scope(&self, all: &Self) -> Vec<u64> {
        let there = all.tokens().await;
        let query = "SELECT token_id FROM chain.watched_tokens WHERE whole ORDER BY token_id";
        let scope = list(&self.pool, query).await;
        let kept = scope.iter().filter(|id| there.contains(*id));
        kept.map(|id| id.parse().expect("a number")).collect()
    }

    /// Numbers of the tokens that somebody ever gave or got, as an index of everything has it.
    pub async fn given(&self, by: Address) -> Vec<u64> {
        let word = by.into_word();
        let query = format!(
            "SELECT DISTINCT t.token_id FROM chain.v_logs l JOIN identity.v_tokens t ON t.agent_id = l.subject
              WHERE topic0 = '\\x{}' AND '\\x{}' IN (topic1, topic2) ORDER BY 1",
            hex::encode(chain::contracts::topics::TRANSFER),
            hex::encode(word)
        );
        let ids = list(&self.pool, &query).await;
        ids.iter().map(|id| id.parse().expect("a number")).collect()
    }

    /// Fails unless the rows and the journal of these tokens' agents are those of an index of everything, and there
    /// are no others.
    pub async fn assert_part_of(
        &self,
        all: &Self,
        tokens: &[u64],
        when: &str,
    ) -> anyhow::Result<()> {
        let expected: BTreeSet<String> = tokens.iter().map(u64::to_string).collect();
        assert_eq!(self.tokens().await, expected, "{when}: agents");
        let agents: Vec<AgentId> = tokens
            .iter()
            .map(|id| AgentId::of_token(&token(*id)))
            .collect();
        let ids: Vec<String> = agents.iter().map(|agent| format!("'{agent}'")).collect();
        let ids = ids.join(", ");
        for (table, column) in TABLES {
            let row = format!("SELECT to_jsonb(t)::text FROM {table} t WHERE {column}");
            let mut ours = list(&self.pool, &format!("{row} IS NOT NULL")).await;
            let mut theirs = list(&all.pool, &format!("{row} IN ({ids})")).await;
            ours.sort();
            theirs.sort();
            assert_eq!(ours, theirs, "{when}: {table}");
        }
        let others = "identity.subjects s WHERE NOT EXISTS (SELECT FROM chain.watched_tokens t
            WHERE (t.registry, t.token_id) = (s.registry, s.token_id))";
        assert_eq!(self.count(others).await, 0, "{when}: others are named");
        let (ours, theirs) = (
            journal::said::net(&self.db, &agents).await?,
            journal::said::net(&all.db, &agents).await?,
        );
        for agent in &agents {
            let digests =
                |said: &std::collections::HashMap<AgentId, Vec<journal::said::SaidChange>>| {
                    let changes = said.get(agent).into_iter().flatten();
                    changes
                        .map(|said| (said.digest, said.change.column.clone()))
                        .collect::<BTreeSet<_>>()
                };
            assert_eq!(
                digests(&ours),
                digests(&theirs),
                "{when}: journal of {agent}"
            );
        }
        Ok(())
    }
}

/// A migrated database beside that of the test.
pub async fn beside(pool: &PgPool, place: usize) -> anyhow::Result<PgPool> {
    let options = pool.connect_options();
    let name = options.get_database().unwrap_or_default();
    let name = kernel::sha256(format!("{name}{place}").as_bytes());
    let name = format!("other_{}", hex::encode(&name[..12]));
    for statement in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
        pool.execute(AssertSqlSafe(format!("{statement} \"{name}\"")))
            .await?;
    }
    let options = options.as_ref().clone().database(&name);
    let pool = PgPoolOptions::new()
        .max_connections(4)
        .connect_with(options)
        .await?;
    sqlx::migrate!("../migrations").run(&pool).await?;
    Ok(pool)
}
