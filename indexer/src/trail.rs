//! Known blocks below a cursor, newest first: where a fork is looked for.

use kernel::B256;
use store::Db;

use crate::Result;

/// Blocks of one page.
const PAGE: i64 = 256;

/// The known blocks of a chain, read from the database as far as they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Trail<'a> {
    db: &'a Db,
    chain: u64,
}

impl<'a> Trail<'a> {
    /// The trail of a chain that was opened.
    pub fn new(db: &'a Db, chain: u64) -> Self {
        Self { db, chain }
    }

    /// Known blocks at or below `number`, newest first; the chain's anchor ends the last page.
    pub async fn below(&self, number: i64) -> Result<Vec<(i64, B256)>> {
        let rows = sqlx::query!(
            r#"SELECT number AS "number!", hash AS "hash!"
                 FROM (SELECT number, hash FROM chain.tips WHERE chain_id = $1 AND number <= $2
                       UNION
                       SELECT number, hash FROM chain.blocks WHERE chain_id = $1 AND number <= $2
                       UNION
                       SELECT anchor_number, anchor_hash FROM chain.chains
                        WHERE chain_id = $1 AND anchor_number <= $2) known
                ORDER BY number DESC LIMIT $3"#,
            self.chain.cast_signed(),
            number,
            PAGE,
        )
        .fetch_all(self.db.pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let hash = B256::try_from(row.hash.as_slice()).unwrap_or_default();
                (row.number, hash)
            })
            .collect())
    }
}
