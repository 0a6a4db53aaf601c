//! What all facts and rows of agents come to, in digests: two instances that saw the same facts have the
//! same (`model.md` §5, "equal to a fresh index").
//!
//! Set aside are work that is under way or only tells of work done (`subjects`, `did_hashes`, `heartbeats`, `dirty`,
//! `folds`, `head_steps`), what somebody wants to hear of (`watches`) or asked once (`requests`), the two columns of `agents` that heartbeats refresh, and those of `uris` that
//! tell when and how often somebody looked.

use store::{Digests, Snapshot, TableDigest};

use crate::Result;

/// Tables of which every row counts, of some not every column.
const TABLES: [&str; 16] = [
    "identity.uris",
    "identity.documents",
    "identity.acts",
    "identity.statements",
    "identity.keys",
    "identity.claims",
    "identity.did_logs",
    "identity.operators",
    "identity.uri_agents",
    "identity.tokens",
    "identity.agents",
    "identity.capability_vectors",
    "identity.agent_status_history",
    "identity.status_changes",
    "identity.ipfs_metadata",
    "identity.agent_identifiers",
];

/// A digest of each table.
pub async fn tables(snapshot: &mut Snapshot) -> Result<Vec<TableDigest>> {
    use futures::TryStreamExt as _;
    let mut digests = Digests::of(&TABLES);
    // Texts of rows do not depend on who asks: sqlx sets time zone and styles of every connection.
    let mut rows = sqlx::query!(
        r#"SELECT x.table AS "table!", sha256(convert_to(x.row::text, 'UTF8')) AS "digest!" FROM (
            SELECT 'identity.uris' AS table, (to_jsonb(t) - '{last_error,attempts,checked_at,next_attempt_at,state,verification}'::text[]) AS row FROM identity.uris t
            UNION ALL
            SELECT 'identity.documents', to_jsonb(t) FROM identity.documents t
            UNION ALL
            SELECT 'identity.acts', to_jsonb(t) FROM identity.acts t
            UNION ALL
            SELECT 'identity.statements', to_jsonb(t) FROM identity.statements t
            UNION ALL
            SELECT 'identity.keys', to_jsonb(t) FROM identity.keys t
            UNION ALL
            SELECT 'identity.claims', to_jsonb(t) FROM identity.claims t
            UNION ALL
            SELECT 'identity.did_logs', to_jsonb(t) FROM identity.did_logs t
            UNION ALL
            SELECT 'identity.operators', to_jsonb(t) FROM identity.operators t
            UNION ALL
            SELECT 'identity.uri_agents', to_jsonb(t) FROM identity.uri_agents t
            UNION ALL
            SELECT 'identity.tokens', to_jsonb(t) FROM identity.tokens t
            UNION ALL
            SELECT 'identity.agents', (to_jsonb(t) - '{last_heartbeat,last_active_at}'::text[]) FROM identity.agents t
            UNION ALL
            SELECT 'identity.capability_vectors', to_jsonb(t) FROM identity.capability_vectors t
            UNION ALL
            SELECT 'identity.agent_status_history', to_jsonb(t) FROM identity.agent_status_history t
            UNION ALL
            SELECT 'identity.status_changes', to_jsonb(t) FROM identity.status_changes t
            UNION ALL
            SELECT 'identity.ipfs_metadata', to_jsonb(t) FROM identity.ipfs_metadata t
            UNION ALL
            SELECT 'identity.agent_identifiers', to_jsonb(t) FROM identity.agent_identifiers t
           ) x ORDER BY 1, 2"#
    )
    .fetch(snapshot.conn());
    while let Some(row) = rows.try_next().await? {
        digests.row(&row.table, &row.digest);
    }
    drop(rows);
    Ok(digests.finish())
}
