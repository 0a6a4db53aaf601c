//! What a transaction did to agents, as far as it is indexed.

use chrono::{DateTime, Utc};
use kernel::B256;
use store::Db;
use uuid::Uuid;

use crate::Result;

/// A log of the transaction that speaks of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention {
    /// The agent.
    pub agent: Uuid,
    /// The block.
    pub block: i64,
    /// Its time.
    pub time: DateTime<Utc>,
    /// What changes that the log caused name as their cause, or begin it with.
    pub cause: String,
}

/// The logs of a transaction that speak of agents, in their order. `block` is where it was mined, if
/// that is known: then only that block is looked at.
pub async fn mentions(db: &Db, chain: u64, tx: B256, block: Option<u64>) -> Result<Vec<Mention>> {
    let rows = sqlx::query!(
        r#"SELECT block_number AS "block!", block_hash AS "hash!", block_time AS "time!",
                  log_index AS "log!", subject AS "agent!"
             FROM chain.v_logs
            WHERE chain_id = $1 AND tx_hash = $2 AND subject IS NOT NULL
              AND ($3::bigint IS NULL OR block_number = $3)
            ORDER BY block_number, log_index LIMIT 1000"#,
        chain.cast_signed(),
        tx.as_slice(),
        block.map(u64::cast_signed),
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Mention {
            agent: row.agent,
            block: row.block,
            time: row.time,
            cause: format!("eip155:{chain}/0x{}/{}", hex::encode(&row.hash), row.log),
        })
        .collect())
}
