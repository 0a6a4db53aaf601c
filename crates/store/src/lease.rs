//! Leadership by a row with a fencing token, because session locks do not survive PgBouncer.

use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::{Db, Error, Result, Tx};

/// Proof that its holder leads until somebody takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    name: String,
    holder: Uuid,
    /// Rises with each new holder.
    token: i64,
}

/// Clocks of processes that share a database do not differ by so much.
const SKEW: TimeDelta = TimeDelta::minutes(5);

/// Takes or renews the lease `name` for `ttl`. `None` where another holder has it. One that ends later than any
/// honest clock could say is over: its holder's clock ran ahead, or ours was set back.
pub async fn acquire(db: &Db, name: &str, holder: Uuid, ttl: Duration) -> Result<Option<Lease>> {
    let now = db.clock().now();
    let ttl = TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX);
    let until = now + ttl;
    let token = sqlx::query_scalar!(
        "INSERT INTO store.leases AS l (name, holder, token, until) VALUES ($1, $2, 1, $4)
         ON CONFLICT (name) DO UPDATE
            SET holder = $2, until = $4, token = l.token + (l.holder <> $2)::int
          WHERE l.holder = $2 OR l.until < $3 OR l.until > $5
         RETURNING token",
        name,
        holder,
        now,
        until,
        until + SKEW,
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(token.map(|token| Lease {
        name: name.to_owned(),
        holder,
        token,
    }))
}

/// The same for who asks often: what has more than half of `ttl` left is not written anew.
pub async fn keep(db: &Db, name: &str, holder: Uuid, ttl: Duration) -> Result<Option<Lease>> {
    let now = db.clock().now();
    let length = TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX);
    let token = sqlx::query_scalar!(
        "SELECT token FROM store.leases WHERE name = $1 AND holder = $2 AND until > $3 AND until <= $4",
        name,
        holder,
        now + length / 2,
        now + length,
    )
    .fetch_optional(db.pool())
    .await?;
    match token {
        Some(token) => Ok(Some(Lease {
            name: name.to_owned(),
            holder,
            token,
        })),
        None => acquire(db, name, holder, ttl).await,
    }
}

/// Gives the lease back, so that the next holder need not wait. Somebody else's stays.
pub async fn release(db: &Db, lease: &Lease) -> Result<()> {
    sqlx::query!(
        "UPDATE store.leases SET until = '-infinity' WHERE name = $1 AND holder = $2 AND token = $3",
        lease.name,
        lease.holder,
        lease.token,
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Gives back all leases of a holder that ends.
pub async fn resign(db: &Db, holder: Uuid) -> Result<()> {
    sqlx::query!(
        "UPDATE store.leases SET until = '-infinity' WHERE holder = $1",
        holder,
    )
    .execute(db.pool())
    .await?;
    Ok(())
}

impl Lease {
    /// Locks the lease inside the transaction that it guards and errors with [`Error::Moved`] where
    /// another holder took it: what a former leader still writes is rolled back.
    pub async fn fence(&self, tx: &mut Tx) -> Result<()> {
        let token = sqlx::query_scalar!(
            "SELECT token FROM store.leases WHERE name = $1 FOR SHARE",
            self.name
        )
        .fetch_optional(tx.conn())
        .await?;
        if token == Some(self.token) {
            return Ok(());
        }
        Err(Error::Moved {
            what: format!("lease {}", self.name),
            expected: self.token.to_string(),
            found: token.map_or_else(|| "nothing".to_owned(), |token| token.to_string()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, Clock};

    #[sqlx::test(migrations = "../../migrations")]
    async fn a_second_holder_waits_and_then_fences_the_first(
        pool: sqlx::PgPool,
    ) -> anyhow::Result<()> {
        let clock = Clock::manual(chrono::DateTime::UNIX_EPOCH);
        let db = Db::from_pool(pool, clock.clone());
        let (one, two, ttl) = (
            Uuid::from_u128(1),
            Uuid::from_u128(2),
            Duration::from_secs(10),
        );
        let first = acquire(&db, "l", one, ttl).await?.expect("free");
        assert_eq!(acquire(&db, "l", two, ttl).await?, None);
        assert_eq!(
            acquire(&db, "l", one, ttl).await?,
            Some(first.clone()),
            "renewed, same token"
        );
        clock.advance(TimeDelta::seconds(11));
        let second = acquire(&db, "l", two, ttl).await?.expect("expired");
        let mut tx = db.begin(Cause::Job("test")).await?;
        assert!(matches!(
            first.fence(&mut tx).await,
            Err(Error::Moved { .. })
        ));
        second.fence(&mut tx).await?;
        drop(tx);
        release(&db, &second).await?;
        assert!(
            acquire(&db, "l", one, ttl).await?.is_some(),
            "released at once"
        );
        acquire(&db, "m", one, ttl).await?.expect("free");
        acquire(&db, "n", two, ttl).await?.expect("free");
        resign(&db, one).await?;
        for (name, holder) in [("l", two), ("m", two)] {
            assert!(acquire(&db, name, holder, ttl).await?.is_some(), "{name}");
        }
        assert_eq!(acquire(&db, "n", one, ttl).await?, None, "another's");
        Ok(())
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn a_lease_that_is_kept_is_written_when_half_of_it_is_over(
        pool: sqlx::PgPool,
    ) -> anyhow::Result<()> {
        let clock = Clock::manual(chrono::DateTime::UNIX_EPOCH);
        let db = Db::from_pool(pool, clock.clone());
        let (one, two, ttl) = (
            Uuid::from_u128(1),
            Uuid::from_u128(2),
            Duration::from_mins(1),
        );
        let until = async || -> anyhow::Result<i64> {
            let until = sqlx::query_scalar!("SELECT until FROM store.leases WHERE name = 'l'");
            Ok(until.fetch_one(db.pool()).await?.timestamp())
        };
        let first = keep(&db, "l", one, ttl).await?.expect("free");
        for (seconds, ends) in [(0, 60), (20, 60), (40, 100), (60, 100), (90, 150)] {
            let now = clock.now().timestamp();
            clock.advance(TimeDelta::seconds(seconds - now));
            assert_eq!(keep(&db, "l", one, ttl).await?.as_ref(), Some(&first));
            assert_eq!(keep(&db, "l", two, ttl).await?, None);
            assert_eq!(until().await?, ends, "at {seconds}");
        }
        clock.advance(TimeDelta::seconds(61));
        let second = keep(&db, "l", two, ttl).await?.expect("over");
        assert_ne!(second.token, first.token);
        assert_eq!(keep(&db, "l", one, ttl).await?, None);
        Ok(())
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn a_lease_from_a_clock_that_ran_ahead_holds_nobody_up(
        pool: sqlx::PgPool,
    ) -> anyhow::Result<()> {
        let clock = Clock::manual(chrono::DateTime::UNIX_EPOCH);
        let db = Db::from_pool(pool, clock.clone());
        let (one, two, ttl) = (
            Uuid::from_u128(1),
            Uuid::from_u128(2),
            Duration::from_secs(10),
        );
        let first = acquire(&db, "l", one, ttl).await?.expect("free");
        clock.advance(TimeDelta::minutes(-1));
        assert_eq!(acquire(&db, "l", two, ttl).await?, None, "a small skew");
        clock.advance(TimeDelta::hours(-1));
        let second = acquire(&db, "l", two, ttl).await?.expect("it is absurd");
        let mut tx = db.begin(Cause::Job("test")).await?;
        second.fence(&mut tx).await?;
        assert!(first.fence(&mut tx).await.is_err());
        Ok(())
    }
}
