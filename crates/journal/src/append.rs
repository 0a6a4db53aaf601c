//! Appending, the only insert into `journal.entries`.
//!
//! It happens in the transaction of the rows that it tells of. Entries of one agent form a chain by
//! `prev`; the caller holds the agent's lock (`identity.subjects`), so the chain's end stands still. Entries
//! that speak of no agent form one chain of their own, whose lock is taken here and held until the commit.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use kernel::AgentId;
use store::Tx;
use uuid::Uuid;

use crate::{
    change::Change,
    entry::{Entry, EntryKind},
    error::{Error, Result, violated},
    split::split,
};

/// Key of the transaction-level advisory lock on the chain without agent ("chancery", read as a number).
/// Journal rows cannot be locked: that needs the right to UPDATE, which nobody has there.
const CHAIN_LOCK: i64 = 0x6368_616e_6365_7279;

/// An entry to append; time and chain are added here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// What it is about.
    pub kind: EntryKind,
    /// Whom; `None` exactly in incidents and acts.
    pub agent: Option<AgentId>,
    /// The changes, in fold order.
    pub changes: Vec<Change>,
    /// In a retraction, the CID that said each of `changes`; empty otherwise.
    pub said: Vec<String>,
}

impl NewEntry {
    /// Changes of an agent.
    pub fn agent(agent: AgentId, changes: Vec<Change>) -> Self {
        Self {
            kind: EntryKind::Agent,
            agent: Some(agent),
            changes,
            said: Vec::new(),
        }
    }

    /// An incident, with its particulars.
    pub fn incident(particulars: Vec<Change>) -> Self {
        Self {
            kind: EntryKind::Incident,
            agent: None,
            changes: particulars,
            said: Vec::new(),
        }
    }

    /// An act that changes no agent, with its particulars.
    pub fn act(particulars: Vec<Change>) -> Self {
        Self {
            kind: EntryKind::Act,
            agent: None,
            changes: particulars,
            said: Vec::new(),
        }
    }
}

/// An entry that was appended, queued until the next seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Order of appending.
    pub seq: i64,
    /// Its id.
    pub cid: String,
}

/// Appends entries in their order, splitting those that are too large for one. The answer has an item for
/// each entry that was written, so more than were given where one was split.
///
/// Errors with [`Error::Clash`] (kind `Unavailable`: repeat the transaction) where somebody without
/// the agent's lock appended to the same chain at the same time.
pub async fn append(tx: &mut Tx, entries: Vec<NewEntry>) -> Result<Vec<Appended>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut ends = chain_ends(tx, &entries).await?;
    let mut rows = Rows {
        time: tx.now(),
        ..Rows::default()
    };
    for entry in entries {
        rows.add(entry, &mut ends)?;
    }
    rows.insert(tx).await
}

/// The last CID of each chain that `entries` go on with.
async fn chain_ends(tx: &mut Tx, entries: &[NewEntry]) -> Result<HashMap<Option<AgentId>, String>> {
    let mut agents: Vec<Uuid> = entries
        .iter()
        .filter_map(|entry| entry.agent)
        .map(|agent| agent.0)
        .collect();
    agents.sort_unstable();
    agents.dedup();
    let found = sqlx::query!(
        r#"SELECT a.id AS "agent!", e.cid
             FROM unnest($1::uuid[]) AS a(id)
            CROSS JOIN LATERAL (SELECT cid FROM journal.entries WHERE agent_id = a.id
                                 ORDER BY seq DESC LIMIT 1) AS e"#,
        &agents,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut ends: HashMap<_, _> = found
        .into_iter()
        .map(|row| (Some(AgentId(row.agent)), row.cid))
        .collect();
    if entries.iter().any(|entry| entry.agent.is_none()) {
        sqlx::query!("SELECT pg_advisory_xact_lock($1)", CHAIN_LOCK)
            .execute(tx.conn())
            .await?;
        let end = sqlx::query_scalar!(
            "SELECT cid FROM journal.entries WHERE agent_id IS NULL ORDER BY seq DESC LIMIT 1"
        )
        .fetch_optional(tx.conn())
        .await?;
        ends.extend(end.map(|cid| (None, cid)));
    }
    Ok(ends)
}

/// Rows to insert, by column.
#[derive(Default)]
struct Rows {
    time: DateTime<Utc>,
    cids: Vec<String>,
    kinds: Vec<String>,
    agents: Vec<Option<Uuid>>,
    prevs: Vec<Option<String>>,
    bodies: Vec<Vec<u8>>,
    /// For each digest, the place of its entry in the columns above.
    said_by: Vec<usize>,
    digests: Vec<Vec<u8>>,
}

impl Rows {
    fn add(&mut self, new: NewEntry, ends: &mut HashMap<Option<AgentId>, String>) -> Result<()> {
        let prev = ends.remove(&new.agent);
        let NewEntry {
            kind,
            agent,
            changes,
            said,
        } = new;
        let entry = Entry {
            kind,
            agent,
            time: self.time,
            changes,
            said,
            prev,
        };
        for (entry, body) in split(entry)? {
            ends.insert(agent, self.push(entry, body)?);
        }
        Ok(())
    }

    /// Takes an entry and gives its CID.
    fn push(&mut self, entry: Entry, body: Vec<u8>) -> Result<String> {
        let cid = Entry::cid_of(&body).to_string();
        if let Some(agent) = entry.agent {
            for change in &entry.changes {
                self.said_by.push(self.cids.len());
                self.digests.push(change.digest(agent)?.to_vec());
            }
        }
        self.cids.push(cid.clone());
        self.kinds.push(entry.kind.as_str().to_owned());
        self.agents.push(entry.agent.map(|agent| agent.0));
        self.prevs.push(entry.prev);
        self.bodies.push(body);
        Ok(cid)
    }

    async fn insert(self, tx: &mut Tx) -> Result<Vec<Appended>> {
        // Identity values are given in the order of the sorted rows.
        let inserted = sqlx::query!(
            r#"INSERT INTO journal.entries (cid, kind, agent_id, prev, appended_at, body)
               SELECT cid, kind, agent_id, prev, $6, body
                 FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::bytea[])
                      WITH ORDINALITY AS new(cid, kind, agent_id, prev, body, place)
                ORDER BY place
               RETURNING seq, cid"#,
            &self.cids,
            &self.kinds,
            &self.agents as &[Option<Uuid>],
            &self.prevs as &[Option<String>],
            &self.bodies,
            self.time,
        )
        .fetch_all(tx.conn())
        .await
        .map_err(|error| match violated(&error) {
            Some("entries_chain_unique" | "entries_cid_unique") => Error::Clash,
            _ => error.into(),
        })?;
        let seqs: HashMap<&str, i64> = inserted
            .iter()
            .map(|row| (row.cid.as_str(), row.seq))
            .collect();
        let appended: Option<Vec<Appended>> = self
            .cids
            .iter()
            .map(|cid| {
                Some(Appended {
                    seq: *seqs.get(cid.as_str())?,
                    cid: cid.clone(),
                })
            })
            .collect();
        let appended =
            appended.ok_or_else(|| Error::Damaged("an inserted entry has no row".to_owned()))?;
        let digest_seqs: Vec<i64> = self.said_by.iter().map(|row| appended[*row].seq).collect();
        sqlx::query!(
            "INSERT INTO journal.said (entry_seq, agent_id, sign, digests)
             SELECT d.seq, e.agent_id, CASE e.kind WHEN 'retracted' THEN -1 ELSE 1 END, d.digests
               FROM (SELECT seq, array_agg(digest ORDER BY place) AS digests
                       FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS said(seq, digest, place)
                      GROUP BY seq) AS d
               JOIN unnest($3::bigint[], $4::uuid[], $5::text[]) AS e(seq, agent_id, kind) USING (seq)",
            &digest_seqs,
            &self.digests,
            &appended.iter().map(|entry| entry.seq).collect::<Vec<_>>(),
            &self.agents as &[Option<Uuid>],
            &self.kinds,
        )
        .execute(tx.conn())
        .await?;
        Ok(appended)
    }
}

#[cfg(test)]
mod tests;
