//! Heads: the signed checkpoints, each following exactly one other.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use store::Db;

use crate::{
    error::{Error, Result},
    log::{hash, number, sql},
    tree::Hash,
};

/// A signed tree head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Sealed entries.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// The checkpoint as it is served: a signed note.
    pub note: String,
    /// When it was signed; later for each head than for the one before.
    pub signed_at: DateTime<Utc>,
}

struct HeadRow {
    size: i64,
    root: Vec<u8>,
    note: String,
    signed_at: DateTime<Utc>,
}

impl TryFrom<HeadRow> for Head {
    type Error = Error;

    fn try_from(row: HeadRow) -> Result<Self> {
        let HeadRow {
            size,
            root,
            note,
            signed_at,
        } = row;
        Ok(Self {
            size: number(size)?,
            root: hash(root)?,
            note,
            signed_at,
        })
    }
}

/// The newest head; `None` before the first seal.
pub async fn head(db: &Db) -> Result<Option<Head>> {
    head_on(&mut *db.pool().acquire().await?).await
}

pub(crate) async fn head_on(conn: &mut PgConnection) -> Result<Option<Head>> {
    sqlx::query_as!(
        HeadRow,
        "SELECT size, root, note, signed_at FROM journal.checkpoints ORDER BY size DESC LIMIT 1"
    )
    .fetch_optional(conn)
    .await?
    .map(Head::try_from)
    .transpose()
}

/// The head of this size; not every size has one.
pub async fn checkpoint(db: &Db, size: u64) -> Result<Option<Head>> {
    sqlx::query_as!(
        HeadRow,
        "SELECT size, root, note, signed_at FROM journal.checkpoints WHERE size = $1",
        sql(size)
    )
    .fetch_optional(db.pool())
    .await?
    .map(Head::try_from)
    .transpose()
}

/// The heads after `size`, oldest first.
pub async fn checkpoints_after(db: &Db, size: u64, limit: i64) -> Result<Vec<Head>> {
    sqlx::query_as!(
        HeadRow,
        "SELECT size, root, note, signed_at FROM journal.checkpoints WHERE size > $1 ORDER BY size LIMIT $2",
        sql(size),
        limit
    )
    .fetch_all(db.pool())
    .await?
    .into_iter()
    .map(Head::try_from)
    .collect()
}
