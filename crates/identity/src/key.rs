//! Keys of agents: one row per Ed25519 key ever used, never deleted. A key that was rotated away can
//! never found an agent, or be rotated to (`model.md` §1).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use did::methods::key::PublicKey;
use store::{Db, Tx};
use uuid::Uuid;

use crate::Result;

/// Whether an agent had this key and has another one now: whoever still holds it speaks for nobody. A key that no agent
/// ever had is none of these.
pub async fn is_former(db: &Db, key: &PublicKey) -> Result<bool> {
    let former = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM identity.keys WHERE public_key = $1 AND until IS NOT NULL) AS "former!""#,
        key.to_bytes(),
    );
    Ok(former.fetch_one(db.pool()).await?)
}

/// Whose a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyRow {
    /// The agent.
    pub agent: Uuid,
    /// Since when it is not the agent's any more.
    pub until: Option<DateTime<Utc>>,
}

/// What is known of these keys, by their bytes.
pub(crate) async fn of(tx: &mut Tx, keys: &[&PublicKey]) -> Result<HashMap<Vec<u8>, KeyRow>> {
    let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.to_bytes()).collect();
    let rows = sqlx::query!(
        "SELECT public_key, agent_id, until FROM identity.keys WHERE public_key = ANY($1)",
        &keys
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let (agent, until) = (row.agent_id, row.until);
            (row.public_key, KeyRow { agent, until })
        })
        .collect())
}

/// A key that an agent gets.
#[derive(Debug, Clone)]
pub(crate) struct NewKey {
    /// Whose.
    pub agent: Uuid,
    /// Its bytes.
    pub key: Vec<u8>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Whether it takes the place of another one. The first key of an agent does not, and most keys are that.
    pub replaces: bool,
}

/// Gives agents their new keys, and ends those that they replace. The caller holds the agents'
/// locks and saw none of the keys; `false`: another transaction gave one of them away meanwhile.
pub(crate) async fn put(tx: &mut Tx, new: &[NewKey]) -> Result<bool> {
    if new.is_empty() {
        return Ok(true);
    }
    end(tx, new).await?;
    let agents: Vec<Uuid> = new.iter().map(|new| new.agent).collect();
    let keys: Vec<&[u8]> = new.iter().map(|new| new.key.as_slice()).collect();
    let since: Vec<DateTime<Utc>> = new.iter().map(|new| new.since).collect();
    let put = sqlx::query!(
        "INSERT INTO identity.keys (public_key, agent_id, since)
         SELECT * FROM unnest($1::bytea[], $2::uuid[], $3::timestamptz[]) ORDER BY 1
         ON CONFLICT DO NOTHING",
        &keys as &[&[u8]],
        &agents,
        &since,
    )
    .execute(tx.conn())
    .await?;
    Ok(put.rows_affected() == new.len() as u64)
}

/// Ends the keys that new ones replace.
async fn end(tx: &mut Tx, new: &[NewKey]) -> Result<()> {
    let replacing = new.iter().filter(|new| new.replaces);
    let (agents, since): (Vec<Uuid>, Vec<DateTime<Utc>>) =
        replacing.map(|new| (new.agent, new.since)).unzip();
    if agents.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE identity.keys k SET until = n.since
           FROM unnest($1::uuid[], $2::timestamptz[]) AS n(agent, since)
          WHERE k.agent_id = n.agent AND k.until IS NULL",
        &agents,
        &since,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
