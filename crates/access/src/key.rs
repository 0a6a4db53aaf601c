//! API keys: made, listed, rotated, revoked. A key acts for a principal within its scopes, until it ends.

mod lineage;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use kernel::{Limit, Page, Principal};
use serde::Serialize;
use sqlx::types::Json;
use store::{Db, Tx};

use crate::{Error, Result, principal, secret};

pub use lineage::{MOST_KEYS, MOST_MADE, revoke};

/// Requests of a key in a minute and in an hour, where nobody says otherwise (AINS's defaults).
pub const PER_MINUTE: i32 = 60;
/// The same for an hour.
pub const PER_HOUR: i32 = 1000;

/// The most that a key may be given of either.
const MOST_REQUESTS: i32 = 1_000_000;
/// The longest that a key lasts which the operator did not make: whoever else makes them does it at no cost, so they do
/// not become ever more.
pub const LONGEST_OF_OTHERS: TimeDelta = TimeDelta::days(90);
/// The longest time for which a rotated key and its successor hold together.
pub const LONGEST_OVERLAP: TimeDelta = TimeDelta::days(30);

/// A key that is over is listed for so long, as its counts by the hour are kept; the audit log remembers it longer.
const KEPT: TimeDelta = TimeDelta::days(90);
/// Keys that are forgotten at once: nobody else changes keys meanwhile.
const MOST_FORGOTTEN: i64 = 500;

const LONGEST_NAME: usize = 255;
const LONGEST_CLIENT: usize = 64;
const LONGEST_DESCRIPTION: usize = 512;
const MOST_SCOPES: usize = 32;
const LONGEST_SCOPE: usize = 64;

/// A key as it is stored, but for its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Place in the list.
    pub id: i64,
    /// `key_` and 32 hex digits; no secret.
    pub key_id: String,
    /// Whose it is, in words of whoever made it.
    pub client_id: String,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Json<Vec<String>>,
    /// False once it is revoked.
    pub active: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was used, to some seconds.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Requests in a minute.
    pub rate_limit_per_minute: i32,
    /// Requests in an hour.
    pub rate_limit_per_hour: i32,
    /// The principal that made it.
    pub created_by: Option<String>,
    /// More about it.
    pub description: Option<String>,
    /// For whom it acts; of a client that is nobody else its first key, whose name all that follow it keep.
    pub principal: Option<String>,
    /// The key that it took the place of.
    pub replaces: Option<String>,
    /// The key that asked for it, or that one's successor: it ends with it. None: another proof did.
    pub made_with: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// For whom it acts; none: a client that is nobody else.
    pub principal: Option<Principal>,
    /// Whose it is, in words; none: the principal's own name.
    pub client_id: Option<String>,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends by itself; none: with the key that asks for it, and where the operator does not make it after
    /// [`LONGEST_OF_OTHERS`].
    pub expires_at: Option<DateTime<Utc>>,
    /// Requests in a minute.
    pub per_minute: i32,
    /// Requests in an hour.
    pub per_hour: i32,
    /// The principal that makes it.
    pub created_by: Principal,
    /// The key that it asks with; none: another proof.
    pub made_with: Option<String>,
    /// More about it.
    pub description: Option<String>,
}

/// A key and its secret, which is told once.
#[derive(Debug, Clone, Serialize)]
pub struct Issued {
    /// `ains_` and 44 characters. Nobody can be told it again.
    pub key: String,
    /// What is stored.
    #[serde(flatten)]
    pub record: ApiKey,
}

/// A key's successor, and what ended for it.
#[derive(Debug, Clone, Serialize)]
pub struct Rotated {
    /// The successor.
    #[serde(flatten)]
    pub issued: Issued,
    /// Id of the key that the rotated one replaced, where that held until now.
    pub ended: Option<String>,
}

/// Which keys.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only those that act for this principal, by its column's text.
    pub principal: Option<String>,
    /// Only this client's.
    pub client_id: Option<String>,
    /// Only those that are (not) revoked.
    pub active: Option<bool>,
}

/// Keys, newest first. `cursor` is the `id` of the last one of the page before.
pub async fn list(
    db: &Db,
    filter: &Filter,
    cursor: Option<i64>,
    limit: Limit,
) -> Result<Page<ApiKey>> {
    let keys = sqlx::query_as!(
        ApiKey,
        r#"SELECT id, key_id, client_id, name, scopes AS "scopes: Json<Vec<String>>", active, created_at, expires_at,
                  last_used_at, rate_limit_per_minute, rate_limit_per_hour, created_by, description, principal, replaces,
                  made_with, revoked_at
             FROM access.api_keys
            WHERE ($1::text IS NULL OR principal = $1) AND ($2::text IS NULL OR client_id = $2)
              AND ($3::boolean IS NULL OR active = $3) AND ($4::bigint IS NULL OR id < $4)
            ORDER BY id DESC LIMIT $5"#,
        filter.principal,
        filter.client_id,
        filter.active,
        cursor,
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    Ok(Page::from_lookahead(keys, limit, |key| key.id.to_string()))
}

/// One key, by its id; of `owner` alone where one is named: others' keys are not there for him.
pub async fn get(db: &Db, key_id: &str, owner: Option<&str>) -> Result<ApiKey> {
    let key = sqlx::query_as!(
        ApiKey,
        r#"SELECT id, key_id, client_id, name, scopes AS "scopes: Json<Vec<String>>", active, created_at, expires_at,
                  last_used_at, rate_limit_per_minute, rate_limit_per_hour, created_by, description, principal, replaces,
                  made_with, revoked_at
             FROM access.api_keys WHERE key_id = $1 AND ($2::text IS NULL OR principal = $2)"#,
        key_id,
        owner,
    )
    .fetch_optional(db.pool())
    .await?;
    key.ok_or_else(unknown)
}

/// Makes a key. Errors with [`Error::Invalid`] where the wish does not fit, [`Error::Denied`] where it is to last longer
/// than its maker may have it, and [`Error::Conflict`] where the principal has too many, or the key that asks made too
/// many.
pub async fn create(tx: &mut Tx, new: &NewKey) -> Result<Issued> {
    check(new, tx.now())?;
    let created_by = principal::text(&new.created_by);
    let last = last_end(created_by.as_deref(), tx.now());
    if let (Some(end), Some(last)) = (new.expires_at, last)
        && end > last
    {
        return Err(too_long(last));
    }
    let maker = new.made_with.as_deref();
    let end_of_maker = lineage::take_turn(tx, maker).await?;
    let expires_at = new
        .expires_at
        .or_else(|| [end_of_maker, last].into_iter().flatten().min());
    let key_id = secret::key_id()?;
    let acts_for = match &new.principal {
        Some(principal) => principal::text(principal),
        None => Some(key_id.clone()),
    };
    let is_key_for_operator = maker.is_some() && new.principal == Some(Principal::Operator);
    if let Some(owner) = &acts_for
        && (is_key_for_operator || new.created_by != Principal::Operator)
    {
        lineage::leave_room(tx, owner).await?;
    }
    if let Some(maker) = maker {
        lineage::leave_room_under(tx, maker).await?;
    }
    let client = new.client_id.as_deref().or(acts_for.as_deref());
    let row = Row {
        client_id: client.unwrap_or(&key_id).to_owned(),
        principal: acts_for,
        created_by,
        replaces: None,
        made_with: new.made_with.clone(),
        key_id,
        expires_at,
    };
    insert(tx, new, row).await
}

/// Gives a key a successor of the same rights, and ends it after `overlap`: until then both hold, and no third one of
/// their line, for the key that it replaced itself ends at once. A line has one quota. What the key made is the
/// successor's from then on. That one is made with the key that asks, its predecessor perhaps, else with the one that
/// its predecessor was made with, and ends with the key that asks at the latest, unless that asks for its own successor.
/// It acts for whom the old one did: what is a client's stays with it. One that is revoked or over has none.
pub async fn rotate(
    tx: &mut Tx,
    key_id: &str,
    overlap: TimeDelta,
    asked_with: Option<&str>,
) -> Result<Rotated> {
    check_overlap(overlap)?;
    let end_of_asker = lineage::take_turn(tx, asked_with).await?;
    let ended = lineage::end_replaced(tx, key_id).await?;
    let now = tx.now();
    let old = sqlx::query_as!(
        ApiKey,
        r#"SELECT id, key_id, client_id, name, scopes AS "scopes: Json<Vec<String>>", active, created_at, expires_at,
                  last_used_at, rate_limit_per_minute, rate_limit_per_hour, created_by, description, principal, replaces,
                  made_with, revoked_at
             FROM access.api_keys WHERE key_id = $1 FOR UPDATE"#,
        key_id,
    )
    .fetch_optional(tx.conn())
    .await?
    .ok_or_else(unknown)?;
    if !old.active || old.expires_at.is_some_and(|end| end <= now) {
        let why = "this key is over: make a new one".to_owned();
        return Err(Error::Conflict(why));
    }
    if is_replaced(tx, key_id).await? {
        let why = "this key has a successor already: rotate that one".to_owned();
        return Err(Error::Conflict(why));
    }
    // Both hold for a while, so the successor needs a place of its own.
    if let Some(owner) = &old.principal
        && (asked_with.is_some() || principal::parse(owner) != Principal::Operator)
    {
        lineage::leave_room(tx, owner).await?;
    }
    // What a key made does not outlive it, but its own successor does.
    let bound = end_of_asker.filter(|_| asked_with != Some(key_id));
    let last = last_end(old.created_by.as_deref(), now);
    let lasting = [lasting(&old, now), bound, last];
    let lasting = lasting.into_iter().flatten().min();
    let end = old
        .expires_at
        .map_or(now + overlap, |end| end.min(now + overlap));
    sqlx::query!(
        "UPDATE access.api_keys SET expires_at = $2 WHERE key_id = $1",
        key_id,
        end
    )
    .execute(tx.conn())
    .await?;
    let successor = secret::key_id()?;
    lineage::hand_over(tx, key_id, &successor, asked_with).await?;
    // After that: who rotates himself is not refused for what he just handed over.
    if let Some(maker) = asked_with {
        lineage::leave_room_under(tx, maker).await?;
    }
    let new = NewKey {
        principal: None,
        client_id: None,
        name: old.name,
        scopes: old.scopes.0,
        expires_at: None,
        per_minute: old.rate_limit_per_minute,
        per_hour: old.rate_limit_per_hour,
        created_by: Principal::Operator,
        made_with: None,
        description: old.description,
    };
    let row = Row {
        key_id: successor,
        client_id: old.client_id,
        // A row that plain SQL made may say nothing.
        principal: old.principal.or_else(|| Some(old.key_id.clone())),
        created_by: old.created_by,
        replaces: Some(old.key_id),
        made_with: asked_with.map(str::to_owned).or(old.made_with),
        expires_at: lasting,
    };
    let issued = insert(tx, &new, row).await?;
    Ok(Rotated { issued, ended })
}

/// A key that was to last for so long is followed by one that lasts as long.
fn lasting(old: &ApiKey, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    old.expires_at.map(|end| {
        let length = end - old.created_at;
        now.checked_add_signed(length).unwrap_or(end)
    })
}

/// The latest end of a key that this one makes now; none: of the operator's, and of those that plain SQL made.
fn last_end(created_by: Option<&str>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let other = created_by.filter(|by| *by != principal::OPERATOR);
    other.map(|_| now + LONGEST_OF_OTHERS)
}

fn too_long(last: DateTime<Utc>) -> Error {
    let days = LONGEST_OF_OTHERS.num_days();
    let last = last.to_rfc3339_opts(SecondsFormat::Secs, true);
    Error::Denied(format!(
        "your keys last {days} days at most, until {last}: the operator alone makes keys that last longer"
    ))
}

/// Forgets keys that were revoked, or over by themselves, long ago. What such a key made and that is still in force
/// ends from then on with what that one was made with.
pub async fn expire(tx: &mut Tx) -> Result<()> {
    lineage::take_turn(tx, None).await?;
    let before = tx.now() - KEPT;
    let gone = sqlx::query_scalar!(
        "SELECT key_id FROM access.api_keys WHERE (NOT active AND revoked_at < $1) OR expires_at < $1
          ORDER BY id LIMIT $2",
        before,
        MOST_FORGOTTEN,
    )
    .fetch_all(tx.conn())
    .await?;
    // One after another: the next one's maker may go, too.
    for key_id in &gone {
        lineage::hand_up(tx, key_id).await?;
    }
    sqlx::query!(
        "DELETE FROM access.api_keys WHERE key_id = ANY($1::text[])",
        &gone
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What a row has besides the wish.
struct Row {
    key_id: String,
    client_id: String,
    principal: Option<String>,
    created_by: Option<String>,
    replaces: Option<String>,
    made_with: Option<String>,
    expires_at: Option<DateTime<Utc>>,
}

async fn insert(tx: &mut Tx, new: &NewKey, row: Row) -> Result<Issued> {
    let key = secret::api_key()?;
    let now = tx.now();
    let record = sqlx::query_as!(
        ApiKey,
        r#"INSERT INTO access.api_keys (key_id, key_hash, client_id, name, scopes, created_at, expires_at,
                   rate_limit_per_minute, rate_limit_per_hour, created_by, description, principal, replaces, made_with,
                   line)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                   (SELECT coalesce(old.line, old.key_id) FROM access.api_keys old WHERE old.key_id = $13::varchar))
           RETURNING id, key_id, client_id, name, scopes AS "scopes: Json<Vec<String>>", active, created_at, expires_at,
                  last_used_at, rate_limit_per_minute, rate_limit_per_hour, created_by, description, principal, replaces,
                  made_with, revoked_at"#,
        row.key_id,
        secret::digest(&key),
        row.client_id,
        new.name,
        Json(&new.scopes) as _,
        now,
        row.expires_at,
        new.per_minute,
        new.per_hour,
        row.created_by,
        new.description,
        row.principal,
        row.replaces,
        row.made_with,
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Issued { key, record })
}

async fn is_replaced(tx: &mut Tx, key_id: &str) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM access.api_keys WHERE replaces = $1) AS "found!""#,
        key_id,
    );
    Ok(found.fetch_one(tx.conn()).await?)
}

fn check_overlap(overlap: TimeDelta) -> Result<()> {
    if (TimeDelta::zero()..=LONGEST_OVERLAP).contains(&overlap) {
        return Ok(());
    }
    let days = LONGEST_OVERLAP.num_days();
    let why = format!("two keys hold together for 0 seconds to {days} days");
    Err(Error::Invalid(why))
}

fn unknown() -> Error {
    Error::NotFound("there is no such key".to_owned())
}

fn check(new: &NewKey, now: DateTime<Utc>) -> Result<()> {
    let within = |what: &str, text: Option<&str>, least: usize, most: usize| {
        let fits =
            |text: &str| text.chars().count() <= most && text.trim().chars().count() >= least;
        if text.is_none_or(fits) {
            return Ok(());
        }
        let why = format!("{what} has {least} to {most} characters");
        Err(Error::Invalid(why))
    };
    within("a key's name", Some(&new.name), 1, LONGEST_NAME)?;
    within("client_id", new.client_id.as_deref(), 1, LONGEST_CLIENT)?;
    within(
        "description",
        new.description.as_deref(),
        0,
        LONGEST_DESCRIPTION,
    )?;
    let scopes_fit = new.scopes.len() <= MOST_SCOPES
        && new
            .scopes
            .iter()
            .all(|scope| (1..=LONGEST_SCOPE).contains(&scope.len()));
    if !scopes_fit {
        let why = format!("a key has at most {MOST_SCOPES} scopes");
        return Err(Error::Invalid(why));
    }
    let limits = 1..=MOST_REQUESTS;
    if !limits.contains(&new.per_minute) || !limits.contains(&new.per_hour) {
        let why = format!("a rate limit is 1 to {MOST_REQUESTS} requests");
        return Err(Error::Invalid(why));
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(Error::Invalid("expires_at is not in the future".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
