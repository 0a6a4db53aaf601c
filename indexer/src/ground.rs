//! Ground: blocks, logs, tips, ranges and receipts, written set-based and deleted above a fork. Blocks and logs
//! go in by COPY: a backfill stores hundreds of thousands.

mod stored;

use chain::{Block, Log};
use chrono::{DateTime, Utc};
use kernel::{AgentId, B256, Token};
use store::{Tx, copy::Rows};
use uuid::Uuid;

pub use self::stored::{Kept, kept_block, of_subject, read, read_range, tip};
use crate::{Result, range, source::BlockReceipts};

/// Ends of steps that are remembered to look for a fork.
const TIPS: i64 = 512;

/// Stores blocks; one without a time gets that of this transaction.
pub async fn put_blocks(tx: &mut Tx, chain: u64, blocks: &[Block]) -> Result<()> {
    let now = tx.now();
    let mut rows = Rows::new(4);
    for block in blocks {
        rows.row()
            .bigint(chain.cast_signed())
            .bigint(block.number.cast_signed())
            .bytea(block.hash.as_slice())
            .time(time(block).unwrap_or(now));
    }
    rows.copy(
        tx,
        "COPY chain.blocks (chain_id, number, hash, time) FROM STDIN (FORMAT binary)",
    )
    .await?;
    Ok(())
}

/// The block's time, where its source tells it.
pub fn time(block: &Block) -> Option<DateTime<Utc>> {
    block
        .time
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
}

/// Stores logs, each with the agent that it speaks of.
pub async fn put_logs(
    tx: &mut Tx,
    chain: u64,
    logs: &[(Log, Option<(AgentId, Token)>)],
) -> Result<()> {
    let mut rows = Rows::new(12);
    for (log, named) in logs {
        rows.row()
            .bigint(chain.cast_signed())
            .bigint(log.block_number.cast_signed())
            .integer(log.log_index.cast_signed())
            .integer(log.tx_index.cast_signed())
            .bytea(log.tx_hash.as_slice())
            .bytea(log.address.as_slice());
        for topic in 0..4 {
            rows.maybe(log.topics.get(topic).map(B256::as_slice), Rows::bytea);
        }
        rows.bytea(&log.data)
            .maybe(named.map(|(agent, _)| agent.0), Rows::uuid);
    }
    rows.copy(
        tx,
        "COPY chain.logs (chain_id, block_number, log_index, tx_index, tx_hash, address,
                          topic0, topic1, topic2, topic3, data, subject)
         FROM STDIN (FORMAT binary)",
    )
    .await?;
    Ok(())
}

/// Remembers blocks where a fork may be found. Old ones below what is settled are forgotten.
pub async fn put_tips(tx: &mut Tx, chain: u64, tips: &[(u64, B256)], settled: i64) -> Result<()> {
    let numbers: Vec<i64> = tips
        .iter()
        .map(|(number, _)| number.cast_signed())
        .collect();
    let hashes: Vec<&[u8]> = tips.iter().map(|(_, hash)| hash.as_slice()).collect();
    sqlx::query!(
        "INSERT INTO chain.tips (chain_id, number, hash)
         SELECT DISTINCT ON (number) $1::bigint, number, hash
           FROM unnest($2::bigint[], $3::bytea[]) AS tips(number, hash)
         ON CONFLICT (chain_id, number) DO UPDATE SET hash = EXCLUDED.hash",
        chain.cast_signed(),
        &numbers,
        &hashes as &[&[u8]],
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "DELETE FROM chain.tips WHERE chain_id = $1 AND number < $3 AND number <=
            (SELECT number FROM chain.tips WHERE chain_id = $1 ORDER BY number DESC OFFSET $2 LIMIT 1)",
        chain.cast_signed(),
        TIPS,
        settled,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps what the provider says of blocks, for proofs.
pub async fn put_receipts(tx: &mut Tx, chain: u64, blocks: &[BlockReceipts]) -> Result<()> {
    if blocks.is_empty() {
        return Ok(());
    }
    let numbers = blocks.iter().map(|block| block.number.cast_signed());
    let numbers: Vec<i64> = numbers.collect();
    let hashes: Vec<&[u8]> = blocks.iter().map(|block| block.hash.as_slice()).collect();
    let headers: Vec<&str> = blocks.iter().map(|block| block.header.as_str()).collect();
    let receipts: Vec<&str> = blocks.iter().map(|block| block.receipts.as_str()).collect();
    sqlx::query!(
        "INSERT INTO chain.receipts (chain_id, block_number, block_hash, header, receipts)
         SELECT $1::bigint, number, hash, header::jsonb, receipts::jsonb
           FROM unnest($2::bigint[], $3::bytea[], $4::text[], $5::text[])
                AS kept(number, hash, header, receipts)
         ON CONFLICT DO NOTHING",
        chain.cast_signed(),
        &numbers,
        &hashes as &[&[u8]],
        &headers as &[&str],
        &receipts as &[&str],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Agents that logs of a range speak of.
pub async fn subjects(tx: &mut Tx, chain: u64, above: i64, up_to: i64) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT DISTINCT subject AS "subject!" FROM chain.logs
            WHERE chain_id = $1 AND block_number > $2 AND block_number <= $3 AND subject IS NOT NULL"#,
        chain.cast_signed(),
        above,
        up_to,
    )
    .fetch_all(tx.conn())
    .await?)
}

/// Deletes everything above a fork.
pub async fn rewind(tx: &mut Tx, chain: u64, to: i64) -> Result<()> {
    let id = chain.cast_signed();
    let common = sqlx::query_scalar!(
        r#"SELECT hash AS "hash!" FROM chain.tips WHERE chain_id = $1 AND number = $2
            UNION SELECT hash FROM chain.blocks WHERE chain_id = $1 AND number = $2"#,
        id,
        to
    )
    .fetch_optional(tx.conn())
    .await?;
    let top = common.and_then(|hash| B256::try_from(hash.as_slice()).ok());
    for statement in [
        sqlx::query!(
            "DELETE FROM chain.logs WHERE chain_id = $1 AND block_number > $2",
            id,
            to
        ),
        sqlx::query!(
            "DELETE FROM chain.blocks WHERE chain_id = $1 AND number > $2",
            id,
            to
        ),
        sqlx::query!(
            "DELETE FROM chain.tips WHERE chain_id = $1 AND number > $2",
            id,
            to
        ),
        sqlx::query!(
            "DELETE FROM chain.receipts WHERE chain_id = $1 AND block_number > $2",
            id,
            to
        ),
    ] {
        statement.execute(tx.conn()).await?;
    }
    range::cut_above(tx, chain, to, top).await
}

/// Forgets some blocks and their logs: they are stored anew.
pub async fn forget_blocks(tx: &mut Tx, chain: u64, blocks: &[i64]) -> Result<()> {
    let id = chain.cast_signed();
    for statement in [
        sqlx::query!(
            "DELETE FROM chain.logs WHERE chain_id = $1 AND block_number = ANY($2)",
            id,
            blocks
        ),
        sqlx::query!(
            "DELETE FROM chain.blocks WHERE chain_id = $1 AND number = ANY($2)",
            id,
            blocks
        ),
    ] {
        statement.execute(tx.conn()).await?;
    }
    Ok(())
}
