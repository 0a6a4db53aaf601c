//! Judging what URIs hold: one fetch per distinct URI, however many agents name it.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use content::Content;
/// What a fetch gives, which [`judge`] takes.
pub use content::{Fetched, State, Verification};
use kernel::{clean_json, sha256};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Cause, Db, Outcome, Tx, job, job::Job};

use crate::{Result, dirty, head, project::FETCH, registration};

/// How long one attempt may take before another worker may try.
const LEASE: Duration = Duration::from_mins(2);

/// How many URIs are fetched at once.
const AT_ONCE: i64 = 16;

/// A web page may change: it is looked at again after this time.
const LOOK_AGAIN: TimeDelta = TimeDelta::hours(6);

/// What a URI was found to hold.
#[derive(Debug, Clone)]
struct Judged {
    state: &'static str,
    verification: &'static str,
    sha256: Option<[u8; 32]>,
    cid: Option<String>,
    size: i64,
    raw: Option<Value>,
    whole: BTreeMap<String, Value>,
    warnings: Value,
}

impl Judged {
    fn of(fetched: &Fetched) -> Self {
        let bytes = fetched.bytes.as_deref();
        let mut judged = Self {
            state: word(fetched.state),
            verification: match fetched.verification {
                Verification::Verified => "verified",
                Verification::Unverified => "unverified",
                Verification::Mismatch => "mismatch",
            },
            sha256: bytes.map(sha256),
            cid: fetched.cid.clone(),
            size: i64::try_from(bytes.map_or(0, <[u8]>::len)).unwrap_or(i64::MAX),
            raw: None,
            whole: BTreeMap::new(),
            warnings: json!([]),
        };
        if let Some(bytes) = bytes {
            let parsed = registration::parse(bytes);
            judged.state = match parsed.state {
                registration::State::Fetched => "fetched",
                registration::State::Nonconformant => "nonconformant",
                registration::State::Malformed => "malformed",
            };
            judged.warnings = json!(parsed.warnings);
            if parsed.state != registration::State::Malformed {
                judged.whole =
                    fields_of(clean_json(json!(registration::fields(&parsed.file))).value);
                judged.raw = Some(clean_json(parsed.file.raw).value);
            }
        } else if let Some(error) = &fetched.error {
            judged.warnings = json!([{ "code": judged.state, "pointer": "", "message": error }]);
        }
        judged
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::None => "none",
        State::Pending => "pending",
        State::Fetched => "fetched",
        State::Unavailable => "unavailable",
        State::TooLarge => "too_large",
        State::Malformed => "malformed",
        State::Blocked => "blocked",
        State::Unsupported => "unsupported",
    }
}

/// Fetches and judges due URIs, some at once.
pub async fn fetch_due(db: &Db, content: &Content) -> Result<Outcome> {
    let jobs = job::claim(db, FETCH, AT_ONCE, LEASE).await?;
    if jobs.is_empty() {
        return Ok(Outcome::Idle);
    }
    let rounds = jobs.iter().map(|job| fetch_one(db, content, job));
    for result in futures::future::join_all(rounds).await {
        result?;
    }
    Ok(Outcome::Busy)
}

async fn fetch_one(db: &Db, content: &Content, job: &Job) -> Result<()> {
    let Ok(hash) = hex::decode(&job.key) else {
        return drop_job(db, &[], job).await;
    };
    let row = sqlx::query!(
        r#"SELECT coalesce(raw, convert_to(uri, 'UTF8')) AS raw, EXISTS (SELECT FROM identity.tokens WHERE uri_hash = $1) AS "current!"
             FROM identity.uris WHERE hash = $1"#,
        &hash,
    )
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row.filter(|row| row.current) else {
        return drop_job(db, &hash, job).await;
    };
    let fetched = match &row.raw {
        Some(uri) => content.fetch(uri).await,
        None => too_large(),
    };
    let mut tx = db.begin(Cause::Job(FETCH)).await?;
    lock(&mut tx, &hash).await?;
    if fetched.retry || fetched.state == State::Unavailable {
        postpone(&mut tx, &hash, job, &fetched).await?;
    } else {
        if !job::finish(&mut tx, job).await? {
            return Ok(()); // Another worker has it by now.
        }
        judge(&mut tx, &hash, &fetched).await?;
        if let Some(root) = fetched.root() {
            content::pin::want(&mut tx, content, &[root]).await?;
        }
        if fetched.final_url.is_some() {
            let again = tx.now() + LOOK_AGAIN;
            job::enqueue(&mut tx, FETCH, std::slice::from_ref(&job.key), again).await?;
        }
    }
    Ok(tx.commit().await?)
}

fn too_large() -> Fetched {
    Fetched {
        state: State::TooLarge,
        verification: Verification::Unverified,
        bytes: None,
        cid: None,
        content_type: None,
        etag: None,
        final_url: None,
        error: Some(format!(
            "the URI is longer than {} bytes",
            crate::project::KEPT
        )),
        retry: false,
    }
}

/// Locks a URI before its job: steps that name it wait here for a moment, and then see the verdict;
/// those that came before are seen by what follows.
async fn lock(tx: &mut Tx, hash: &[u8]) -> Result<()> {
    sqlx::query!("SELECT FROM identity.uris WHERE hash = $1 FOR UPDATE", hash)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Nobody's current URI: what it holds matters to nobody any more, unless a step named it just now.
async fn drop_job(db: &Db, hash: &[u8], job: &Job) -> Result<()> {
    let mut tx = db.begin(Cause::Job(FETCH)).await?;
    lock(&mut tx, hash).await?;
    let current = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM identity.tokens WHERE uri_hash = $1) AS "current!""#,
        hash
    )
    .fetch_one(tx.conn())
    .await?;
    if current {
        let now = tx.now();
        job::retry(&mut tx, job, now, "named again").await?;
    } else {
        job::finish(&mut tx, job).await?;
    }
    Ok(tx.commit().await?)
}

/// What is known of a URI before it is looked at again.
#[derive(Debug)]
struct Before {
    state: String,
    verification: Option<String>,
    /// Failed ones since it was last there.
    attempts: i32,
}

impl Before {
    /// What of a verdict is news to whoever watches: that it is bad, or that it is not any more.
    fn news(&self, judged: &Judged) -> Option<&'static str> {
        let was_mismatch = self.verification.as_deref() == Some("mismatch");
        if judged.verification == "mismatch" {
            return (!was_mismatch).then_some("mismatch");
        }
        let sound = ["fetched", "nonconformant"].contains(&judged.state);
        let differs = self.state != judged.state;
        (was_mismatch || self.attempts > 0 || (differs && !sound)).then_some(judged.state)
    }
}

async fn known(tx: &mut Tx, hash: &[u8]) -> Result<Before> {
    let row = sqlx::query_as!(
        Before,
        "SELECT state, verification, attempts FROM identity.uris WHERE hash = $1",
        hash
    );
    // A URI is kept before anybody asks for it.
    Ok(row.fetch_one(tx.conn()).await?)
}

async fn postpone(tx: &mut Tx, hash: &[u8], job: &Job, fetched: &Fetched) -> Result<()> {
    let now = tx.now();
    let error = fetched.error.as_deref().unwrap_or("no answer");
    let next = now + job::back_off(job.attempts, &job.key);
    job::retry(tx, job, next, error).await?;
    let verification = match fetched.verification {
        Verification::Mismatch => Some("mismatch"),
        _ => None,
    };
    let before = known(tx, hash).await?;
    let is_new_mismatch = verification.is_some() && before.verification.as_deref() != verification;
    if before.attempts == 0 || is_new_mismatch {
        let became = verification.unwrap_or("unavailable");
        head::tell_document(tx, hash, became).await?;
    }
    sqlx::query!(
        // What was judged before stays judged: only that it is not to be had now is told.
        "UPDATE identity.uris
            SET state = CASE WHEN EXISTS (SELECT FROM identity.documents WHERE uri_hash = $1)
                             THEN state ELSE 'unavailable' END,
                verification = coalesce($2, verification), last_error = left($3, 500),
                attempts = attempts + 1, checked_at = $4, next_attempt_at = $5
          WHERE hash = $1",
        hash,
        verification,
        error,
        now,
        next,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps what a URI (by the hash of its raw bytes) was found to hold as a version, unless it is the one
/// that stands, and marks whom it touches.
pub async fn judge(tx: &mut Tx, hash: &[u8], fetched: &Fetched) -> Result<()> {
    let now = tx.now();
    let judged = Judged::of(fetched);
    lock(tx, hash).await?;
    let before = known(tx, hash).await?;
    if let Some(news) = before.news(&judged) {
        head::tell_document(tx, hash, news).await?;
    }
    sqlx::query!(
        "UPDATE identity.uris
            SET state = $2, verification = $3, last_error = NULL, attempts = 0, checked_at = $4,
                next_attempt_at = NULL
          WHERE hash = $1",
        hash,
        judged.state,
        judged.verification,
        now,
    )
    .execute(tx.conn())
    .await?;
    let last = sqlx::query!(
        "SELECT version, state, verification, sha256, whole, judged_at, chain_times
           FROM identity.documents
          WHERE uri_hash = $1 ORDER BY version DESC LIMIT 1",
        hash
    )
    .fetch_optional(tx.conn())
    .await?;
    let sha256 = judged.sha256.map(|digest| digest.to_vec());
    let (version, before, since, times) = match last {
        Some(last)
            if last.state == judged.state
                && last.sha256 == sha256
                && last.verification.as_deref() == Some(judged.verification) =>
        {
            return Ok(());
        }
        // Versions stand in their order, also where the clock was put back between them.
        Some(last) => (
            last.version + 1,
            fields_of(last.whole),
            now.max(last.judged_at),
            serde_json::from_value(last.chain_times).unwrap_or_default(),
        ),
        None => (1, BTreeMap::new(), now, BTreeMap::new()),
    };
    let says = registration::diff(&before, &judged.whole);
    let ahead = chains_ahead(tx, since, times).await?;
    sqlx::query!(
        "INSERT INTO identity.documents
                (uri_hash, version, judged_at, chain_times, state, verification, sha256, cid, size,
                 raw, whole, says, warnings)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        hash,
        version,
        since,
        json!(ahead),
        judged.state,
        judged.verification,
        sha256,
        judged.cid,
        judged.size,
        judged.raw,
        json!(judged.whole),
        json!(says),
        judged.warnings,
    )
    .execute(tx.conn())
    .await?;
    dirty::mark_by_uri(tx, hash, version).await?;
    Ok(())
}

fn fields_of(value: Value) -> BTreeMap<String, Value> {
    match value {
        Value::Object(map) => map.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

/// Chains whose newest block is later than `now`, and its time in microseconds; never before the
/// `times` of the version before.
async fn chains_ahead(
    tx: &mut Tx,
    now: DateTime<Utc>,
    mut times: BTreeMap<String, i64>,
) -> Result<BTreeMap<String, i64>> {
    let rows = sqlx::query!(
        r#"SELECT chain_id AS "chain!", head_time AS "time!" FROM chain.v_chains WHERE head_time > $1"#,
        now
    )
    .fetch_all(tx.conn())
    .await?;
    times.retain(|_, time| *time > now.timestamp_micros());
    for row in rows {
        let time = times.entry(row.chain.to_string()).or_default();
        *time = row.time.timestamp_micros().max(*time);
    }
    Ok(times)
}

/// What is known of an agent's current URI and of the document found there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metadata {
    /// The agent URI; `None` where it is too long to keep.
    pub agent_uri: Option<String>,
    /// Its sha2-256.
    pub uri_sha256: String,
    /// `none`, `pending`, `fetched`, `nonconformant`, `malformed`, `unavailable`, `too_large`,
    /// `blocked` or `unsupported`.
    pub state: String,
    /// `verified`, `unverified` or `mismatch`.
    pub verification: Option<String>,
    /// Version in force.
    pub version: Option<i32>,
    /// CID of the bytes.
    pub cid: Option<String>,
    /// sha2-256 of the bytes.
    pub sha256: Option<String>,
    /// Their number.
    pub size: Option<i64>,
    /// When it was judged.
    pub judged_at: Option<DateTime<Utc>>,
    /// Last attempt.
    pub checked_at: Option<DateTime<Utc>>,
    /// Next attempt, where one is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// What had to be bent or left out.
    pub warnings: Value,
    /// The document.
    pub document: Option<Value>,
}

/// The metadata of an agent; `None` where it has no token or its token never had a URI.
pub async fn of_agent(db: &Db, agent: uuid::Uuid) -> Result<Option<Metadata>> {
    let row = sqlx::query!(
        r#"SELECT u.uri AS "uri?", t.uri_hash AS "hash!", coalesce(d.state, u.state) AS "state!",
                  coalesce(d.verification, u.verification) AS verification,
                  d.version AS "version?", d.cid, d.sha256, d.size AS "size?",
                  d.judged_at AS "judged_at?", u.checked_at, u.next_attempt_at, u.last_error,
                  coalesce(d.warnings, '[]') AS "warnings!", d.raw
             FROM identity.tokens t
             JOIN identity.uris u ON u.hash = t.uri_hash
             LEFT JOIN identity.documents d
               ON d.uri_hash = t.uri_hash AND d.version = t.document_version
            WHERE t.agent_id = $1"#,
        agent
    )
    .fetch_optional(db.pool())
    .await?;
    Ok(row.map(|row| Metadata {
        agent_uri: row.uri,
        uri_sha256: hex::encode(&row.hash),
        state: row.state,
        verification: row.verification,
        version: row.version,
        cid: row.cid,
        sha256: row.sha256.map(hex::encode),
        size: row.size,
        judged_at: row.judged_at,
        checked_at: row.checked_at,
        next_attempt_at: row.next_attempt_at,
        error: row.last_error,
        warnings: row.warnings,
        document: row.raw,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(state: &str, verification: Option<&str>, attempts: i32) -> Before {
        Before {
            state: state.to_owned(),
            verification: verification.map(str::to_owned),
            attempts,
        }
    }

    fn judged(state: &'static str, verification: &'static str) -> Judged {
        Judged {
            state,
            verification,
            sha256: None,
            cid: None,
            size: 0,
            raw: None,
            whole: BTreeMap::new(),
            warnings: json!([]),
        }
    }

    #[test]
    fn that_a_file_is_bad_is_news_once_and_so_is_that_it_is_not_any_more() {
        let new = || before("pending", None, 0);
        let failing = |state: &str| before(state, Some("verified"), 3);
        let wrong = || before("unavailable", Some("mismatch"), 1);
        for (before, judged, news) in [
            (new(), judged("fetched", "verified"), None),
            (new(), judged("nonconformant", "unverified"), None),
            (new(), judged("malformed", "verified"), Some("malformed")),
            (new(), judged("too_large", "unverified"), Some("too_large")),
            (new(), judged("blocked", "unverified"), Some("blocked")),
            (new(), judged("fetched", "mismatch"), Some("mismatch")),
            // There again, or found out to be something else.
            (
                failing("unavailable"),
                judged("fetched", "verified"),
                Some("fetched"),
            ),
            (
                failing("fetched"),
                judged("fetched", "verified"),
                Some("fetched"),
            ),
            (
                failing("unavailable"),
                judged("unsupported", "unverified"),
                Some("unsupported"),
            ),
            (wrong(), judged("fetched", "verified"), Some("fetched")),
            (wrong(), judged("fetched", "mismatch"), None),
            (wrong(), judged("malformed", "verified"), Some("malformed")),
            // Nothing new.
            (
                before("malformed", Some("verified"), 0),
                judged("malformed", "verified"),
                None,
            ),
            (
                before("fetched", Some("verified"), 0),
                judged("fetched", "verified"),
                None,
            ),
            // A page that was one file and is none any more.
            (
                before("fetched", Some("unverified"), 0),
                judged("too_large", "unverified"),
                Some("too_large"),
            ),
        ] {
            assert_eq!(before.news(&judged), news, "{before:?} {judged:?}");
        }
    }
}
