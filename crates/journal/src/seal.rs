//! The sealer gives committed entries their place in the tree and signs the new head.
//!
//! One leads at a time, by a lease; should two believe that they lead, unique constraints let one
//! of them commit (leaf index, the size that a checkpoint follows), so the log cannot fork. Leaves, full
//! tiles and checkpoint are one transaction: a crash leaves all of them or none, and a signature
//! that was not committed was shown to nobody.
//!
//! Sequence numbers are given before the commit, so a late commit can bring a *lower* one than what is sealed
//! already. It is found by its transaction: at each scan, every transaction below the snapshot's xmin
//! has ended, so once all entries seen are sealed, only entries from that xmin on can appear. The
//! first scan of a process looks at everything.

mod rows;

use std::time::Duration;

use sqlx::PgConnection;
use store::{Cause, Db, Outcome, Tx, lease, lease::Lease};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    edge::Edge,
    error::{Error, Result},
    head::{Head, head_on},
    identity,
    key::LogKey,
    log::{self, sql},
    tree::{Hash, leaf_hash},
    vkey::VerifierKey,
};

/// Most entries of one seal.
pub const BATCH: usize = 4_096;

/// Name of the lease.
const LEASE: &str = "journal.seal";
/// How long a dead sealer keeps the others waiting.
const LEASE_TTL: Duration = Duration::from_secs(10);

/// What one seal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// All that is committed is sealed.
    Nothing,
    /// Entries were sealed.
    Batch {
        /// How many.
        entries: usize,
        /// Size of the log now.
        size: u64,
        /// Whether there may be more at once.
        more: bool,
    },
}

/// Seals one journal by one key.
#[derive(Debug)]
pub struct Sealer {
    key: LogKey,
    vkey: VerifierKey,
    known: Mutex<Known>,
}

/// What the last scan taught; a new process learns it anew.
#[derive(Debug, Default)]
struct Known {
    /// Every entry of an earlier transaction is sealed, or will never be.
    watermark: Option<String>,
    edge: Option<Edge>,
}

struct Unsealed {
    seq: i64,
    body: Vec<u8>,
}

impl Sealer {
    /// A sealer under the configured origin, else under the key's default one.
    pub fn new(key: LogKey, origin: Option<&str>) -> Result<Self> {
        let vkey = identity::verifier(&key, origin)?;
        Ok(Self {
            key,
            vkey,
            known: Mutex::default(),
        })
    }

    /// What verifies its signatures.
    pub fn vkey(&self) -> &VerifierKey {
        &self.vkey
    }

    /// One round of a `store::Worker`: seals a batch where `holder` leads or can lead.
    pub async fn round(&self, db: &Db, holder: Uuid) -> Result<Outcome> {
        let Some(lease) = lease::acquire(db, LEASE, holder, LEASE_TTL).await? else {
            return Ok(Outcome::Idle);
        };
        match self.seal_once(db, &lease).await? {
            Sealed::Batch { more: true, .. } => Ok(Outcome::Busy),
            _ => Ok(Outcome::Idle),
        }
    }

    /// Seals up to [`BATCH`] committed entries in the order of their sequence numbers.
    ///
    /// Errors with [`Error::Raced`] where another sealer was first; nothing is lost then.
    pub async fn seal_once(&self, db: &Db, lease: &Lease) -> Result<Sealed> {
        let mut known = self.known.lock().await;
        let mut tx = db.begin(Cause::Job("journal.seal")).await?;
        lease.fence(&mut tx).await?;
        let (edge, watermark) = (known.edge.take(), known.watermark.as_deref());
        let done = seal(&mut tx, &self.key, &self.vkey, edge, watermark).await?;
        if let Sealed::Batch { .. } = done.sealed {
            tx.commit().await?;
        }
        known.edge = Some(done.edge);
        if done.drained {
            known.watermark = Some(done.xmin);
        }
        Ok(done.sealed)
    }
}

struct Done {
    sealed: Sealed,
    edge: Edge,
    /// Whether all entries that the scan could see are sealed.
    drained: bool,
    xmin: String,
}

async fn seal(
    tx: &mut Tx,
    key: &LogKey,
    vkey: &VerifierKey,
    edge: Option<Edge>,
    watermark: Option<&str>,
) -> Result<Done> {
    let head = head_on(tx.conn()).await?;
    let mut edge = right_edge(tx.conn(), edge, head.as_ref()).await?;
    // Before the scan: what is below it has ended by then, and the scan sees it.
    let xmin =
        sqlx::query_scalar!(r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS "xmin!""#)
            .fetch_one(tx.conn())
            .await?;
    let entries = unsealed(tx.conn(), watermark).await?;
    let drained = entries.len() < BATCH;
    if entries.is_empty() {
        return Ok(Done {
            sealed: Sealed::Nothing,
            edge,
            drained,
            xmin,
        });
    }
    identity::fix(tx, vkey).await?;
    let mut tiles = Vec::new();
    let hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(&entry.body)).collect();
    for hash in &hashes {
        edge.push(*hash, &mut tiles);
    }
    rows::insert_leaves(tx, head.as_ref(), &entries, &hashes).await?;
    rows::insert_tiles(tx, &tiles).await?;
    rows::insert_checkpoint(tx, key, vkey, head.as_ref(), &edge).await?;
    let sealed = Sealed::Batch {
        entries: entries.len(),
        size: edge.size(),
        more: !drained,
    };
    Ok(Done {
        sealed,
        edge,
        drained,
        xmin,
    })
}

/// The edge that was kept, if the stored head is still its own; else the stored one, which must have
/// the root that was signed.
async fn right_edge(
    conn: &mut PgConnection,
    kept: Option<Edge>,
    head: Option<&Head>,
) -> Result<Edge> {
    let Some(head) = head else {
        return Ok(Edge::default());
    };
    let fits = |edge: &Edge| edge.size() == head.size && edge.root() == head.root;
    match kept.filter(fits) {
        Some(edge) => Ok(edge),
        None => Some(log::edge(conn, head.size).await?)
            .filter(fits)
            .ok_or_else(|| {
                Error::Damaged(format!(
                    "the leaves do not lead to the signed root of size {}",
                    head.size
                ))
            }),
    }
}

async fn unsealed(conn: &mut PgConnection, watermark: Option<&str>) -> Result<Vec<Unsealed>> {
    Ok(sqlx::query_as!(
        Unsealed,
        "SELECT e.seq, e.body FROM journal.entries e
          WHERE e.xid >= ($1::text)::xid8
            AND NOT EXISTS (SELECT FROM journal.leaves l WHERE l.entry_seq = e.seq)
          ORDER BY e.seq LIMIT $2",
        watermark.unwrap_or("0"),
        sql(BATCH as u64),
    )
    .fetch_all(conn)
    .await?)
}

#[cfg(test)]
mod tests;
