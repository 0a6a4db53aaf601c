//! What was signed once counts once, at whichever process it arrives: its nonce is put down before it does anything.

use chrono::{DateTime, TimeDelta, Utc};
use store::{Cause, Db, Tx};

use crate::{Error, Result};

/// Beyond its end a nonce is kept for so long: processes' clocks differ.
const KEPT: TimeDelta = TimeDelta::minutes(5);

/// Puts down that `signer` used `nonce`. Errors with [`Error::Unproven`] where he had.
pub async fn put(db: &Db, signer: &str, nonce: &str, expires_at: DateTime<Utc>) -> Result<()> {
    let mut tx = db.begin(Cause::Job("nonce")).await?;
    let put = sqlx::query!(
        "INSERT INTO access.nonces (signer, nonce, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        signer,
        nonce,
        expires_at,
    )
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    if put.rows_affected() == 1 {
        return Ok(());
    }
    let why = "this was sent already: sign each request anew, with another nonce";
    Err(Error::Unproven(why.to_owned()))
}

/// Forgets those that nobody would believe any more.
pub async fn expire(tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "DELETE FROM access.nonces WHERE expires_at < $1",
        now - KEPT
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use store::Clock;

    use super::*;

    #[sqlx::test(migrations = "../../migrations")]
    async fn of_many_at_once_one_gets_through(pool: sqlx::PgPool) -> anyhow::Result<()> {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let db = Db::from_pool(pool, clock.clone());
        let end = clock.now() + TimeDelta::seconds(300);
        let tries = (0..8).map(|_| {
            let db = db.clone();
            tokio::spawn(async move { put(&db, "did:key:a", "nonce", end).await })
        });
        let mut through = 0;
        for one in tries.collect::<Vec<_>>() {
            match one.await? {
                Ok(()) => through += 1,
                Err(error) => assert!(error.is_unproven(), "{error}"),
            }
        }
        assert_eq!(through, 1);
        put(&db, "did:key:b", "nonce", end).await?;
        put(&db, "did:key:a", "other", end).await?;
        let count = async || {
            let count = sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM access.nonces"#);
            count.fetch_one(db.pool()).await
        };
        for (seconds, left) in [(300 + 299, 3), (2, 0)] {
            clock.advance(TimeDelta::seconds(seconds));
            let mut tx = db.begin(Cause::Job("test")).await?;
            expire(&mut tx).await?;
            tx.commit().await?;
            assert_eq!(count().await?, left);
        }
        Ok(())
    }
}
