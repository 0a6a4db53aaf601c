//! What waits for the next seal.

use store::Db;

use crate::error::{Error, Result};

/// Errors with [`Error::Full`] (kind `Limited`) where more than `most` entries wait for their seal: who appends is to
/// wait, too. Counted by the numbers above the highest that is sealed, which is quick; numbers of what was rolled back
/// are among them, and what was committed late, with lower ones, is not.
pub async fn room(db: &Db, most: u64) -> Result<()> {
    let waiting = sqlx::query_scalar!(
        r#"SELECT coalesce((SELECT seq FROM journal.entries ORDER BY seq DESC LIMIT 1), 0)
                - coalesce((SELECT max(entry_seq) FROM journal.leaves), 0) AS "waiting!""#
    )
    .fetch_one(db.pool())
    .await?;
    let waiting = u64::try_from(waiting).unwrap_or(0);
    if waiting > most {
        return Err(Error::Full { waiting, most });
    }
    Ok(())
}

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

#[cfg(test)]
mod tests {
    use sqlx::PgPool;

    use super::*;
    use crate::testing::{db, say, seal_all, sealer};

    #[sqlx::test(migrations = "../../migrations")]
    async fn who_appends_waits_until_what_waits_is_sealed(pool: PgPool) -> anyhow::Result<()> {
        let db = db(pool);
        room(&db, 0).await?;
        say(&db, 0..4, "a").await;
        room(&db, 4).await?;
        let full = room(&db, 3).await.expect_err("four wait");
        assert!(matches!(
            full,
            Error::Full {
                waiting: 4,
                most: 3
            }
        ));
        assert_eq!(full.kind(), kernel::Kind::Limited);
        assert_eq!(seal_all(&db, &sealer()).await, 4);
        room(&db, 0).await?;
        Ok(())
    }
}
