//! Followers of the sealed journal: publishing, webhooks, peers. Each has a durable cursor and sees every
//! entry once, in the order of the leaves, which never changes.

use store::{Db, Tx, cursor};

use crate::{
    body,
    error::Result,
    log::{number, sql},
};

/// An entry with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedEntry {
    /// Its leaf.
    pub leaf_index: u64,
    /// Order of appending.
    pub seq: i64,
    /// Its id.
    pub cid: String,
    /// Its canonical bytes.
    pub body: Vec<u8>,
}

/// Where the entries of one answer have so many bytes, it ends. One entry has at most 64 KiB.
const BYTES: usize = 8 << 20;

/// The entries from this leaf on: at most `limit`, and not many more than 8 MiB of them, but one at least where there
/// is one.
pub async fn sealed(db: &Db, from: u64, limit: i64) -> Result<Vec<SealedEntry>> {
    let rows = sqlx::query!(
        // Entry by entry, also where the planner does not know yet how large the tables have become.
        r#"SELECT leaf_index AS "leaf_index!", seq AS "seq!", cid AS "cid!", body
             FROM (SELECT l.leaf_index, e.seq, e.cid, e.body,
                          sum(octet_length(e.body)) OVER (ORDER BY l.leaf_index ROWS UNBOUNDED PRECEDING) AS bytes
                     FROM (SELECT leaf_index, entry_seq FROM journal.leaves
                            WHERE leaf_index >= $1 ORDER BY leaf_index LIMIT $2) AS l
                    CROSS JOIN LATERAL
                          (SELECT seq, cid, body FROM journal.entries WHERE seq = l.entry_seq OFFSET 0) AS e) AS next
            WHERE coalesce(bytes, 0) - coalesce(octet_length(body), 0) < $3 ORDER BY leaf_index"#,
        sql(from),
        limit,
        sql(BYTES as u64),
    )
    .fetch_all(db.pool())
    .await?;
    let mut rows = rows.into_iter();
    let (mut entries, mut bytes) = (Vec::with_capacity(rows.len()), 0);
    // The database could not count those that are archived.
    while bytes < BYTES && rows.len() > 0 {
        let (mut portion, mut bodies) = (Vec::new(), Vec::new());
        for row in rows.by_ref().take(body::AT_ONCE) {
            bodies.push((row.cid.clone(), row.body));
            portion.push((row.leaf_index, row.seq, row.cid));
        }
        let bodies = body::all(db.archive(), bodies).await?;
        for ((leaf_index, seq, cid), body) in portion.into_iter().zip(bodies) {
            bytes += body.len();
            entries.push(SealedEntry {
                leaf_index: number(leaf_index)?,
                seq,
                cid,
                body,
            });
        }
    }
    Ok(entries)
}

/// Moves `follower` from one leaf to another, in the transaction of its work on those between.
///
/// Errors (kind `Conflict`) where another process of the same follower was faster.
pub async fn advance_to(tx: &mut Tx, follower: &str, from: u64, to: u64) -> Result<()> {
    Ok(cursor::advance(tx, &name(follower), sql(from), sql(to)).await?)
}

/// How many entries `follower` has seen: the leaf that comes next.
pub async fn position(db: &Db, follower: &str) -> Result<u64> {
    number(cursor::get(db, &name(follower)).await?)
}

fn name(follower: &str) -> String {
    format!("journal/{follower}")
}

#[cfg(test)]
mod tests;
