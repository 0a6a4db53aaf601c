//! How far a follower has come: one number per name, moved only from where it was believed to be.

use crate::{Db, Error, Result, Tx};

/// The position of `name`; 0 where it never moved.
pub async fn get(db: &Db, name: &str) -> Result<i64> {
    let row = sqlx::query_scalar!("SELECT position FROM store.cursors WHERE name = $1", name)
        .fetch_optional(db.pool())
        .await?;
    Ok(row.unwrap_or(0))
}

/// Moves `name` from `expected` to `position`, in the transaction of the work that it stands for.
///
/// Errors with [`Error::Moved`] where another process moved it meanwhile: the work was done twice
/// and must be given up.
pub async fn advance(tx: &mut Tx, name: &str, expected: i64, position: i64) -> Result<()> {
    let moved = sqlx::query!(
        "INSERT INTO store.cursors AS c (name, position) VALUES ($1, $3)
         ON CONFLICT (name) DO UPDATE SET position = $3 WHERE c.position = $2",
        name,
        expected,
        position,
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    if moved == 1 {
        return Ok(());
    }
    let found = sqlx::query_scalar!("SELECT position FROM store.cursors WHERE name = $1", name)
        .fetch_optional(tx.conn())
        .await?;
    Err(Error::Moved {
        what: format!("cursor {name}"),
        expected: expected.to_string(),
        found: found.map_or_else(|| "nothing".to_owned(), |position| position.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, Clock};

    #[sqlx::test(migrations = "../../migrations")]
    async fn a_cursor_moves_only_from_where_it_is(pool: sqlx::PgPool) -> anyhow::Result<()> {
        let db = Db::from_pool(pool, Clock::System);
        let mut tx = db.begin(Cause::Job("test")).await?;
        advance(&mut tx, "c", 0, 5).await?;
        advance(&mut tx, "c", 5, 7).await?;
        let stale = advance(&mut tx, "c", 5, 9).await;
        assert!(matches!(stale, Err(Error::Moved { .. })), "{stale:?}");
        tx.commit().await?;
        assert_eq!(get(&db, "c").await?, 7);
        Ok(())
    }
}
