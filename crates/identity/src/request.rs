//! Requests that carry an `Idempotency-Key`: the same one again, by the same signer, is answered as
//! the first one was, and done once.

use chrono::{DateTime, TimeDelta, Utc};
use store::{Cause, Db, Outcome, Tx};

use crate::{Error, Result};

/// How long an answer is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// A request without an answer is given up after this time: its process died.
const UNDER_WAY: TimeDelta = TimeDelta::minutes(1);

/// A request by its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who signed.
    pub principal: String,
    /// The key, 1 to 255 characters.
    pub key: String,
    /// sha2-256 of the body.
    pub body: [u8; 32],
}

/// What is known of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing: it is to be done now, and [`finish`] or [`Request::give_up`] called.
    New,
    /// It was done.
    Done {
        /// The status of the answer.
        status: u16,
        /// Its body.
        answer: Vec<u8>,
    },
    /// Somebody does it at the moment.
    UnderWay,
    /// The key was used for another body.
    OtherBody,
}

impl Request {
    /// What is known of the request, where anything is.
    pub async fn find(&self, db: &Db) -> Result<Option<Known>> {
        let since = db.clock().now() - KEPT;
        let row = sqlx::query!(
            "SELECT body, status, answer FROM identity.requests
              WHERE principal = $1 AND key = $2 AND begun_at >= $3 AND status IS NOT NULL",
            self.principal,
            self.key,
            since,
        )
        .fetch_optional(db.pool())
        .await?;
        Ok(row.map(|row| self.known(&row.body, row.status, row.answer)))
    }

    fn known(&self, body: &[u8], status: Option<i16>, answer: Option<Vec<u8>>) -> Known {
        if body != self.body {
            return Known::OtherBody;
        }
        match status.and_then(|status| u16::try_from(status).ok()) {
            Some(status) => Known::Done {
                status,
                answer: answer.unwrap_or_default(),
            },
            None => Known::UnderWay,
        }
    }

    /// Notes that the request is done now, unless it is known.
    pub async fn start(&self, tx: &mut Tx) -> Result<Known> {
        let now = tx.now();
        let (old, dead) = (now - KEPT, now - UNDER_WAY);
        let begun = sqlx::query_scalar!(
            r#"INSERT INTO identity.requests AS r (principal, key, body, begun_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (principal, key) DO UPDATE
                  SET body = EXCLUDED.body, begun_at = EXCLUDED.begun_at, status = NULL, answer = NULL
                WHERE r.begun_at < $5 OR (r.status IS NULL AND r.begun_at < $6 AND r.body = EXCLUDED.body)
               RETURNING true AS "begun!""#,
            self.principal,
            self.key,
            &self.body[..],
            now,
            old,
            dead,
        )
        .fetch_optional(tx.conn())
        .await?;
        if begun.is_some() {
            return Ok(Known::New);
        }
        let row = sqlx::query!(
            "SELECT body, status, answer FROM identity.requests WHERE principal = $1 AND key = $2",
            self.principal,
            self.key,
        )
        .fetch_optional(tx.conn())
        .await?;
        // It was given up between the two statements: whoever tries again may begin.
        let Some(row) = row else {
            return Ok(Known::UnderWay);
        };
        Ok(self.known(&row.body, row.status, row.answer))
    }

    /// Forgets the request: it failed in a way that another try may not.
    pub async fn give_up(&self, tx: &mut Tx) -> Result<()> {
        sqlx::query!(
            "DELETE FROM identity.requests WHERE principal = $1 AND key = $2 AND status IS NULL",
            self.principal,
            self.key,
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}

/// The answer to a request that is done.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Which.
    pub request: &'a Request,
    /// The status of the answer.
    pub status: u16,
    /// Its body.
    pub body: Vec<u8>,
}

/// Keeps answers, in the transaction that does what was asked: a crash leaves both or neither. One that was given up
/// meanwhile is kept as well, unless its key has another body by now.
pub async fn finish(tx: &mut Tx, answered: &[Answered<'_>]) -> Result<()> {
    if answered.is_empty() {
        return Ok(());
    }
    let (mut principals, mut keys, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    let (mut statuses, mut answers) = (Vec::new(), Vec::new());
    for one in answered {
        let no_status = |_| Error::Invalid(format!("{} is no status", one.status));
        statuses.push(i16::try_from(one.status).map_err(no_status)?);
        principals.push(one.request.principal.as_str());
        keys.push(one.request.key.as_str());
        bodies.push(one.request.body.as_slice());
        answers.push(one.body.as_slice());
    }
    let now = tx.now();
    // In one order, so that two transactions never wait for each other.
    sqlx::query!(
        "INSERT INTO identity.requests AS r (principal, key, body, begun_at, status, answer)
         SELECT DISTINCT ON (principal, key) principal, key, body, $4::timestamptz, status, answer
           FROM unnest($1::text[], $2::text[], $3::bytea[], $5::smallint[], $6::bytea[])
                AS a(principal, key, body, status, answer)
          ORDER BY principal, key
         ON CONFLICT (principal, key) DO UPDATE SET status = EXCLUDED.status, answer = EXCLUDED.answer
          WHERE r.body = EXCLUDED.body",
        &principals as &[&str],
        &keys as &[&str],
        &bodies as &[&[u8]],
        now,
        &statuses,
        &answers as &[&[u8]],
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Forgets old answers.
pub async fn expire(db: &Db) -> Result<Outcome> {
    let mut tx = db.begin(Cause::Job("expire")).await?;
    let before: DateTime<Utc> = tx.now() - KEPT;
    sqlx::query!("DELETE FROM identity.requests WHERE begun_at < $1", before)
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(Outcome::Idle)
}
