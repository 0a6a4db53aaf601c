//! The operator's keys in force, in this process's memory: who asks with one costs the database nothing.
//!
//! Before a key is believed the ring is at most [`FRESH`] old: one question for one number, whoever is many, and then one
//! for the keys that changed since. So every process sees a key revoked within that time, whether another process or a
//! person at psql did it; where the database does not answer, no key is believed.
//!
//! Keys that others made for themselves, which costs them nothing, stand in the database alone and are looked up there
//! ([`Known::look_up`]), as sessions are: nobody fills our memory with them.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
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
    /// The key that was presented, whoever made it, if it is in force: one look-up. Errors where the database does not say.
    pub async fn look_up(db: &Db, presented: &str) -> Result<Option<Arc<Self>>> {
        let Some(digest) = secret::digest(presented) else {
            return Ok(None);
        };
        let now = db.clock().now();
        let row = sqlx::query_as!(
            Row,
            r#"SELECT key_hash, key_id, client_id, principal, scopes AS "scopes: Json<Vec<String>>", active, expires_at,
                  created_by, rate_limit_per_minute, rate_limit_per_hour, coalesce(line, key_id) AS "line!"
             FROM access.api_keys
            WHERE key_hash = $1 AND active AND (expires_at IS NULL OR expires_at > $2)"#,
            digest,
            now,
        );
        let row = row.fetch_optional(db.pool()).await?;
        Ok(row.map(|row| Arc::new(row.known())))
    }

    fn holds(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| end > now)
    }
}

/// The operator's.
#[derive(Debug, Default)]
pub struct Keyring {
    ring: RwLock<Ring>,
    /// One asks, the others wait for what he hears.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct Ring {
    revision: Option<i64>,
    read_at: DateTime<Utc>,
    by_digest: HashMap<String, Arc<Known>>,
    by_id: HashMap<Arc<str>, Arc<Known>>,
}

impl Ring {
    fn is_fresh(&self, now: DateTime<Utc>, for_so_long: TimeDelta) -> bool {
        let age = now - self.read_at;
        // A clock that was set back says nothing about the age.
        self.revision.is_some() && age >= TimeDelta::zero() && age < for_so_long
    }

    /// Takes in what changed; keys that are over by now go.
    fn take(&mut self, changed: Vec<Row>, now: DateTime<Utc>) {
        if changed.is_empty() {
            return;
        }
        for row in changed {
            let (digest, active) = (row.key_hash.clone(), row.active);
            let known = Arc::new(row.known());
            if active {
                self.by_id
                    .insert(Arc::clone(&known.key_id), Arc::clone(&known));
                self.by_digest.insert(digest, known);
            } else {
                self.by_id.remove(&known.key_id);
                self.by_digest.remove(&digest);
            }
        }
        self.by_id.retain(|_, known| known.holds(now));
        self.by_digest.retain(|_, known| known.holds(now));
    }
}

impl Keyring {
    /// The operator's key that was presented, if it is in force. Errors where the database does not say.
    pub async fn find(&self, db: &Db, presented: &str) -> Result<Option<Arc<Known>>> {
        let Some(digest) = secret::digest(presented) else {
            return Ok(None);
        };
        self.read(db, FRESH).await?;
        let is_known = self.held().by_digest.contains_key(&digest);
        if !is_known {
            self.read(db, FRESH_FOR_STRANGERS).await?;
        }
        let now = db.clock().now();
        let known = self.held().by_digest.get(&digest).cloned();
        Ok(known.filter(|known| known.holds(now)))
    }

    /// Whether a key that was believed once is still in force. Errors where the database does not say.
    pub async fn holds(&self, db: &Db, key: &Known) -> Result<bool> {
        if !key.is_operators {
            return is_in_force(db, &key.key_id).await;
        }
        self.read(db, FRESH).await?;
        let now = db.clock().now();
        let known = self.held().by_id.get(&key.key_id).cloned();
        match known {
            Some(known) => Ok(known.holds(now)),
            // Another process made it since we read.
            None => is_in_force(db, &key.key_id).await,
        }
    }

    /// Has the next who asks look again: keys were changed here.
    pub fn look_again(&self) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        ring.read_at = DateTime::UNIX_EPOCH;
    }

    /// Reads what changed, unless that was done just now.
    async fn read(&self, db: &Db, for_so_long: TimeDelta) -> Result<()> {
        if self.held().is_fresh(db.clock().now(), for_so_long) {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        let now = db.clock().now();
        let seen = {
            let ring = self.held();
            if ring.is_fresh(now, for_so_long) {
                return Ok(());
            }
            ring.revision
        };
        // The number first: what is committed between the two reads is read now and once more.
        let number = sqlx::query!("SELECT revision, whole FROM access.revision")
            .fetch_one(db.pool())
            .await?;
        // Of a number that a database never had, because it was restored from a backup, nobody knows what came since.
        let since = seen.filter(|seen| (number.whole..=number.revision).contains(seen));
        let changed = if since == Some(number.revision) {
            Vec::new()
        } else {
            changed(db, since, now).await?
        };
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if since.is_none() {
            ring.by_digest.clear();
            ring.by_id.clear();
        }
        ring.take(changed, now);
        ring.revision = Some(number.revision);
        ring.read_at = now;
        Ok(())
    }

    fn held(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key as it is read, whoever made it.
#[derive(Debug)]
struct Row {
    key_hash: String,
    key_id: String,
    client_id: String,
    principal: Option<String>,
    scopes: Json<Vec<String>>,
    active: bool,
    expires_at: Option<DateTime<Utc>>,
    created_by: Option<String>,
    rate_limit_per_minute: i32,
    rate_limit_per_hour: i32,
    line: String,
}

impl Row {
    fn known(self) -> Known {
        let acts_for = self.principal.as_deref().map(principal::parse);
        Known {
            principal: acts_for.unwrap_or_else(|| Principal::Key(self.key_id.clone())),
            key_id: self.key_id.into(),
            line: self.line.into(),
            client_id: self.client_id,
            scopes: self.scopes.0,
            expires_at: self.expires_at,
            per_minute: self.rate_limit_per_minute.unsigned_abs(),
            per_hour: self.rate_limit_per_hour.unsigned_abs(),
            is_operators: self.created_by.as_deref() == Some(principal::OPERATOR),
        }
    }
}

/// The operator's keys that changed since this revision, those that are over among them; since none, those in force.
async fn changed(db: &Db, since: Option<i64>, now: DateTime<Utc>) -> Result<Vec<Row>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT key_hash, key_id, client_id, principal, scopes AS "scopes: Json<Vec<String>>", active, expires_at,
                  created_by, rate_limit_per_minute, rate_limit_per_hour, coalesce(line, key_id) AS "line!"
             FROM access.api_keys
            WHERE created_by = 'operator' AND revision > coalesce($1::bigint, -1)
              AND ($1::bigint IS NOT NULL OR (active AND (expires_at IS NULL OR expires_at > $2)))"#,
        since,
        now,
    );
    Ok(rows.fetch_all(db.pool()).await?)
}

async fn is_in_force(db: &Db, key_id: &str) -> Result<bool> {
    let now = db.clock().now();
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM access.api_keys
                           WHERE key_id = $1 AND active AND (expires_at IS NULL OR expires_at > $2)) AS "found!""#,
        key_id,
        now,
    );
    Ok(found.fetch_one(db.pool()).await?)
}

#[cfg(test)]
mod tests;
