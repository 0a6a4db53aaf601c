//! How a chain's rows compare with what its registries keep.

use chrono::{DateTime, Utc};
use indexer::view::{self, CensusView, MismatchView};
use serde::Serialize;
use store::Db;
use utoipa::ToSchema;

use crate::http::Problem;

/// Values of one chain that are shown, the newest first.
const SHOWN: i64 = 20;

/// A registry's agents as we have them, held against its own state.
#[derive(Debug, Serialize, ToSchema)]
pub struct Census {
    /// The registry, EIP-55.
    registry: String,
    /// The block of the last comparison.
    #[schema(required)]
    block: Option<i64>,
    /// When that was.
    #[schema(required)]
    taken_at: Option<DateTime<Utc>>,
    /// Agents that were seen minted.
    #[schema(required)]
    agents: Option<i64>,
    /// Agents that the registry counts, decimal; null where it does not tell.
    #[schema(required)]
    counted: Option<String>,
    /// How far its count is shown: `proven` against the block's state root, `reported` by one node, or
    /// `unavailable`.
    count_level: String,
    /// The same of the values that ours were compared with, the least of them; null before the first.
    #[schema(required)]
    values_level: Option<String>,
    /// Whether every agent was compared, as it is at `head`.
    through: bool,
    /// Values that are not the registry's.
    mismatches: i64,
    /// The newest of them, at most 20 of a chain.
    differences: Vec<Difference>,
    /// Why no node's state could be read.
    #[schema(required)]
    obstacle: Option<String>,
    /// Whether everybody was compared, the numbers are equal and nothing differs.
    holds: bool,
}

/// A value that is not the registry's.
#[derive(Debug, Serialize, ToSchema)]
struct Difference {
    /// The agent's id; null: it is the number of all.
    #[schema(required)]
    agent: Option<String>,
    /// agentId, decimal.
    #[schema(required)]
    agent_id: Option<String>,
    /// `agents`, `owner`, `wallet`, `uri` or `metadata:<key>`.
    what: String,
    /// The event rule that made our value.
    rule: String,
    /// The block of the log that it read last.
    #[schema(required)]
    rule_block: Option<i64>,
    /// That log's index in the block.
    #[schema(required)]
    rule_log: Option<i32>,
    /// Our value; null: none.
    #[schema(required)]
    ours: Option<String>,
    /// The registry's; null: none.
    #[schema(required)]
    theirs: Option<String>,
    /// How far theirs is shown: `proven` or `reported`.
    level: String,
    /// The block of both.
    block: i64,
    /// When it was found.
    found_at: DateTime<Utc>,
}

/// Those of one chain, out of all.
pub async fn of_chain(db: &Db, chain: u64, all: &[CensusView]) -> Result<Vec<Census>, Problem> {
    let its = all.iter().filter(|one| one.chain == chain.cast_signed());
    let its: Vec<&CensusView> = its.collect();
    let differ = its.iter().any(|one| one.mismatches > 0);
    let found = if differ {
        view::mismatches(db, chain, SHOWN).await?
    } else {
        Vec::new()
    };
    Ok(its.into_iter().map(|one| shown(one, &found)).collect())
}

fn shown(view: &CensusView, found: &[MismatchView]) -> Census {
    let its = found.iter().filter(|one| one.registry == view.registry);
    Census {
        registry: view.registry.clone(),
        block: view.block,
        taken_at: view.taken_at,
        agents: view.agents,
        counted: view.counted.clone(),
        count_level: view.count_level.clone(),
        values_level: view.values_level.clone(),
        through: view.through && view.current && view.again == 0,
        mismatches: view.mismatches,
        differences: its.map(Difference::of).collect(),
        obstacle: view.obstacle.clone(),
        holds: view.holds,
    }
}

impl Difference {
    fn of(view: &MismatchView) -> Self {
        let view = view.clone();
        Self {
            agent: view.agent,
            agent_id: view.token,
            what: view.what,
            rule: view.rule,
            rule_block: view.log.map(|(block, _)| block),
            rule_log: view.log.map(|(_, log)| log),
            ours: view.ours,
            theirs: view.theirs,
            level: view.level,
            block: view.block,
            found_at: view.found_at,
        }
    }
}
