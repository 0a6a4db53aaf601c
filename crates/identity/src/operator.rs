//! Who may act for all tokens of an owner: `ApprovalForAll`, which speaks of no token.

use chain::OperatorSet;
use store::Tx;

use crate::Result;

/// Where a log stands: block number and log index.
pub type Position = (i64, i32);

/// Keeps what logs of a chain said about operators.
pub async fn record(tx: &mut Tx, chain: u64, said: &[(Position, OperatorSet)]) -> Result<()> {
    if said.is_empty() {
        return Ok(());
    }
    let blocks: Vec<i64> = said.iter().map(|((block, _), _)| *block).collect();
    let logs: Vec<i32> = said.iter().map(|((_, log), _)| *log).collect();
    let bytes = |of: fn(&OperatorSet) -> Vec<u8>| said.iter().map(|(_, set)| of(set)).collect();
    let registries: Vec<Vec<u8>> = bytes(|set| set.registry.to_vec());
    let owners: Vec<Vec<u8>> = bytes(|set| set.owner.to_vec());
    let operators: Vec<Vec<u8>> = bytes(|set| set.operator.to_vec());
    let approved: Vec<bool> = said.iter().map(|(_, set)| set.approved).collect();
    sqlx::query!(
        "INSERT INTO identity.operators
                (chain_id, block_number, log_index, registry, owner, operator, approved)
         SELECT $1, * FROM unnest($2::bigint[], $3::int[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bool[])
         ON CONFLICT DO NOTHING",
        chain.cast_signed(),
        &blocks,
        &logs,
        &registries,
        &owners,
        &operators,
        &approved,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets what blocks above `to` said.
pub async fn rewind(tx: &mut Tx, chain: u64, to: i64) -> Result<()> {
    sqlx::query!(
        "DELETE FROM identity.operators WHERE chain_id = $1 AND block_number > $2",
        chain.cast_signed(),
        to
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets what some blocks said: they are read again.
pub async fn forget_blocks(tx: &mut Tx, chain: u64, blocks: &[i64]) -> Result<()> {
    sqlx::query!(
        "DELETE FROM identity.operators WHERE chain_id = $1 AND block_number = ANY($2)",
        chain.cast_signed(),
        blocks
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
