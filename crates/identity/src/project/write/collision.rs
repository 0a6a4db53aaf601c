//! Two agents that claim one DID: possible only off chain, where somebody restores an agent whose
//! name another one took.

use std::collections::{HashMap, HashSet};

use journal::{Change, NewEntry};
use serde_json::json;
use store::Tx;
use uuid::Uuid;

use super::{Folded, agent};
use crate::{Result, dirty};

/// Agents whose rows cannot be written now. Where the other one waits for the sweep, this one waits
/// too; otherwise people are told, and the step goes on.
pub(super) async fn set_apart(tx: &mut Tx, shown: &[&Folded]) -> Result<HashSet<Uuid>> {
    let mut dids: HashMap<&str, Uuid> = HashMap::new();
    let mut apart = HashSet::new();
    let mut told: Vec<(Uuid, String, Uuid)> = Vec::new();
    for one in shown.iter().filter(|one| one.subject.token.is_none()) {
        let (id, did) = (one.subject.id.0, agent::did(one));
        if let Some(other) = dids.get(did) {
            told.push((id, did.to_owned(), *other));
        } else {
            dids.insert(did, id);
        }
    }
    if dids.is_empty() {
        return Ok(apart);
    }
    let (names, ids): (Vec<&str>, Vec<Uuid>) = dids.into_iter().unzip();
    let batch: Vec<Uuid> = shown.iter().map(|one| one.subject.id.0).collect();
    let held = sqlx::query!(
        r#"SELECT w.id AS "id!", w.did AS "did!", o.id AS "other!",
                  EXISTS (SELECT FROM identity.dirty d WHERE d.agent_id = o.id) AS "waits!"
             FROM unnest($1::uuid[], $2::text[]) AS w(id, did)
             JOIN (SELECT id, did::text FROM identity.agents WHERE did = ANY($2)
                    UNION SELECT agent_id, value FROM identity.agent_identifiers
                    WHERE kind = 'did' AND standing = 'verified' AND value = ANY($2)) o
               ON o.did = w.did AND o.id <> ALL($3)"#,
        &ids,
        &names as &[&str],
        &batch,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut waiting = HashSet::new();
    for row in held {
        if row.waits {
            waiting.insert(row.id);
        } else {
            told.push((row.id, row.did, row.other));
        }
    }
    if !waiting.is_empty() {
        dirty::mark(tx, &waiting, true).await?;
    }
    apart.extend(waiting);
    apart.extend(told.iter().map(|(id, _, _)| *id));
    tell(tx, told).await?;
    Ok(apart)
}

async fn tell(tx: &mut Tx, told: Vec<(Uuid, String, Uuid)>) -> Result<()> {
    let now = tx.now();
    let entries = told.into_iter().map(|(agent, did, other)| {
        tracing::warn!(%agent, did, held_by = %other, "{did} belongs to another agent: {agent} has no rows");
        NewEntry::incident(vec![Change {
            column: "did_taken".to_owned(),
            value: json!({ "did": did, "held_by": other.to_string() }),
            cause: format!("agent:{agent}"),
            time: now,
        }])
    });
    journal::append(tx, entries.collect()).await?;
    Ok(())
}
