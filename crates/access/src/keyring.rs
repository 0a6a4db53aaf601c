//! The keys in force, in this process's memory: who asks with one costs the database nothing.
//!
//! Before a key is believed the ring is at most [`FRESH`] old: one question for one number, whoever is many. So every
//! process sees a key revoked within that time, whether another process or a person at psql did it; where the database
//! does not answer, no key is believed.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use chrono::{DateTime, TimeDelta, Utc};
use kernel::Principal;
use sqlx::types::Json;
use store::Db;
use tokio::sync::Mutex;

use crate::{Result, principal, secret};

/// For so long nobody asks again whether keys changed.
const FRESH: TimeDelta = TimeDelta::milliseconds(500);
/// The same for who has a key that is not known: it may have been made elsewhere just now.
const FRESH_FOR_STRANGERS: TimeDelta = TimeDelta::milliseconds(50);

/// What a key in force may do, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub key_id: Arc<str>,
    /// The first key of its line of rotation, by whose name all of them are counted.
    pub line: Arc<str>,
    /// Whose it is, in words.
    pub client_id: String,
    /// For whom it acts; a client that is nobody else is the first of its keys.
    pub principal: Principal,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// Requests in a minute.
    pub per_minute: u32,
    /// Requests in an hour.
    pub per_hour: u32,
    /// Whether the operator made it: whoever else makes keys makes them for himself, and at no cost.
    pub is_operators: bool,
}

impl Known {
    fn holds(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Keyring {
    ring: RwLock<Arc<Ring>>,
    /// One asks, the others wait for what he hears.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct Ring {
    revision: Option<i64>,
    read_at: DateTime<Utc>,
    keys: Arc<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    by_digest: HashMap<String, Arc<Known>>,
    by_id: HashMap<Arc<str>, Arc<Known>>,
}

impl Ring {
    fn is_fresh(&self, now: DateTime<Utc>, for_so_long: TimeDelta) -> bool {
        let age = now - self.read_at;
        // A clock that was set back says nothing about the age.
        self.revision.is_some() && age >= TimeDelta::zero() && age < for_so_long
    }
}

impl Keyring {
    /// The key that was presented, if it is in force. Errors where the database does not say.
    pub async fn find(&self, db: &Db, presented: &str) -> Result<Option<Arc<Known>>> {
        let Some(digest) = secret::digest(presented) else {
            return Ok(None);
        };
        let mut ring = self.read(db, FRESH).await?;
        if !ring.keys.by_digest.contains_key(&digest) {
            ring = self.read(db, FRESH_FOR_STRANGERS).await?;
        }
        let now = db.clock().now();
        let known = ring.keys.by_digest.get(&digest).cloned();
        Ok(known.filter(|known| known.holds(now)))
    }

    /// Whether a key that was believed once is still in force. Errors where the database does not say.
    pub async fn holds(&self, db: &Db, key_id: &str) -> Result<bool> {
        let ring = self.read(db, FRESH).await?;
        let now = db.clock().now();
        let known = ring.keys.by_id.get(key_id);
        Ok(known.is_some_and(|known| known.holds(now)))
    }

    /// Has the next who asks look again: keys were changed here.
    pub fn look_again(&self) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        *ring = Arc::new(Ring {
            revision: ring.revision,
            read_at: DateTime::UNIX_EPOCH,
            keys: Arc::clone(&ring.keys),
        });
    }

    async fn read(&self, db: &Db, for_so_long: TimeDelta) -> Result<Arc<Ring>> {
        let ring = self.held();
        if ring.is_fresh(db.clock().now(), for_so_long) {
            return Ok(ring);
        }
        let _turn = self.turn.lock().await;
        let ring = self.held();
        let now = db.clock().now();
        if ring.is_fresh(now, for_so_long) {
            return Ok(ring);
        }
        // The number first: what is committed between the two reads is read now and once more.
        let revision = sqlx::query_scalar!("SELECT revision FROM access.revision")
            .fetch_one(db.pool())
            .await?;
        let keys = if ring.revision == Some(revision) {
            Arc::clone(&ring.keys)
        } else {
            Arc::new(all(db).await?)
        };
        let ring = Arc::new(Ring {
            revision: Some(revision),
            read_at: now,
            keys,
        });
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ring);
        Ok(ring)
    }

    fn held(&self) -> Arc<Ring> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&ring)
    }
}

async fn all(db: &Db) -> Result<Keys> {
    let rows = sqlx::query!(
        r#"SELECT key_hash, key_id, client_id, principal, scopes AS "scopes: Json<Vec<String>>", expires_at, created_by,
                  rate_limit_per_minute, rate_limit_per_hour, coalesce(line, key_id) AS "line!"
             FROM access.api_keys WHERE active"#
    )
    .fetch_all(db.pool())
    .await?;
    // Keys that are over are nobody's, and many.
    let now = db.clock().now();
    let rows = rows.into_iter();
    let rows = rows.filter(|row| row.expires_at.is_none_or(|end| end > now));
    let mut keys = Keys::default();
    for row in rows {
        let acts_for = row.principal.as_deref().map(principal::parse);
        let known = Known {
            principal: acts_for.unwrap_or_else(|| Principal::Key(row.key_id.clone())),
            key_id: row.key_id.into(),
            line: row.line.into(),
            client_id: row.client_id,
            scopes: row.scopes.0,
            expires_at: row.expires_at,
            per_minute: row.rate_limit_per_minute.unsigned_abs(),
            per_hour: row.rate_limit_per_hour.unsigned_abs(),
            is_operators: row.created_by.as_deref() == Some("operator"),
        };
        let known = Arc::new(known);
        keys.by_id
            .insert(Arc::clone(&known.key_id), Arc::clone(&known));
        keys.by_digest.insert(row.key_hash, known);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use store::{Cause, Clock};

    use super::*;
    use crate::key::{self, NewKey};

    async fn key(db: &Db) -> anyhow::Result<key::Issued> {
        let new = NewKey {
            principal: None,
            client_id: Some("ci".to_owned()),
            name: "tests".to_owned(),
            scopes: vec!["agents:write".to_owned()],
            expires_at: Some(db.clock().now() + TimeDelta::hours(1)),
            per_minute: 5,
            per_hour: 7,
            created_by: Principal::Operator,
            made_with: None,
            description: None,
        };
        let mut tx = db.begin(Cause::Job("test")).await?;
        let issued = key::create(&mut tx, &new).await?;
        tx.commit().await?;
        Ok(issued)
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn a_revoked_key_is_believed_for_half_a_second_at_most(
        pool: sqlx::PgPool,
    ) -> anyhow::Result<()> {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let db = Db::from_pool(pool, clock.clone());
        let (here, elsewhere) = (Keyring::default(), Keyring::default());
        let issued = key(&db).await?;
        let known = here.find(&db, &issued.key).await?.expect("in force");
        assert_eq!(
            known.principal,
            Principal::Key(issued.record.key_id.clone())
        );
        assert_eq!((known.per_minute, known.per_hour), (5, 7));
        assert!(known.is_operators);
        assert!(elsewhere.find(&db, &issued.key).await?.is_some());
        let mut tx = db.begin(Cause::Job("test")).await?;
        key::revoke(&mut tx, &issued.record.key_id, None).await?;
        tx.commit().await?;
        clock.advance(TimeDelta::milliseconds(499));
        assert!(elsewhere.find(&db, &issued.key).await?.is_some());
        clock.advance(TimeDelta::milliseconds(1));
        assert_eq!(elsewhere.find(&db, &issued.key).await?, None);
        assert_eq!(here.find(&db, "ains_nobody").await?, None);
        let issued = key(&db).await?;
        assert_eq!(here.find(&db, &issued.key).await?, None, "just made");
        here.look_again();
        assert!(here.find(&db, &issued.key).await?.is_some());
        // A key that is not known is asked for sooner: it may be new.
        let second = key(&db).await?;
        clock.advance(TimeDelta::milliseconds(50));
        assert!(elsewhere.find(&db, &second.key).await?.is_some());
        clock.advance(TimeDelta::hours(1));
        assert_eq!(here.find(&db, &second.key).await?, None, "it is over");
        Ok(())
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn a_key_is_known_by_its_id_for_as_long_as_it_holds(
        pool: sqlx::PgPool,
    ) -> anyhow::Result<()> {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let db = Db::from_pool(pool, clock.clone());
        let ring = Keyring::default();
        let (first, second) = (key(&db).await?, key(&db).await?);
        let holds = async |key: &key::Issued| ring.holds(&db, &key.record.key_id).await;
        assert!(holds(&first).await? && holds(&second).await?);
        let mut tx = db.begin(Cause::Job("test")).await?;
        key::revoke(&mut tx, &first.record.key_id, None).await?;
        let overlap = TimeDelta::minutes(1);
        key::rotate(&mut tx, &second.record.key_id, overlap, None).await?;
        tx.commit().await?;
        clock.advance(FRESH);
        assert!(!holds(&first).await?, "revoked");
        assert!(holds(&second).await?, "for a minute");
        clock.advance(overlap);
        assert!(!holds(&second).await?, "over sooner than when it was made");
        assert!(!ring.holds(&db, "key_unknown").await?);
        Ok(())
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn plain_sql_revokes_too_and_use_changes_nothing(
        pool: sqlx::PgPool,
    ) -> anyhow::Result<()> {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let db = Db::from_pool(pool, clock.clone());
        let ring = Keyring::default();
        let issued = key(&db).await?;
        assert!(ring.find(&db, &issued.key).await?.is_some());
        let revision = async || {
            let number = sqlx::query_scalar!("SELECT revision FROM access.revision");
            number.fetch_one(db.pool()).await
        };
        let before = revision().await?;
        sqlx::query!("UPDATE access.api_keys SET last_used_at = now()")
            .execute(db.pool())
            .await?;
        assert_eq!(revision().await?, before);
        sqlx::query!("DELETE FROM access.api_keys")
            .execute(db.pool())
            .await?;
        clock.advance(FRESH);
        assert_eq!(ring.find(&db, &issued.key).await?, None);
        Ok(())
    }

    #[sqlx::test(migrations = "../../migrations")]
    async fn without_the_database_no_key_is_believed(pool: sqlx::PgPool) -> anyhow::Result<()> {
        let clock = Clock::manual(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let db = Db::from_pool(pool, clock.clone());
        let ring = Keyring::default();
        let issued = key(&db).await?;
        assert!(ring.find(&db, &issued.key).await?.is_some());
        db.close().await;
        assert!(ring.find(&db, &issued.key).await?.is_some(), "fresh");
        clock.advance(FRESH);
        let refused = ring.find(&db, &issued.key).await.unwrap_err();
        assert_eq!(refused.kind(), kernel::Kind::Unavailable);
        Ok(())
    }
}
