//! A token that enters the scope is fetched whole: what it did up to the end of ground is put there, and its
//! agent is folded. Nobody told anything wrongly, so this is no incident.

use std::collections::{BTreeMap, BTreeSet};

use chain::Registries;
use identity::{Feed, Mode};
use kernel::{AgentId, B256};
use store::Tx;

use super::{put_owners, put_tokens};
use crate::{
    Error, Result,
    apply::{Applied, tell_malformed},
    chain_row, ground,
    range::{self, Range},
    sorted::Sorted,
    source::{Cursor, Enter, Proof},
};

/// Puts owners and tokens into the scope, with the past of the tokens, and nothing else: the cursor stays. What was
/// proven of the blocks was not proven of these tokens' logs, so it is to be proven again.
pub async fn enter(
    tx: &mut Tx,
    chain: u64,
    contracts: &Registries,
    cursor: Cursor,
    enter: Enter,
) -> Result<Applied> {
    let standing = chain_row::lock(tx, chain, cursor.number).await?;
    standing.check_level(chain)?;
    put_owners(tx, chain, &enter.owners).await?;
    put_tokens(tx, chain, enter.tokens.iter().copied(), true).await?;
    let Enter {
        mut blocks,
        mut logs,
        mut tellers,
        ..
    } = enter;
    let known = known_blocks(tx, chain, &blocks).await?;
    let is_ours = |block: &chain::Block| match known.get(&block.number.cast_signed()) {
        Some((hash, _)) => *hash == block.hash,
        None => block.number.cast_signed() <= standing.settled,
    };
    if !blocks.iter().all(is_ours) {
        // Read on another branch than the one that is stored.
        let number = |block: Option<&chain::Block>| block.map_or(0, |block| block.number);
        return Err(Error::Moved {
            chain,
            from: number(blocks.first()),
            to: number(blocks.last()),
        });
    }
    blocks.retain(|block| {
        let known = known.get(&block.number.cast_signed());
        known.is_none_or(|(_, stored)| !stored)
    });
    let stored = known_logs(tx, chain, &logs).await?;
    logs.retain(|log| !stored.contains(&log.position()));
    let sorted = Sorted::new(logs, contracts);
    ground::put_blocks(tx, chain, &blocks).await?;
    ground::put_logs(tx, chain, &sorted.logs).await?;
    identity::operator::record(tx, chain, &sorted.operators).await?;
    tell_malformed(tx, chain, &sorted, &sorted.unread()).await?;
    let start = chain_row::start(tx, chain).await?;
    if start <= cursor.number {
        // What is there already was told before.
        let before = range::tellers(tx, chain, start, cursor.number).await?;
        tellers.extend(before.into_iter().flat_map(|(_, _, before)| before));
        let told = Range {
            from: start,
            to: cursor.number,
            proof: Proof::REPORTED,
            tellers,
        };
        range::put(tx, chain, told).await?;
    }
    identity::subject::put(tx, &sorted.tokens).await?;
    let agents: Vec<AgentId> = sorted.tokens.iter().map(|(agent, _)| *agent).collect();
    identity::project(tx, &agents, Mode::Refold, Feed::Told).await?;
    tracing::info!(
        chain,
        tokens = enter.tokens.len(),
        logs = sorted.logs.len(),
        "chain {chain}: {} tokens are watched from now on, {} logs of their past were read",
        enter.tokens.len(),
        sorted.logs.len()
    );
    Ok(Applied {
        cursor,
        logs: sorted.logs.len(),
        agents: agents.len(),
        rewound: 0,
    })
}

/// The hashes of those of some blocks that are known, and whether they hold logs already.
async fn known_blocks(
    tx: &mut Tx,
    chain: u64,
    blocks: &[chain::Block],
) -> Result<BTreeMap<i64, (B256, bool)>> {
    let numbers: Vec<i64> = blocks
        .iter()
        .map(|block| block.number.cast_signed())
        .collect();
    let rows = sqlx::query!(
        r#"SELECT number AS "number!", hash AS "hash!", bool_or(stored) AS "stored!"
             FROM (SELECT number, hash, true AS stored FROM chain.blocks
                    WHERE chain_id = $1 AND number = ANY($2)
                   UNION ALL
                   SELECT number, hash, false FROM chain.tips
                    WHERE chain_id = $1 AND number = ANY($2)) known
            GROUP BY number, hash"#,
        chain.cast_signed(),
        &numbers,
    )
    .fetch_all(tx.conn())
    .await?;
    let hash = |bytes: &[u8]| B256::try_from(bytes).unwrap_or_default();
    Ok(rows
        .into_iter()
        .map(|row| (row.number, (hash(&row.hash), row.stored)))
        .collect())
}

/// Places of logs at which something is stored already.
async fn known_logs(tx: &mut Tx, chain: u64, logs: &[chain::Log]) -> Result<BTreeSet<(u64, u32)>> {
    let blocks: Vec<i64> = logs
        .iter()
        .map(|log| log.block_number.cast_signed())
        .collect();
    let rows = sqlx::query!(
        "SELECT block_number, log_index FROM chain.logs
          WHERE chain_id = $1 AND block_number = ANY($2)",
        chain.cast_signed(),
        &blocks,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            (
                row.block_number.unsigned_abs(),
                row.log_index.unsigned_abs(),
            )
        })
        .collect())
}
