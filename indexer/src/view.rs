//! Chains as doors show them.

mod census;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use kernel::Address;
use serde::Serialize;
use store::Db;

pub use self::census::{CensusView, MismatchView, census, is_synced, mismatches};
use crate::Result;

/// A chain's row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChainView {
    /// EIP-155 id.
    pub chain: i64,
    /// Its name, for people.
    pub name: String,
    /// `started`, `rpc` or `replay`.
    pub origin: String,
    /// Everything up to this block is indexed.
    pub head: i64,
    /// That block's time.
    pub head_time: Option<DateTime<Utc>>,
    /// Up to here the journal was told.
    pub settled: i64,
    /// First block to index.
    pub start_block: i64,
    /// Everything up to this block is stored; ahead of `head` in a backfill.
    pub ground: i64,
    /// What consensus calls final, where a provider says it.
    pub finalized: Option<i64>,
    /// How many of the blocks from the first one to `head` are proven how far: by level, weakest first.
    pub levels: Vec<LevelView>,
    /// How many of them are proven, fit their blooms where the chain's receipts cannot be recomputed, or were told
    /// alike by two providers where its headers prove nothing: all but what is one provider's word.
    pub checked: i64,
    /// Whether something is indexed, every block from the first one to `head` is checked, and all of them are one chain
    /// of hashes: no log is missing of those that are kept.
    pub complete: bool,
    /// Logs that providers told wrongly, all found and put right.
    pub incidents: i64,
    /// Contracts that are read, EIP-55, by kind: `identity`, `status`.
    pub contracts: BTreeMap<String, Vec<String>>,
    /// For whom it is kept; null: for everybody.
    pub watched: Option<WatchedView>,
}

/// The scope of a chain that is kept for some alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WatchedView {
    /// Owners whose tokens enter.
    pub owners: i64,
    /// Tokens that are kept.
    pub tokens: i64,
    /// Those of them whose logs have yet to be fetched.
    pub pending: i64,
}

/// Blocks of one proof level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LevelView {
    /// `reported`, `agreed`, `bloom`, `proven` or `finalized`.
    pub level: String,
    /// How many blocks.
    pub blocks: i64,
    /// The lowest of them.
    pub from: i64,
    /// The highest of them.
    pub to: i64,
}

/// What is proven of the blocks up to a chain's head, from there down: at most `most` ranges, of which
/// neighbours have different levels.
pub async fn ranges(db: &Db, chain: u64, most: usize) -> Result<Vec<LevelView>> {
    Ok(sqlx::query_as!(
        LevelView,
        r#"WITH told AS (
               SELECT from_block, least(to_block, head_number) AS to_block, level
                 FROM chain.v_ranges JOIN chain.v_chains USING (chain_id)
                WHERE chain_id = $1 AND from_block <= head_number),
           begins AS (
               SELECT *, level IS DISTINCT FROM lag(level) OVER low_to_high
                         OR from_block <> lag(to_block) OVER low_to_high + 1 AS new
                 FROM told WINDOW low_to_high AS (ORDER BY from_block)),
           numbered AS (
               SELECT *, count(*) FILTER (WHERE new) OVER (ORDER BY from_block) AS range FROM begins)
           SELECT level AS "level!", sum(to_block - from_block + 1)::bigint AS "blocks!",
                  min(from_block) AS "from!", max(to_block) AS "to!"
             FROM numbered GROUP BY range, level ORDER BY 3 DESC LIMIT $2"#,
        chain.cast_signed(),
        i64::try_from(most).unwrap_or(i64::MAX),
    )
    .fetch_all(db.pool())
    .await?)
}

/// The first block to index of a chain that is kept here.
pub async fn start(db: &Db, chain: u64) -> Result<Option<i64>> {
    let start = sqlx::query_scalar!(
        "SELECT start_block FROM chain.chains WHERE chain_id = $1",
        chain.cast_signed()
    );
    Ok(start.fetch_optional(db.pool()).await?)
}

/// All chains that are kept here.
pub async fn chains(db: &Db) -> Result<Vec<ChainView>> {
    let rows = sqlx::query!(
        r#"SELECT chain_id, name, origin, head_number, head_time, settled_number, start_block,
                  ground_number, finalized_number, scope = 'watched' AS "watched!",
                  (SELECT count(*) FROM chain.incidents i WHERE i.chain_id = c.chain_id) AS "incidents!",
                  (SELECT count(*) FROM chain.watched_owners o WHERE o.chain_id = c.chain_id) AS "owners!",
                  (SELECT count(*) FROM chain.watched_tokens t WHERE t.chain_id = c.chain_id) AS "tokens!",
                  (SELECT count(*) FROM chain.watched_tokens t
                    WHERE t.chain_id = c.chain_id AND NOT t.whole) AS "pending!",
                  (SELECT count(*) FROM chain.ranges low
                     JOIN chain.ranges high ON high.chain_id = low.chain_id
                                           AND high.from_block = low.to_block + 1
                    WHERE low.chain_id = c.chain_id AND high.from_block <= c.head_number
                      AND (low.top_hash = high.below_hash) IS NOT TRUE) AS "seams!"
             FROM chain.chains c ORDER BY chain_id"#
    )
    .fetch_all(db.pool())
    .await?;
    let seams: BTreeMap<i64, i64> = rows.iter().map(|row| (row.chain_id, row.seams)).collect();
    let levels = sqlx::query!(
        r#"SELECT chain_id AS "chain!", level AS "level!",
                  sum(least(to_block, head_number) - from_block + 1)::bigint AS "blocks!",
                  min(from_block) AS "from!", max(least(to_block, head_number)) AS "to!"
             FROM chain.v_ranges JOIN chain.v_chains USING (chain_id)
            WHERE from_block <= head_number
            GROUP BY chain_id, level
            ORDER BY array_position(ARRAY['reported', 'agreed', 'bloom', 'proven', 'finalized'], level)"#
    )
    .fetch_all(db.pool())
    .await?;
    let contracts =
        sqlx::query!("SELECT chain_id, address, kind FROM chain.contracts ORDER BY ordinal")
            .fetch_all(db.pool())
            .await?;
    let mut chains: Vec<ChainView> = rows
        .into_iter()
        .map(|row| ChainView {
            chain: row.chain_id,
            name: row.name,
            origin: row.origin,
            head: row.head_number,
            head_time: row.head_time,
            settled: row.settled_number,
            start_block: row.start_block,
            ground: row.ground_number,
            finalized: row.finalized_number,
            levels: Vec::new(),
            checked: 0,
            complete: false,
            incidents: row.incidents,
            contracts: ["identity", "status"]
                .map(|kind| (kind.to_owned(), Vec::new()))
                .into(),
            watched: row.watched.then_some(WatchedView {
                owners: row.owners,
                tokens: row.tokens,
                pending: row.pending,
            }),
        })
        .collect();
    for row in levels {
        let level = LevelView {
            level: row.level,
            blocks: row.blocks,
            from: row.from,
            to: row.to,
        };
        if let Some(chain) = chains.iter_mut().find(|chain| chain.chain == row.chain) {
            chain.levels.push(level);
        }
    }
    for chain in &mut chains {
        let checked = chain
            .levels
            .iter()
            .filter(|level| level.level != "reported");
        chain.checked = checked.map(|level| level.blocks).sum();
        let pending = chain.watched.map_or(0, |watched| watched.pending);
        let linked = seams.get(&chain.chain) == Some(&0);
        let all = chain.head - chain.start_block + 1;
        chain.complete = all > 0 && chain.checked == all && linked && pending == 0;
    }
    for row in contracts {
        let of_chain = chains.iter_mut().find(|chain| chain.chain == row.chain_id);
        let address = Address::try_from(row.address.as_slice());
        if let (Some(chain), Ok(address)) = (of_chain, address) {
            chain
                .contracts
                .entry(row.kind)
                .or_default()
                .push(address.to_string());
        }
    }
    Ok(chains)
}
