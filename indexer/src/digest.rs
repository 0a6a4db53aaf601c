//! What is stored of the chains, in digests (`model.md` §5): blocks and logs. Proofs, tips and receipts are not
//! compared: they tell how a chain was read, not what it is.

use store::{Digests, Snapshot, TableDigest};

use crate::Result;

/// Tables of which every row counts.
const TABLES: [&str; 2] = ["chain.blocks", "chain.logs"];

/// A digest of each table.
pub async fn tables(snapshot: &mut Snapshot) -> Result<Vec<TableDigest>> {
    use futures::TryStreamExt as _;
    let mut digests = Digests::of(&TABLES);
    // Texts of rows do not depend on who asks: sqlx sets time zone and styles of every connection.
    let mut rows = sqlx::query!(
        r#"SELECT x.table AS "table!", sha256(convert_to(x.row::text, 'UTF8')) AS "digest!" FROM (
            SELECT 'chain.blocks' AS table, to_jsonb(t) AS row FROM chain.blocks t
            UNION ALL
            SELECT 'chain.logs', to_jsonb(t) FROM chain.logs t
           ) x ORDER BY 1, 2"#
    )
    .fetch(snapshot.conn());
    while let Some(row) = rows.try_next().await? {
        digests.row(&row.table, &row.digest);
    }
    drop(rows);
    Ok(digests.finish())
}
