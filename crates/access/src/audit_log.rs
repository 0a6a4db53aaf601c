//! What was seen of those who asked: who proved himself and who failed to, keys made and revoked, limits reached.
//!
//! These are notes for the operator, with personal data that goes after some days. What somebody did, signing in, keys
//! made and ended, agents registered, is noted in its own transaction, changes of keys with a salt, so that the journal
//! can tell of them by a digest. What was refused is written behind, a bounded number of events at a time, so that nobody
//! fills a disk or slows an answer by failing often.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Limit, Page, clean_json, clean_text};
use serde::Serialize;
use serde_json::Value;
use store::{Cause, Db, Tx};

use crate::{Result, secret};

/// Events that may wait to be written; beyond, they are counted and lost.
const MOST_WAITING: usize = 10_000;

/// What sort of thing happened: AINS's words, and those of its implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Somebody proved who he is, or failed to.
    Authentication,
    /// A new key.
    ApiKeyCreated,
    /// A key was rotated, or ended because the one that replaced it was.
    ApiKeyUpdated,
    /// A key was revoked.
    ApiKeyRevoked,
    /// A limit was reached.
    RateLimitExceeded,
    /// An agent was registered here, by a request. One that a chain registered is no request's: the journal has it.
    AgentRegistered,
}

impl EventType {
    /// All that are written.
    pub const ALL: [Self; 6] = [
        Self::Authentication,
        Self::ApiKeyCreated,
        Self::ApiKeyUpdated,
        Self::ApiKeyRevoked,
        Self::RateLimitExceeded,
        Self::AgentRegistered,
    ];

    /// The word in the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::ApiKeyCreated => "api_key_created",
            Self::ApiKeyUpdated => "api_key_updated",
            Self::ApiKeyRevoked => "api_key_revoked",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::AgentRegistered => "agent_registered",
        }
    }
}

/// One event, before it is written. Texts are cut to their columns.
#[derive(Debug, Clone, Default)]
pub struct Event {
    /// Who, in words: a principal's name, or a key's client.
    pub client_id: Option<String>,
    /// The key that was used.
    pub key_id: Option<String>,
    /// What was to be done: method and route.
    pub action: String,
    /// The sort of thing that it was to be done to.
    pub resource_type: Option<String>,
    /// Which one.
    pub resource_id: Option<String>,
    /// From where.
    pub ip_address: Option<String>,
    /// With which program.
    pub user_agent: Option<String>,
    /// Why it failed; none: it did not.
    pub error_message: Option<String>,
    /// More.
    pub extra_metadata: Option<Value>,
}

/// One event, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Place in the log.
    pub id: i64,
    /// The sort of event.
    pub event_type: String,
    /// Who, in words.
    pub client_id: Option<String>,
    /// The key that was used.
    pub key_id: Option<String>,
    /// What was to be done.
    pub action: String,
    /// The sort of thing that it was to be done to.
    pub resource_type: Option<String>,
    /// Which one.
    pub resource_id: Option<String>,
    /// From where, for some days.
    pub ip_address: Option<String>,
    /// With which program, for some days.
    pub user_agent: Option<String>,
    /// Whether it was done.
    pub success: bool,
    /// Why not.
    pub error_message: Option<String>,
    /// More.
    pub extra_metadata: Value,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Of a record that the journal tells of: 16 bytes in hex ([`Record::digest`]).
    pub salt: Option<String>,
}

impl Record {
    /// What the journal says of the record, in hex: the SHA-256 of its salt and of its JSON, without spaces, with the
    /// keys in their order, and without the salt itself and what is forgotten before the rest. None without a salt.
    pub fn digest(&self) -> Option<String> {
        let salt = hex::decode(self.salt.as_ref()?).ok()?;
        let Ok(Value::Object(mut fields)) = serde_json::to_value(self) else {
            return None;
        };
        for apart in ["salt", "ip_address", "user_agent"] {
            fields.remove(apart);
        }
        let said = Value::Object(fields).to_string();
        Some(hex::encode(kernel::sha256(
            &[&salt, said.as_bytes()].concat(),
        )))
    }
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this sort.
    pub event_type: Option<String>,
    /// Only of this client.
    pub client_id: Option<String>,
    /// Only with this key.
    pub key_id: Option<String>,
    /// Only what was (not) done.
    pub success: Option<bool>,
}

/// Events that wait to be written.
#[derive(Debug, Default)]
pub struct AuditLog {
    waiting: Mutex<Vec<(EventType, DateTime<Utc>, Event)>>,
}

impl AuditLog {
    /// Keeps an event until the next flush.
    pub fn note(&self, event_type: EventType, now: DateTime<Utc>, event: Event) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST_WAITING {
            waiting.push((event_type, now, event));
        } else {
            metrics::counter!("chancery_audit_events_lost_total").increment(1);
        }
    }

    /// Writes what waits. Where that fails it waits on, behind what came meanwhile, as far as there is room.
    pub async fn flush(&self, db: &Db) -> Result<()> {
        let taken =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if taken.is_empty() {
            return Ok(());
        }
        let written = async {
            let mut tx = db.begin(Cause::Job("audit log")).await?;
            tx.commit_lazily().await?;
            insert(&mut tx, &taken, &[]).await?;
            Ok(tx.commit().await?)
        };
        let outcome: Result<()> = written.await;
        if outcome.is_err() {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let room = MOST_WAITING.saturating_sub(waiting.len());
            waiting.extend(taken.into_iter().take(room));
        }
        outcome
    }
}

/// Writes events of one sort, however many, in the transaction of what happened.
pub async fn write(
    tx: &mut Tx,
    event_type: EventType,
    events: Vec<Event>,
) -> Result<(), store::Error> {
    if events.is_empty() {
        return Ok(());
    }
    let now = tx.now();
    let events = events.into_iter().map(|event| (event_type, now, event));
    insert(tx, &events.collect::<Vec<_>>(), &[]).await?;
    Ok(())
}

/// The same for events that the journal is to tell of, of one sort: gives their records, each with a salt.
pub async fn write_salted(
    tx: &mut Tx,
    event_type: EventType,
    events: Vec<Event>,
) -> Result<Vec<Record>> {
    let now = tx.now();
    let events = events.into_iter().map(|event| (event_type, now, event));
    let events: Vec<_> = events.collect();
    let salts = events
        .iter()
        .map(|_| secret::salt())
        .collect::<Result<Vec<_>>>()?;
    Ok(insert(tx, &events, &salts).await?)
}

/// Writes events; those at the places of the salts get them, and the records of these are given.
async fn insert(
    tx: &mut Tx,
    events: &[(EventType, DateTime<Utc>, Event)],
    salts: &[[u8; 16]],
) -> Result<Vec<Record>, store::Error> {
    let column = |of: fn(&Event) -> Option<&String>, most: usize| -> Vec<Option<String>> {
        let texts = events.iter().map(|(_, _, event)| of(event));
        texts.map(|text| text.map(|text| cut(text, most))).collect()
    };
    let kinds: Vec<String> = events
        .iter()
        .map(|(kind, ..)| kind.as_str().to_owned())
        .collect();
    let times: Vec<DateTime<Utc>> = events.iter().map(|(_, time, _)| *time).collect();
    let done: Vec<bool> = events
        .iter()
        .map(|(_, _, event)| event.error_message.is_none())
        .collect();
    let more: Vec<Value> = events
        .iter()
        .map(|(_, _, event)| event.extra_metadata.clone())
        .map(|more| {
            more.map_or_else(
                || Value::Object(serde_json::Map::new()),
                |more| clean_json(more).value,
            )
        })
        .collect();
    let salts: Vec<&[u8]> = salts.iter().map(<[u8; 16]>::as_slice).collect();
    let records = sqlx::query_as!(
        Record,
        r#"WITH written AS (
               INSERT INTO access.audit_logs (event_type, created_at, client_id, key_id, action, resource_type,
                                              resource_id, ip_address, user_agent, success, error_message,
                                              extra_metadata, salt)
               SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[],
                                    $7::text[], $8::text[], $9::text[], $10::boolean[], $11::text[], $12::jsonb[],
                                    $13::bytea[])
               RETURNING *)
           SELECT id AS "id!", event_type AS "event_type!", client_id, key_id, action AS "action!", resource_type,
                  resource_id, ip_address, user_agent, success AS "success!", error_message,
                  extra_metadata AS "extra_metadata!: Value", created_at AS "created_at!", encode(salt, 'hex') AS salt
             FROM written WHERE salt IS NOT NULL ORDER BY id"#,
        &kinds,
        &times,
        &column(|event| event.client_id.as_ref(), 80) as &[Option<String>],
        &column(|event| event.key_id.as_ref(), 64) as &[Option<String>],
        &column(|event| Some(&event.action), 128) as &[Option<String>],
        &column(|event| event.resource_type.as_ref(), 64) as &[Option<String>],
        &column(|event| event.resource_id.as_ref(), 128) as &[Option<String>],
        &column(|event| event.ip_address.as_ref(), 45) as &[Option<String>],
        &column(|event| event.user_agent.as_ref(), 512) as &[Option<String>],
        &done,
        &column(|event| event.error_message.as_ref(), 512) as &[Option<String>],
        &more,
        &salts as &[&[u8]],
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(records)
}

/// The beginning of a text that Postgres takes.
fn cut(text: &str, most: usize) -> String {
    let text = clean_text(text.as_bytes()).value;
    text.chars().take(most).collect()
}

/// Events, newest first. `cursor` is the `id` of the last one of the page before.
pub async fn list(
    db: &Db,
    filter: &Filter,
    cursor: Option<i64>,
    limit: Limit,
) -> Result<Page<Record>> {
    let records = sqlx::query_as!(
        Record,
        r#"SELECT id, event_type, client_id, key_id, action, resource_type, resource_id, ip_address, user_agent, success,
                  error_message, extra_metadata AS "extra_metadata: Value", created_at, encode(salt, 'hex') AS salt
             FROM access.audit_logs
            WHERE ($1::text IS NULL OR event_type = $1) AND ($2::text IS NULL OR client_id = $2)
              AND ($3::text IS NULL OR key_id = $3) AND ($4::boolean IS NULL OR success = $4)
              AND ($5::bigint IS NULL OR id < $5)
            ORDER BY id DESC LIMIT $6"#,
        filter.event_type,
        filter.client_id,
        filter.key_id,
        filter.success,
        cursor,
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    Ok(Page::from_lookahead(records, limit, |record| {
        record.id.to_string()
    }))
}

/// Forgets from where and with what people asked after `personal`, and everything after `kept`.
pub async fn expire(tx: &mut Tx, personal: TimeDelta, kept: TimeDelta) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "UPDATE access.audit_logs SET ip_address = NULL, user_agent = NULL
          WHERE created_at < $1 AND (ip_address IS NOT NULL OR user_agent IS NOT NULL)",
        now - personal,
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "DELETE FROM access.audit_logs WHERE created_at < $1",
        now - kept
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
