//! The sealer gives committed entries their place in the tree and signs the new head.
//!
//! One leads at a time, by a lease; should two believe that they lead, unique constraints let one
//! of them commit (leaf index, the size that a checkpoint follows), so the log cannot fork. Leaves, full
//! tiles and checkpoint are one transaction: a crash leaves all of them or none, and a signature
//! that was not committed was shown to nobody.
//!
//! Sequence numbers are given before the commit, so a late commit can bring a *lower* one than what is sealed
//! already. It is found by its transaction: once all that a scan saw is sealed, only entries of transactions that had
//! not ended when it began can appear. The first scan of a process looks at everything. A scan finds sequence numbers,
//! many at once, which are sealed batch by batch; the next scan begins when all of them are, and when any transaction
//! has ended since: a backfill's projection lasts for long, and rows that nobody can see yet would be looked through
//! each time.

mod rows;

use std::{collections::VecDeque, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
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
    tree::Hash,
    vkey::VerifierKey,
};

/// Most entries of one seal.
pub const BATCH: usize = 4_096;

/// Most sequence numbers that one scan of the whole log keeps.
const FOUND: usize = 65_536;

/// Name of the lease.
const LEASE: &str = "journal.seal";
/// How long a dead sealer keeps the others waiting.
const LEASE_TTL: Duration = Duration::from_secs(10);
/// A lease of this age is renewed.
const LEASE_FRESH: TimeDelta = TimeDelta::seconds(3);

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
    /// Taken before the last scan of which everything is sealed: every entry of a transaction that had ended by then is
    /// sealed, or will never be. While it stays the same, nothing was committed.
    all_sealed: Option<Snapshot>,
    /// What the last scan found and is not sealed.
    found: Option<Found>,
    edge: Option<Edge>,
    held: Option<Held>,
}

/// A lease that was taken.
#[derive(Debug, Clone)]
struct Held {
    lease: Lease,
    holder: Uuid,
    since: DateTime<Utc>,
}

/// Who had ended at a moment, as Postgres writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Snapshot {
    text: String,
    /// Every transaction below has ended.
    xmin: String,
}

/// What a scan found.
#[derive(Debug)]
struct Found {
    /// Entries without a leaf, ascending.
    seqs: VecDeque<i64>,
    /// Where it stopped because there were too many.
    stopped: Option<i64>,
    /// Taken when it began; also where it goes on behind another scan that stopped.
    snapshot: Snapshot,
}

impl Found {
    /// Whether there is something to seal, or may be.
    fn is_open(&self) -> bool {
        !self.seqs.is_empty() || self.stopped.is_some()
    }
}

/// An entry without a leaf.
struct Unsealed {
    seq: i64,
    hash: Hash,
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
        let Some(lease) = self.lead(db, holder).await? else {
            return Ok(Outcome::Idle);
        };
        let sealed = self.seal_once(db, &lease).await;
        if sealed.is_err() {
            self.known.lock().await.held = None;
        }
        match sealed? {
            Sealed::Batch { more: true, .. } => Ok(Outcome::Busy),
            _ => Ok(Outcome::Idle),
        }
    }

    /// The lease, taken or renewed where it is not fresh: rounds are many, and most find nothing to do.
    async fn lead(&self, db: &Db, holder: Uuid) -> Result<Option<Lease>> {
        let mut known = self.known.lock().await;
        let now = db.clock().now();
        let fresh = |held: &&Held| {
            held.holder == holder && (TimeDelta::zero()..LEASE_FRESH).contains(&(now - held.since))
        };
        if let Some(held) = known.held.as_ref().filter(fresh) {
            return Ok(Some(held.lease.clone()));
        }
        let lease = lease::acquire(db, LEASE, holder, LEASE_TTL).await?;
        known.held = lease.clone().map(|lease| Held {
            lease,
            holder,
            since: now,
        });
        Ok(lease)
    }

    /// Seals up to [`BATCH`] committed entries in the order of their sequence numbers.
    ///
    /// Errors with [`Error::Raced`] where another sealer was first; nothing is lost then.
    pub async fn seal_once(&self, db: &Db, lease: &Lease) -> Result<Sealed> {
        let mut known = self.known.lock().await;
        let mut tx = db.begin(Cause::Job("journal.seal")).await?;
        let before = snapshot(tx.conn()).await?;
        if known.all_sealed.as_ref() == Some(&before) {
            return Ok(Sealed::Nothing);
        }
        let head = head_on(tx.conn()).await?;
        let size = head.as_ref().map_or(0, |head| head.size);
        // Where another process sealed meanwhile, what was found may be sealed.
        let edge = known.edge.take().filter(|edge| edge.size() == size);
        let found = known.found.take().filter(|_| edge.is_some());
        let found = scan(tx.conn(), known.all_sealed.as_ref(), found, before).await?;
        let done = seal(&mut tx, &self.key, &self.vkey, head, edge, found).await?;
        if let Sealed::Batch { .. } = done.sealed {
            lease.fence(&mut tx).await?;
            tx.commit().await?;
        }
        known.edge = Some(done.edge);
        if done.found.is_open() {
            known.found = Some(done.found);
        } else {
            known.all_sealed = Some(done.found.snapshot);
        }
        Ok(done.sealed)
    }
}

struct Done {
    sealed: Sealed,
    edge: Edge,
    /// What is left of the scan.
    found: Found,
}

async fn seal(
    tx: &mut Tx,
    key: &LogKey,
    vkey: &VerifierKey,
    head: Option<Head>,
    edge: Option<Edge>,
    mut found: Found,
) -> Result<Done> {
    let mut edge = right_edge(tx.conn(), edge, head.as_ref()).await?;
    let batch: Vec<i64> = found.seqs.drain(..found.seqs.len().min(BATCH)).collect();
    if batch.is_empty() {
        return Ok(Done {
            sealed: Sealed::Nothing,
            edge,
            found,
        });
    }
    let entries = hashed(tx.conn(), &batch).await?;
    identity::fix(tx, vkey).await?;
    let mut tiles = Vec::new();
    for entry in &entries {
        edge.push(entry.hash, &mut tiles);
    }
    rows::insert_leaves(tx, head.as_ref(), &entries).await?;
    rows::insert_tiles(tx, &tiles).await?;
    rows::insert_checkpoint(tx, key, vkey, head.as_ref(), &edge).await?;
    let sealed = Sealed::Batch {
        entries: entries.len(),
        size: edge.size(),
        more: found.is_open(),
    };
    Ok(Done {
        sealed,
        edge,
        found,
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

/// Taken before a scan: who has ended by then, the scan sees.
async fn snapshot(conn: &mut PgConnection) -> Result<Snapshot> {
    Ok(sqlx::query_as!(
        Snapshot,
        r#"SELECT s::text AS "text!", pg_snapshot_xmin(s)::text AS "xmin!"
             FROM pg_current_snapshot() AS s"#
    )
    .fetch_one(conn)
    .await?)
}

/// What is left of the last scan, else a new one: of what transactions brought since, or, where nothing is known of
/// them, of the whole log, behind the last one where that stopped.
async fn scan(
    conn: &mut PgConnection,
    all_sealed: Option<&Snapshot>,
    last: Option<Found>,
    now: Snapshot,
) -> Result<Found> {
    let (after, snapshot) = match last {
        Some(found) if !found.seqs.is_empty() => return Ok(found),
        Some(found) => (found.stopped, found.snapshot),
        None => (None, now),
    };
    let (seqs, stopped) = match all_sealed {
        Some(before) if is_indexed(conn).await? => (unsealed_since(conn, before).await?, None),
        _ => {
            let seqs = unsealed_behind(conn, after.unwrap_or(i64::MIN)).await?;
            let stopped = seqs.last().copied().filter(|_| seqs.len() == FOUND);
            (seqs, stopped)
        }
    };
    Ok(Found {
        seqs: seqs.into(),
        stopped,
        snapshot,
    })
}

/// Whether entries are found by their transactions: a backfill from nothing builds that index at its end.
async fn is_indexed(conn: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"SELECT to_regclass('journal.entries_xid') IS NOT NULL AS "indexed!""#
    )
    .fetch_one(conn)
    .await?)
}

/// Numbers of entries without a leaf behind a number, ascending, at most [`FOUND`].
async fn unsealed_behind(conn: &mut PgConnection, after: i64) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar!(
        "SELECT e.seq FROM journal.entries e
          WHERE e.seq > $1 AND NOT EXISTS (SELECT FROM journal.leaves l WHERE l.entry_seq = e.seq)
          ORDER BY e.seq LIMIT $2",
        after,
        sql(FOUND as u64),
    )
    .fetch_all(conn)
    .await?)
}

/// Numbers of entries without a leaf whose transactions had not ended `before`, ascending: all of them, because
/// a chain goes on in the order of numbers, not in that of transactions. Goes from transaction to transaction and
/// from entry to entry, since the planner does not know how few they are. It ends where no transaction was begun yet:
/// what was restored from a dump names transactions of another server.
async fn unsealed_since(conn: &mut PgConnection, before: &Snapshot) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar!(
        r#"WITH RECURSIVE writers AS (
               (SELECT xid FROM journal.entries WHERE xid >= ($1::text)::xid8 ORDER BY xid LIMIT 1)
               UNION ALL
               SELECT later.xid
                 FROM writers AS w
                CROSS JOIN LATERAL (SELECT xid FROM journal.entries WHERE xid > w.xid ORDER BY xid LIMIT 1) AS later
                WHERE w.xid < pg_snapshot_xmax(pg_current_snapshot()))
           SELECT e.seq AS "seq!"
             FROM writers AS w
            CROSS JOIN LATERAL (SELECT seq FROM journal.entries WHERE xid = w.xid OFFSET 0) AS e
            WHERE w.xid < pg_snapshot_xmax(pg_current_snapshot())
              AND NOT pg_visible_in_snapshot(w.xid, ($2::text)::pg_snapshot)
              AND (SELECT leaf_index FROM journal.leaves WHERE entry_seq = e.seq) IS NULL
            ORDER BY e.seq"#,
        before.xmin,
        before.text,
    )
    .fetch_all(conn)
    .await?)
}

/// The leaf hashes of these entries ([`crate::tree::leaf_hash`]), made where they lie: a batch of them may be long.
async fn hashed(conn: &mut PgConnection, seqs: &[i64]) -> Result<Vec<Unsealed>> {
    let rows = sqlx::query!(
        // Entry by entry, also where the planner does not know yet how large the table has become.
        r#"SELECT s.seq AS "seq!", e.hash AS "hash!"
             FROM unnest($1::bigint[]) AS s(seq) CROSS JOIN LATERAL
                  (SELECT sha256('\x00'::bytea || body) AS hash
                     FROM journal.entries WHERE seq = s.seq OFFSET 0) AS e
            ORDER BY s.seq"#,
        seqs
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let hash = row.hash.try_into();
            let hash = hash.map_err(|_| Error::Damaged("a hash is not of 32 bytes".to_owned()))?;
            Ok(Unsealed { seq: row.seq, hash })
        })
        .collect()
}

#[cfg(test)]
mod tests;
