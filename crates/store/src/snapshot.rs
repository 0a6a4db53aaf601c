//! Reading many statements of one moment, and digests of whole tables.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, PgPool, Postgres};

use crate::Result;

/// Everything that is read through it stood in the database at one moment (REPEATABLE READ). It writes
/// nothing and ends when it is dropped.
#[derive(Debug)]
pub struct Snapshot {
    inner: sqlx::Transaction<'static, Postgres>,
}

impl Snapshot {
    pub(crate) async fn begin(pool: &PgPool) -> Result<Self> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        Ok(Self {
            inner: pool.begin_with(begin).await?,
        })
    }

    /// The connection, for queries.
    pub fn conn(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

/// What a table holds, in one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDigest {
    /// Schema and name.
    pub table: String,
    /// How many rows.
    pub rows: u64,
    /// SHA-256 over the SHA-256 of each row, these in ascending order.
    pub digest: [u8; 32],
}

/// Makes digests of tables from digests of their rows.
#[derive(Debug)]
pub struct Digests {
    tables: BTreeMap<&'static str, (u64, Sha256)>,
}

impl Digests {
    /// Of these tables; one without rows has a digest, too.
    pub fn of(tables: &[&'static str]) -> Self {
        let empty = |table: &&'static str| (*table, (0, Sha256::new()));
        Self {
            tables: tables.iter().map(empty).collect(),
        }
    }

    /// The next row of a table, in the order of their digests. Of a table that is not one of those, nothing
    /// is taken.
    pub fn row(&mut self, table: &str, digest: &[u8]) {
        if let Some((rows, hasher)) = self.tables.get_mut(table) {
            *rows += 1;
            hasher.update(digest);
        }
    }

    /// All of them, by name.
    pub fn finish(self) -> Vec<TableDigest> {
        let digest = |(table, (rows, hasher)): (&str, (u64, Sha256))| TableDigest {
            table: table.to_owned(),
            rows,
            digest: hasher.finalize().into(),
        };
        self.tables.into_iter().map(digest).collect()
    }
}
