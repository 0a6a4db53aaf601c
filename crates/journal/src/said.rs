//! What the journal says: the changes of an agent's entries, net of retractions. The last word counts: a
//! change is said where the last entry that mentions it does not retract it.
//!
//! `journal.said` holds only digests; what they stand for is decoded from the entries. The set of all
//! of them is what two instances of one chain must agree about, however each came to say it.

use std::collections::{HashMap, HashSet};

use kernel::AgentId;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use store::{Db, Snapshot, Tx};
use uuid::Uuid;

use crate::{
    body,
    change::Change,
    entry::Entry,
    error::{Error, Result},
};

/// A change that is said and not retracted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidChange {
    /// Digest of (agent, column, value, cause).
    pub digest: [u8; 32],
    /// The change.
    pub change: Change,
    /// The entry that said it last.
    pub cid: String,
}

/// A digest over everything that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetDigest {
    /// SHA-256 over the sorted digests of all changes that are said and not retracted.
    pub digest: [u8; 32],
    /// How many they are.
    pub changes: u64,
}

/// What the entries of each agent say, net of retractions, in the order in which it was said. Agents of
/// which nothing is said are not in the answer.
pub async fn net(db: &Db, agents: &[AgentId]) -> Result<HashMap<AgentId, Vec<SaidChange>>> {
    let mut conn = db.pool().acquire().await?;
    let digests = net_digests(&mut conn, agents).await?;
    let wanted: Vec<(AgentId, [u8; 32], i64)> = digests
        .iter()
        .flat_map(|(agent, said)| said.iter().map(|(digest, seq)| (*agent, *digest, *seq)))
        .collect();
    let rows = rows(&mut conn, &wanted).await?;
    drop(conn);
    let mut wanted = Wanted::new(&wanted);
    let mut said: HashMap<AgentId, Vec<SaidChange>> = HashMap::new();
    for row in rows {
        let body = body::of(db.archive(), &row.cid, row.body).await?;
        let (agent, digests) = wanted.of(row.seq)?;
        let changes = decode(&row.cid, &body, agent, digests)?;
        said.entry(agent).or_default().extend(changes);
    }
    wanted.end()?;
    Ok(said)
}

/// What entries say, as far as they can be read.
#[derive(Default)]
pub(crate) struct Readable {
    /// The changes, in their order.
    pub said: HashMap<AgentId, Vec<SaidChange>>,
    /// Agents with an entry that cannot be read now, each with the reason.
    pub unreadable: HashMap<AgentId, Error>,
}

/// The changes behind `wanted` (agent, digest, entry), in a transaction: it never waits for a network. Entries that are
/// archived and not here are fetched for the next try.
pub(crate) async fn of_digests(
    tx: &mut Tx,
    wanted: &[(AgentId, [u8; 32], i64)],
) -> Result<Readable> {
    let archive = tx.archive().clone();
    let rows = rows(tx.conn(), wanted).await?;
    let mut wanted = Wanted::new(wanted);
    let mut readable = Readable::default();
    for row in rows {
        let (agent, digests) = wanted.of(row.seq)?;
        let changes = match body::here(&archive, &row.cid, row.body).await {
            Ok(body) => decode(&row.cid, &body, agent, digests),
            Err(error) => Err(error),
        };
        match changes {
            Ok(changes) => readable.said.entry(agent).or_default().extend(changes),
            Err(error) => _ = readable.unreadable.insert(agent, error),
        }
    }
    wanted.end()?;
    Ok(readable)
}

/// Order-independent digest over the set of (agent, change) that is said (`sync verify --digest`).
pub async fn digest_set(db: &Db) -> Result<SetDigest> {
    digest_set_in(&mut db.snapshot().await?).await
}

/// The same, of the moment that a snapshot shows.
pub async fn digest_set_in(snapshot: &mut Snapshot) -> Result<SetDigest> {
    use futures::TryStreamExt as _;
    let mut rows = sqlx::query_scalar!(
        r#"SELECT digest AS "digest!" FROM journal.said, unnest(digests) AS digest
            GROUP BY digest
           HAVING max(entry_seq) FILTER (WHERE sign > 0) = max(entry_seq) ORDER BY digest"#
    )
    .fetch(snapshot.conn());
    let (mut hasher, mut changes) = (Sha256::new(), 0);
    while let Some(digest) = rows.try_next().await? {
        hasher.update(digest);
        changes += 1;
    }
    Ok(SetDigest {
        digest: hasher.finalize().into(),
        changes,
    })
}

/// For each agent, the digests that are said and not retracted, each with the entry that said it last.
pub(crate) async fn net_digests(
    conn: &mut PgConnection,
    agents: &[AgentId],
) -> Result<HashMap<AgentId, HashMap<[u8; 32], i64>>> {
    let ids: Vec<Uuid> = agents.iter().map(|agent| agent.0).collect();
    let rows = sqlx::query!(
        r#"SELECT e.agent_id AS "agent_id!", d.digest AS "digest!", max(e.seq) AS "last!"
             FROM journal.entries e
             JOIN journal.said s ON s.entry_seq = e.seq
            CROSS JOIN LATERAL unnest(s.digests) AS d(digest)
            WHERE e.agent_id = ANY($1)
            GROUP BY e.agent_id, d.digest
           HAVING max(e.seq) FILTER (WHERE s.sign > 0) = max(e.seq)"#,
        &ids,
    )
    .fetch_all(conn)
    .await?;
    let mut net: HashMap<AgentId, HashMap<[u8; 32], i64>> = HashMap::new();
    for row in rows {
        let digest = row.digest.try_into();
        let digest = digest.map_err(|_| Error::Damaged("a digest has not 32 bytes".to_owned()))?;
        net.entry(AgentId(row.agent_id))
            .or_default()
            .insert(digest, row.last);
    }
    Ok(net)
}

struct Row {
    seq: i64,
    cid: String,
    body: Option<Vec<u8>>,
}

/// The entries that `wanted` names, in their order.
async fn rows(conn: &mut PgConnection, wanted: &[(AgentId, [u8; 32], i64)]) -> Result<Vec<Row>> {
    let mut seqs: Vec<i64> = wanted.iter().map(|(_, _, seq)| *seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    Ok(sqlx::query_as!(
        Row,
        "SELECT seq, cid, body FROM journal.entries WHERE seq = ANY($1) ORDER BY seq",
        &seqs
    )
    .fetch_all(conn)
    .await?)
}

/// What is wanted of each entry: its agent, and the digests of changes.
struct Wanted(HashMap<i64, (AgentId, HashSet<[u8; 32]>)>);

impl Wanted {
    fn new(wanted: &[(AgentId, [u8; 32], i64)]) -> Self {
        let mut entries = HashMap::new();
        for (agent, digest, seq) in wanted {
            let (_, digests) = entries
                .entry(*seq)
                .or_insert_with(|| (*agent, HashSet::new()));
            digests.insert(*digest);
        }
        Self(entries)
    }

    fn of(&mut self, seq: i64) -> Result<(AgentId, HashSet<[u8; 32]>)> {
        let wanted = self.0.remove(&seq);
        wanted.ok_or_else(|| Error::Damaged(format!("entry number {seq} was not asked for")))
    }

    /// All were there.
    fn end(self) -> Result<()> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(seq) => Err(Error::Damaged(format!(
                "entry number {seq} is in journal.said and nowhere else"
            ))),
        }
    }
}

/// Reads these changes out of an agent's entry, in its order.
fn decode(
    cid: &str,
    body: &[u8],
    agent: AgentId,
    mut digests: HashSet<[u8; 32]>,
) -> Result<Vec<SaidChange>> {
    let damaged = |what: &str| Error::Damaged(format!("entry {cid}: {what}"));
    let entry = Entry::parse(body).map_err(|error| damaged(&error.to_string()))?;
    if entry.agent != Some(agent) {
        return Err(damaged("it names another agent"));
    }
    let mut said = Vec::new();
    for change in entry.changes {
        let digest = change.digest(agent)?;
        if digests.remove(&digest) {
            let cid = cid.to_owned();
            said.push(SaidChange {
                digest,
                change,
                cid,
            });
        }
    }
    if digests.is_empty() {
        Ok(said)
    } else {
        Err(damaged("it does not say what journal.said has"))
    }
}
