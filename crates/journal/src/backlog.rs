//! What waits for the next seal.

use std::{sync::Arc, time::Duration};

use store::Db;
use tokio::{sync::Mutex, time::Instant};

use crate::error::{Error, Result};

/// For so long after a look that found room nobody looks again: what is appended meanwhile is little.
const HOLDS: Duration = Duration::from_millis(100);

/// Whether there is room, asked of the database once for all who come at the same time.
#[derive(Debug, Default)]
pub struct Room {
    asked: Mutex<Option<(Instant, Found)>>,
}

/// What a look found; a failure is everybody's who waited for it.
type Found = std::result::Result<(), Arc<Error>>;

impl Room {
    /// As [`room`].
    pub async fn check(&self, db: &Db, most: u64) -> Found {
        let came = Instant::now();
        let mut asked = self.asked.lock().await;
        if let Some((at, found)) = &*asked
            && (*at >= came || (found.is_ok() && at.elapsed() < HOLDS))
        {
            return found.clone();
        }
        let found = room(db, most).await.map_err(Arc::new);
        *asked = Some((Instant::now(), found.clone()));
        found
    }
}

/// Errors with [`Error::Full`] (kind `Limited`) where more than `most` entries wait for their seal: who appends is to
/// wait, too.
pub async fn room(db: &Db, most: u64) -> Result<()> {
    let waiting = queued(db).await?.cast_unsigned();
    if waiting > most {
        return Err(Error::Full { waiting, most });
    }
    Ok(())
}

/// How many entries are appended and not sealed yet: the numbers above the highest that is sealed, which is quick
/// however many they are. Numbers of what was rolled back are among them, and what was committed late, with lower
/// ones, is not.
pub async fn queued(db: &Db) -> Result<i64> {
    let waiting = sqlx::query_scalar!(
        r#"SELECT coalesce((SELECT seq FROM journal.entries ORDER BY seq DESC LIMIT 1), 0)
                - coalesce((SELECT max(entry_seq) FROM journal.leaves), 0) AS "waiting!""#
    )
    .fetch_one(db.pool())
    .await?;
    // Between the two looks the sealer may have gone on.
    Ok(waiting.max(0))
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
        assert_eq!(queued(&db).await?, 4);
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
        assert_eq!(queued(&db).await?, 0);
        Ok(())
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn that_there_was_no_room_is_said_to_nobody_who_comes_later(pool: PgPool) {
        let db = db(pool);
        let room = Room::default();
        say(&db, 0..4, "a").await;
        let full = room.check(&db, 3).await.expect_err("four wait");
        assert!(matches!(*full, Error::Full { waiting: 4, .. }), "{full}");
        room.check(&db, 4).await.expect("who comes later asks anew");
    }
}
