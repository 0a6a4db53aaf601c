//! What waits for the next seal.

use store::Db;

use crate::error::Result;

/// How many entries are appended and not sealed yet. Only what is near or behind the newest leaf is
/// looked at: entries are sealed nearly in the order of their sequence numbers.
pub async fn queued(db: &Db) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"SELECT count(*) AS "queued!" FROM journal.entries e
            WHERE e.seq > coalesce((SELECT entry_seq FROM journal.leaves
                                     ORDER BY leaf_index DESC LIMIT 1), 0) - 10000
              AND NOT EXISTS (SELECT FROM journal.leaves l WHERE l.entry_seq = e.seq)"#
    )
    .fetch_one(db.pool())
    .await?)
}
