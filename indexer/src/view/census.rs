//! The census as doors show it.

use chrono::{DateTime, Utc};
use kernel::Address;
use serde::Serialize;
use store::Db;

use super::ChainView;
use crate::Result;

/// How far a registry's agents were held against its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CensusView {
    /// EIP-155 id.
    pub chain: i64,
    /// The registry, EIP-55.
    pub registry: String,
    /// The block of the last comparison.
    pub block: Option<i64>,
    /// When that was.
    pub taken_at: Option<DateTime<Utc>>,
    /// Agents that we saw minted.
    pub agents: Option<i64>,
    /// Agents that the registry counts, as a decimal number, where it tells.
    pub counted: Option<String>,
    /// How far its count is shown: `unavailable`, `reported`, `proven`.
    pub count_level: String,
    /// How far the values were shown that ours were compared with, the least of them.
    pub values_level: Option<String>,
    /// Whether every agent was compared once.
    pub through: bool,
    /// Whether everybody of whom logs up to the chain's head speak was compared since.
    pub current: bool,
    /// Agents that are to be compared again, of all registries of the chain.
    pub again: i64,
    /// Values that are not the registry's, now.
    pub mismatches: i64,
    /// Why no provider's state could be read.
    pub obstacle: Option<String>,
    /// Whether all agents were compared as they are at the chain's head, their number is the registry's, and
    /// nothing differs.
    pub holds: bool,
}

/// Whether no log of a chain is missing up to its head, and its rows are the state of all its registries
/// there. Never where no provider serves state, nobody knows then, and never where some agents alone are kept: that
/// claims no census.
pub fn is_synced(chain: &ChainView, census: &[CensusView]) -> bool {
    let registries = chain.contracts.get("identity");
    let holds = |registry: &String| {
        let its = |one: &&CensusView| one.chain == chain.chain && one.registry == *registry;
        census.iter().find(its).is_some_and(|one| one.holds)
    };
    let held = registries.is_some_and(|all| !all.is_empty() && all.iter().all(holds));
    held && chain.watched.is_none() && chain.complete && chain.ground <= chain.head
}

/// A value of ours that is not the registry's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MismatchView {
    /// EIP-155 id.
    pub chain: i64,
    /// The registry, EIP-55.
    pub registry: String,
    /// The agent's id; null: it is the count of all.
    pub agent: Option<String>,
    /// The agent's number in the registry.
    pub token: Option<String>,
    /// `agents`, `owner`, `wallet`, `uri` or `metadata:<key>`.
    pub what: String,
    /// The event rule that made our value.
    pub rule: String,
    /// Block and log index of the log that it read last.
    pub log: Option<(i64, i32)>,
    /// Our value; null: none.
    pub ours: Option<String>,
    /// The registry's; null: none.
    pub theirs: Option<String>,
    /// How far that is shown.
    pub level: String,
    /// The block of both.
    pub block: i64,
    /// When it was found.
    pub found_at: DateTime<Utc>,
}

/// The census of all chains, or rather of those that had one.
pub async fn census(db: &Db) -> Result<Vec<CensusView>> {
    let rows = sqlx::query!(
        r#"SELECT s.chain_id, s.registry, s.block_number, s.taken_at, s.agents,
                  s.counted::text AS counted, s.count_level, s.values_level, s.obstacle,
                  s.next_token IS NULL AS "through!", s.agents = s.counted AS equal,
                  NOT EXISTS (SELECT FROM chain.logs l
                               WHERE l.chain_id = s.chain_id AND l.block_number > s.through_block
                                 AND l.block_number <= c.head_number AND l.address = s.registry
                                 AND l.subject IS NOT NULL) AS "current!",
                  (SELECT count(*) FROM chain.census_again a WHERE a.chain_id = s.chain_id) AS "again!",
                  (SELECT count(*) FROM chain.mismatches m
                    WHERE m.chain_id = s.chain_id AND m.registry = s.registry
                      AND m.gone_block IS NULL) AS "mismatches!"
             FROM chain.census s JOIN chain.chains c USING (chain_id)
            ORDER BY s.chain_id, s.registry"#
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| CensusView {
            chain: row.chain_id,
            registry: shown(&row.registry),
            block: row.block_number,
            taken_at: row.taken_at,
            agents: row.agents,
            counted: row.counted,
            count_level: row.count_level,
            values_level: row.values_level,
            through: row.through,
            current: row.current,
            again: row.again,
            mismatches: row.mismatches,
            obstacle: row.obstacle,
            holds: row.through
                && row.current
                && row.again == 0
                && row.equal == Some(true)
                && row.mismatches == 0,
        })
        .collect())
}

/// The newest values of a chain that are not the registry's, at most `most`.
pub async fn mismatches(db: &Db, chain: u64, most: i64) -> Result<Vec<MismatchView>> {
    let rows = sqlx::query!(
        "SELECT chain_id, registry, agent_id, token_id::text AS token, what, rule, rule_block,
                rule_log, ours, theirs, level, block_number, found_at
           FROM chain.mismatches WHERE chain_id = $1 AND gone_block IS NULL
          ORDER BY serial DESC LIMIT $2",
        chain.cast_signed(),
        most,
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| MismatchView {
            chain: row.chain_id,
            registry: shown(&row.registry),
            agent: row.agent_id.map(|agent| agent.to_string()),
            token: row.token,
            what: row.what,
            rule: row.rule,
            log: row.rule_block.zip(row.rule_log),
            ours: row.ours,
            theirs: row.theirs,
            level: row.level,
            block: row.block_number,
            found_at: row.found_at,
        })
        .collect())
}

fn shown(address: &[u8]) -> String {
    Address::try_from(address).map_or_else(|_| String::new(), |address| address.to_string())
}
