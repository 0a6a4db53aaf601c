//! Ground, read again as it was stored.

use chain::{Block, Log};
use chrono::{DateTime, Utc};
use kernel::{Address, B256, Bytes};
use store::{Db, Tx};
use uuid::Uuid;

use crate::Result;

/// Logs of one agent that are read at most, the newest: some agents have many thousands.
const SUBJECT_LOGS: i64 = 5_000;

/// Stored ground, read again.
pub struct Stored {
    /// Blocks that hold the logs, ascending.
    pub blocks: Vec<Block>,
    /// Logs in chain order.
    pub logs: Vec<Log>,
    /// The last block, where more was stored than asked for.
    pub end: Option<Block>,
}

/// A log with its block.
struct Row {
    block_number: i64,
    log_index: i32,
    tx_index: i32,
    tx_hash: Vec<u8>,
    address: Vec<u8>,
    topic0: Option<Vec<u8>>,
    topic1: Option<Vec<u8>>,
    topic2: Option<Vec<u8>>,
    topic3: Option<Vec<u8>>,
    data: Vec<u8>,
    hash: Vec<u8>,
    time: DateTime<Utc>,
}

impl Row {
    fn log(self, chain: u64) -> Log {
        let topics = [self.topic0, self.topic1, self.topic2, self.topic3];
        Log {
            chain,
            block_number: self.block_number.unsigned_abs(),
            block_hash: hash(&self.hash),
            block_time: Some(self.time.timestamp()),
            tx_hash: hash(&self.tx_hash),
            tx_index: self.tx_index.unsigned_abs(),
            log_index: self.log_index.unsigned_abs(),
            address: Address::try_from(self.address.as_slice()).unwrap_or_default(),
            topics: topics.iter().flatten().map(|topic| hash(topic)).collect(),
            data: Bytes::from(self.data),
        }
    }
}

fn hash(bytes: &[u8]) -> B256 {
    B256::try_from(bytes).unwrap_or_default()
}

/// Logs above one block and up to another, whole blocks, about `most` of them at a time.
pub async fn read(db: &Db, chain: u64, above: i64, up_to: i64, most: i64) -> Result<Stored> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT l.block_number, l.log_index, l.tx_index, l.tx_hash, l.address,
                l.topic0, l.topic1, l.topic2, l.topic3, l.data, b.hash, b.time
           FROM chain.logs l
           JOIN chain.blocks b ON b.chain_id = l.chain_id AND b.number = l.block_number
          WHERE l.chain_id = $1 AND l.block_number > $2 AND l.block_number <= least($3,
                (SELECT block_number FROM chain.logs
                  WHERE chain_id = $1 AND block_number > $2
                  ORDER BY block_number, log_index OFFSET $4 LIMIT 1))
          ORDER BY l.block_number, l.log_index",
        chain.cast_signed(),
        above,
        up_to,
        most,
    )
    .fetch_all(db.pool())
    .await?;
    let logs: Vec<Log> = rows.into_iter().map(|row| row.log(chain)).collect();
    let mut blocks: Vec<Block> = Vec::new();
    for log in &logs {
        if blocks
            .last()
            .is_none_or(|last| last.number != log.block_number)
        {
            blocks.push(Block {
                number: log.block_number,
                hash: log.block_hash,
                parent: None,
                time: log.block_time,
            });
        }
    }
    let whole = i64::try_from(logs.len()).unwrap_or(i64::MAX) <= most;
    let end = blocks.last().filter(|_| !whole).cloned();
    Ok(Stored { blocks, logs, end })
}

/// All logs of a range of blocks, both ends included, in chain order.
pub async fn read_range(tx: &mut Tx, chain: u64, from: i64, to: i64) -> Result<Vec<Log>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT l.block_number, l.log_index, l.tx_index, l.tx_hash, l.address,
                l.topic0, l.topic1, l.topic2, l.topic3, l.data, b.hash, b.time
           FROM chain.logs l
           JOIN chain.blocks b ON b.chain_id = l.chain_id AND b.number = l.block_number
          WHERE l.chain_id = $1 AND l.block_number BETWEEN $2 AND $3
          ORDER BY l.block_number, l.log_index",
        chain.cast_signed(),
        from,
        to,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| row.log(chain)).collect())
}

/// The last logs that speak of an agent, in chain order.
pub async fn of_subject(tx: &mut Tx, chain: u64, agent: Uuid) -> Result<Vec<Log>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT l.block_number, l.log_index, l.tx_index, l.tx_hash, l.address,
                l.topic0, l.topic1, l.topic2, l.topic3, l.data, b.hash, b.time
           FROM chain.logs l
           JOIN chain.blocks b ON b.chain_id = l.chain_id AND b.number = l.block_number
          WHERE l.chain_id = $1 AND l.subject = $2
          ORDER BY l.block_number DESC, l.log_index DESC LIMIT $3",
        chain.cast_signed(),
        agent,
        SUBJECT_LOGS,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().rev().map(|row| row.log(chain)).collect())
}

/// What is kept of a block for proofs: JSON as its provider gave it.
pub struct Kept {
    /// The header.
    pub header: String,
    /// The receipts, as `eth_getBlockReceipts` tells them.
    pub receipts: String,
}

/// Header and receipts of a block, where they were kept (`indexer.keep_receipts`).
pub async fn kept_block(db: &Db, chain: u64, number: i64) -> Result<Option<Kept>> {
    Ok(sqlx::query_as!(
        Kept,
        r#"SELECT header::text AS "header!", receipts::text AS "receipts!" FROM chain.receipts
            WHERE chain_id = $1 AND block_number = $2"#,
        chain.cast_signed(),
        number,
    )
    .fetch_optional(db.pool())
    .await?)
}

/// The stored hash of a block, where a step ended or a log lies in it.
pub async fn tip(db: &Db, chain: u64, number: i64) -> Result<Option<B256>> {
    let found = sqlx::query_scalar!(
        r#"SELECT hash AS "hash!" FROM chain.tips WHERE chain_id = $1 AND number = $2
            UNION SELECT hash FROM chain.blocks WHERE chain_id = $1 AND number = $2"#,
        chain.cast_signed(),
        number,
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(found.as_deref().map(hash))
}
