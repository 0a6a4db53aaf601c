//! Appending, the only insert into `journal.entries`: a COPY, because a backfill appends tens of thousands.
//!
//! It happens in the transaction of the rows that it tells of. Entries of one agent form a chain by
//! `prev`; the caller holds the agent's lock (`identity.subjects`), so the chain's end stands still. Entries
//! that speak of no agent form one chain of their own, whose lock is taken here and held until the commit.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use kernel::AgentId;
use store::{
    Tx,
    copy::{Later, Rows},
};
use uuid::Uuid;

use crate::{
    change::Change,
    draft::drafts,
    entry::{Entry, EntryError, EntryKind},
    error::{Error, Result, violated},
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
    let mut lines = Lines::default();
    for entry in entries {
        let (agent, prev) = (entry.agent, ends.remove(&entry.agent));
        lines.add(tx.now(), entry, prev)?;
        ends.extend(lines.cids.last().map(|cid| (agent, cid.clone())));
    }
    let seqs = lines.insert(tx).await?;
    let cids = std::mem::take(&mut lines.cids).into_iter();
    let appended = seqs.into_iter().zip(cids);
    Ok(appended.map(|(seq, cid)| Appended { seq, cid }).collect())
}

/// First entries of agents of which the journal says nothing yet, made without the database.
#[derive(Debug, Default)]
pub struct First(Lines);

impl First {
    /// Adds what an agent's first entry says at `time`, which is that of the transaction that appends it. What
    /// stands in `changes` twice is said once.
    pub fn add(
        &mut self,
        time: DateTime<Utc>,
        agent: AgentId,
        mut changes: Vec<Change>,
    ) -> Result<(), EntryError> {
        say_once(&mut changes);
        if changes.is_empty() {
            return Ok(());
        }
        self.0.add(time, NewEntry::agent(agent, changes), None)
    }

    /// Appends the entries and leaves none here; gives how many they were. Errors with [`Error::Clash`] where the
    /// journal does say something of one of the agents.
    pub async fn append(&mut self, tx: &mut Tx) -> Result<usize> {
        self.0.cids.clear();
        Ok(self.0.insert(tx).await?.len())
    }
}

/// Whether anything was ever appended.
pub async fn any(tx: &mut Tx) -> Result<bool> {
    let any = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM journal.entries) AS "any!""#);
    Ok(any.fetch_one(tx.conn()).await?)
}

/// Of which of `agents` the journal speaks.
pub async fn among(tx: &mut Tx, agents: &[Uuid]) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM unnest($1::uuid[]) AS a(id)
            WHERE EXISTS (SELECT FROM journal.entries WHERE agent_id = a.id)"#,
        agents
    )
    .fetch_all(tx.conn())
    .await?)
}

/// The last entry of each of `agents` that this transaction appended, by its CID.
pub async fn appended_now(tx: &mut Tx, agents: &[AgentId]) -> Result<HashMap<AgentId, String>> {
    let ids: Vec<Uuid> = agents.iter().map(|agent| agent.0).collect();
    let now = tx.now();
    let found = sqlx::query!(
        r#"SELECT a.id AS "agent!", e.cid
             FROM unnest($1::uuid[]) AS a(id)
            CROSS JOIN LATERAL (SELECT cid, appended_at FROM journal.entries WHERE agent_id = a.id
                                 ORDER BY seq DESC LIMIT 1) AS e
            WHERE e.appended_at = $2"#,
        &ids,
        now,
    )
    .fetch_all(tx.conn())
    .await?;
    let cids = found.into_iter().map(|row| (AgentId(row.agent), row.cid));
    Ok(cids.collect())
}

/// Changes of one cause stand together, in whatever order facts are folded.
fn say_once(changes: &mut Vec<Change>) {
    let mut place = 0;
    while place < changes.len() {
        let (before, rest) = changes.split_at(place);
        let change = &rest[0];
        let same_cause = before.iter().rev();
        let said = same_cause
            .take_while(|other| other.cause == change.cause)
            .any(|other| (&other.column, &other.value) == (&change.column, &change.value));
        if said {
            changes.remove(place);
        } else {
            place += 1;
        }
    }
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

/// Entries as rows; their numbers are told when they are inserted.
#[derive(Debug)]
struct Lines {
    entries: Rows,
    said: Rows,
    /// Where each entry's number is told, among the entries and, if it speaks of an agent, in what is said.
    seqs: Vec<(Later, Option<Later>)>,
    cids: Vec<String>,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            entries: Rows::new(7),
            said: Rows::new(4),
            seqs: Vec::new(),
            cids: Vec::new(),
        }
    }
}

impl Lines {
    fn add(
        &mut self,
        time: DateTime<Utc>,
        new: NewEntry,
        prev: Option<String>,
    ) -> Result<(), EntryError> {
        let drafts = drafts(&Entry {
            kind: new.kind,
            agent: new.agent,
            time,
            changes: new.changes,
            said: new.said,
            prev,
        })?;
        for draft in drafts {
            let entry = self.entries.row().bigint_later();
            let agent = draft.agent.map(|agent| agent.0);
            self.entries
                .text(&draft.cid)
                .text(draft.kind.as_str())
                .maybe(agent, Rows::uuid)
                .maybe(draft.prev.as_deref(), Rows::text)
                .time(time)
                .bytea(&draft.body);
            let said = agent.map(|agent| {
                let sign = if draft.kind == EntryKind::Retracted {
                    -1
                } else {
                    1
                };
                let seq = self.said.row().bigint_later();
                let digests = draft.digests.iter().map(<[u8; 32]>::as_slice);
                self.said.uuid(agent).smallint(sign).bytea_array(digests);
                seq
            });
            self.seqs.push((entry, said));
            self.cids.push(draft.cid);
        }
        Ok(())
    }

    /// Inserts the entries, in their order, and what they say; gives their numbers.
    async fn insert(&mut self, tx: &mut Tx) -> Result<Vec<i64>> {
        if self.seqs.is_empty() {
            return Ok(Vec::new());
        }
        let numbers = numbers(tx, self.seqs.len()).await?;
        for ((entry, said), number) in self.seqs.drain(..).zip(&numbers) {
            self.entries.tell(entry, *number);
            if let Some(said) = said {
                self.said.tell(said, *number);
            }
        }
        let copied = self.entries.copy(
            tx,
            "COPY journal.entries (seq, cid, kind, agent_id, prev, appended_at, body) FROM STDIN (FORMAT binary)",
        );
        copied.await.map_err(|error| match violated(&error) {
            Some("entries_chain_unique" | "entries_cid_unique") => Error::Clash,
            _ => error.into(),
        })?;
        self.said
            .copy(
                tx,
                "COPY journal.said (entry_seq, agent_id, sign, digests) FROM STDIN (FORMAT binary)",
            )
            .await?;
        Ok(numbers)
    }
}

/// Takes the next numbers of the journal, ascending.
async fn numbers(tx: &mut Tx, count: usize) -> Result<Vec<i64>> {
    let mut seqs = sqlx::query_scalar!(
        r#"SELECT array_agg(nextval('journal.entries_seq_seq')) AS "seqs!" FROM generate_series(1, $1::bigint)"#,
        i64::try_from(count).unwrap_or(i64::MAX),
    )
    .fetch_one(tx.conn())
    .await?;
    seqs.sort_unstable();
    Ok(seqs)
}

#[cfg(test)]
mod tests;
