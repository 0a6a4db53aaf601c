//! A made-up chain that an instance reads from a provider, and the state that it must end in.
#![allow(dead_code, reason = "each test file uses its part")]

use replay_rpc::{
    node::{Faults, Network, Provider},
    workload::{Params, REGISTRY},
};
use sqlx::{AssertSqlSafe, Row};
use store::Db;

/// One line for each agent, as the network's oracle writes them.
const LINES: &str = r"
    SELECT md5(coalesce(string_agg(line, E'\n' ORDER BY token_id), '')) FROM (
    SELECT token_id, token_id || '|0x' || encode(owner, 'hex') || '|0x'
           || coalesce(encode(wallet, 'hex'), repeat('0', 40)) || '|' || coalesce(uri, '') || '|'
           || coalesce((SELECT string_agg(key || '=' || value, ',' ORDER BY key)
                          FROM jsonb_each_text(onchain)), '') AS line
      FROM identity.v_tokens WHERE chain_id = $1) AS lines";

/// The chain and its one provider.
pub struct MadeUp {
    /// EIP-155 id.
    pub id: u64,
    /// The chain.
    pub network: Network,
    /// Who serves it.
    pub provider: Provider,
}

impl MadeUp {
    /// So many blocks, each with ten events of agents.
    pub fn of(blocks: u64, faults: Faults) -> Self {
        Self::with(Params::default(), blocks, faults)
    }

    /// The same of a chain of its own: another id, and other agents.
    pub fn another(id: u64, blocks: u64, faults: Faults) -> Self {
        let params = Params {
            chain_id: id,
            seed: id,
            ..Params::default()
        };
        Self::with(params, blocks, faults)
    }

    fn with(params: Params, blocks: u64, faults: Faults) -> Self {
        let params = Params {
            events: 10,
            ..params
        };
        let network = Network::of_workload(params, blocks);
        let provider = network.provider(faults).unwrap();
        Self {
            id: params.chain_id,
            network,
            provider,
        }
    }

    /// The configuration of whoever reads it.
    pub fn config(&self) -> String {
        format!(
            "[content]\nfetch = false\n[indexer]\npoll_ms = 50\nprovider_at_once = 1\n{}",
            self.entry()
        )
    }

    /// Its own part of that.
    pub fn entry(&self) -> String {
        let (url, registry) = (self.provider.url(), REGISTRY);
        format!("[[indexer.chains]]\nrpc = [\"{url}\"]\nregistries = [\"{registry}\"]\n")
    }

    /// The newest block.
    pub fn head(&self) -> i64 {
        self.network.chain().head().number().cast_signed()
    }

    /// Whether everything is read and projected, and every agent is what the chain says.
    pub async fn is_known(&self, db: &Db) -> bool {
        let head = self.head();
        let query = "SELECT head_number = $1 AND ground_number = $1
                            AND NOT EXISTS (SELECT FROM identity.dirty) FROM chain.chains WHERE chain_id = $2";
        let row = sqlx::query(query)
            .bind(head)
            .bind(self.id.cast_signed())
            .fetch_optional(db.pool());
        let at_head = row.await.is_ok_and(|row| row.is_some_and(|row| row.get(0)));
        if !at_head {
            return false;
        }
        let state = sqlx::query(AssertSqlSafe(LINES))
            .bind(self.id.cast_signed())
            .fetch_one(db.pool());
        let state: String = state.await.unwrap().get(0);
        let truth = self.network.truth(head.unsigned_abs()).unwrap();
        assert_eq!(state, truth.as_is, "every agent is what the chain says");
        true
    }
}
