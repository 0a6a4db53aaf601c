//! The statements of an agent, as they were signed.

use chrono::{DateTime, Utc};
use kernel::{Limit, Page};
use serde::Serialize;
use serde_json::Value;
use store::Db;
use uuid::Uuid;

use super::{Statement, facts::signature_shown};
use crate::{Error, Result};

/// A statement that was recorded, with everything that verifies it again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Its name among causes is `statement:<serial>`.
    pub serial: i64,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// What was signed.
    pub statement: Option<Statement>,
    /// By whom, and how accounts' signatures were checked: `{by, signature, checked?}`.
    pub signatures: Vec<Value>,
    /// The mint that an owner's statement about a token rests on.
    pub founding: Option<String>,
    /// The transfer that made him its owner.
    pub transfer: Option<String>,
}

/// The statements of an agent, newest first; `cursor` is one that an earlier page gave.
pub async fn list(
    db: &Db,
    agent: Uuid,
    cursor: Option<&str>,
    limit: Limit,
) -> Result<Page<Listed>> {
    let before: i64 = match cursor {
        None => i64::MAX,
        Some(cursor) => cursor
            .parse()
            .map_err(|_| Error::Invalid("this cursor is none that a page gave".to_owned()))?,
    };
    let rows = sqlx::query!(
        "SELECT serial, at, bytes, signer, signature, cosigner, cosignature, checked, founding, transfer
           FROM identity.statements WHERE agent_id = $1 AND serial < $2 ORDER BY serial DESC LIMIT $3",
        agent,
        before,
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    let listed = rows.into_iter().map(|row| {
        let mut signatures = vec![signature_shown(&row.signer, &row.signature, &row.checked)];
        if let Some((by, signature)) = row.cosigner.zip(row.cosignature) {
            signatures.push(signature_shown(&by, &signature, &row.checked));
        }
        Listed {
            serial: row.serial,
            at: row.at,
            statement: Statement::from_key_bytes(&row.bytes),
            signatures,
            founding: row.founding,
            transfer: row.transfer,
        }
    });
    Ok(Page::from_lookahead(
        listed.collect(),
        limit,
        |listed: &Listed| listed.serial.to_string(),
    ))
}

/// The sequence of the agent's last statement; 0: there is none. Who prepares one takes the next.
pub async fn last_sequence(db: &Db, agent: Uuid) -> Result<i64> {
    let last = sqlx::query_scalar!(
        r#"SELECT coalesce(max(sequence), 0) AS "last!" FROM identity.statements WHERE agent_id = $1"#,
        agent
    );
    Ok(last.fetch_one(db.pool()).await?)
}
