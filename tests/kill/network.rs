//! A made-up chain that an instance reads from a provider, and the state that it must end in.

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
      FROM identity.v_tokens) AS lines";

/// The chain and its one provider.
pub struct MadeUp {
    /// The chain.
    pub network: Network,
    provider: Provider,
}

impl MadeUp {
    /// So many blocks, each with ten events of agents.
    pub fn of(blocks: u64, faults: Faults) -> Self {
        let params = Params {
            events: 10,
            ..Params::default()
        };
        let network = Network::of_workload(params, blocks);
        let provider = network.provider(faults).unwrap();
        Self { network, provider }
    }

    /// The configuration of whoever reads it.
    pub fn config(&self) -> String {
        let (url, registry) = (self.provider.url(), REGISTRY);
        format!(
            "[content]\nfetch = false\n[indexer]\npoll_ms = 50\nprovider_at_once = 1\n\
             [[indexer.chains]]\nrpc = [\"{url}\"]\nregistries = [\"{registry}\"]\n"
        )
    }

    /// The newest block.
    pub fn head(&self) -> i64 {
        self.network.chain().head().number().cast_signed()
    }

    /// Whether everything is read and projected, and every agent is what the chain says.
    pub async fn is_known(&self, db: &Db) -> bool {
        let head = self.head();
        let query = "SELECT head_number = $1 AND ground_number = $1
                            AND NOT EXISTS (SELECT FROM identity.dirty) FROM chain.chains";
        let row = sqlx::query(query).bind(head).fetch_optional(db.pool());
        let at_head = row.await.is_ok_and(|row| row.is_some_and(|row| row.get(0)));
        if !at_head {
            return false;
        }
        let state = sqlx::query(AssertSqlSafe(LINES)).fetch_one(db.pool());
        let state: String = state.await.unwrap().get(0);
        let truth = self.network.truth(head.unsigned_abs()).unwrap();
        assert_eq!(state, truth.as_is, "every agent is what the chain says");
        true
    }
}
