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

/// The next entries for `follower`, at most `limit`, from where it stands.
pub async fn next(db: &Db, follower: &str, limit: i64) -> Result<Vec<SealedEntry>> {
    let position = cursor::get(db, &name(follower)).await?;
    sealed(db, number(position)?, limit).await
}

/// The entries from this leaf on, at most `limit`.
pub async fn sealed(db: &Db, from: u64, limit: i64) -> Result<Vec<SealedEntry>> {
    let rows = sqlx::query!(
        // Entry by entry, also where the planner does not know yet how large the tables have become.
        "SELECT l.leaf_index, e.seq, e.cid, e.body
           FROM journal.leaves l CROSS JOIN LATERAL
                (SELECT seq, cid, body FROM journal.entries WHERE seq = l.entry_seq OFFSET 0) e
          WHERE l.leaf_index >= $1 ORDER BY l.leaf_index LIMIT $2",
        sql(from),
        limit,
    )
    .fetch_all(db.pool())
    .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        entries.push(SealedEntry {
            leaf_index: number(row.leaf_index)?,
            seq: row.seq,
            body: body::of(db.archive(), &row.cid, row.body).await?,
            cid: row.cid,
        });
    }
    Ok(entries)
}

/// Moves `follower` behind `done`, a beginning of what [`next`] gave it, in the transaction of the work.
///
/// Errors (kind `Conflict`) where another process of the same follower was faster.
pub async fn advance(tx: &mut Tx, follower: &str, done: &[SealedEntry]) -> Result<()> {
    let (Some(first), Some(last)) = (done.first(), done.last()) else {
        return Ok(());
    };
    let position = sql(last.leaf_index + 1);
    Ok(cursor::advance(tx, &name(follower), sql(first.leaf_index), position).await?)
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
