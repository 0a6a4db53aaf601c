//! What an owner has registered already: found before he pays to register it again.

use kernel::Address;
use serde::Serialize;
use store::Db;

use crate::{
    Result,
    agent::{self, Agent},
};

/// What somebody is about to register.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sought {
    /// EIP-155 chain id; absent: any.
    pub chain: Option<u64>,
    /// The agent's name.
    pub name: Option<String>,
    /// URIs that would lead to the same file: the one that holds it, the one that names its hash.
    pub uris: Vec<String>,
    /// CIDs of the file's bytes.
    pub cids: Vec<String>,
    /// Where it answers.
    pub endpoint: Option<String>,
}

/// An agent that is the same in something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Like {
    /// The agent.
    pub agent: Agent,
    /// In what: `file`, `name`, `endpoint`.
    pub same: Vec<&'static str>,
}

/// So many are told: one is enough to think again.
const MOST: i64 = 5;

/// The owner's agents that are alike, newest first. What has ended is not among them: it may be registered anew.
pub async fn find(db: &Db, owner: Address, sought: &Sought) -> Result<Vec<Like>> {
    let owner = format!("{owner:#x}");
    let rows = sqlx::query!(
        r#"SELECT a.id,
                  coalesce(t.uri = ANY($3) OR a.ipfs_metadata_hash = ANY($4), FALSE) AS "file!",
                  coalesce(a.name_source <> 'none' AND lower(a.name) = lower($5), FALSE) AS "name!",
                  coalesce(a.endpoint_url = $6, FALSE) AS "endpoint!"
             FROM identity.agents a LEFT JOIN identity.v_tokens t ON t.agent_id = a.id
            WHERE a.owner_address = $1 AND a.runtime_status <> 'TERMINATED' AND t.burned IS NOT TRUE
              AND ($2::bigint IS NULL OR t.chain_id = $2)
              AND (t.uri = ANY($3) OR a.ipfs_metadata_hash = ANY($4)
                   OR (a.name_source <> 'none' AND lower(a.name) = lower($5)) OR a.endpoint_url = $6)
            ORDER BY a.created_at DESC, a.id DESC LIMIT $7"#,
        owner,
        sought.chain.map(u64::cast_signed),
        &sought.uris[..],
        &sought.cids[..],
        sought.name,
        sought.endpoint,
        MOST,
    )
    .fetch_all(db.pool())
    .await?;
    let mut alike = Vec::with_capacity(rows.len());
    for row in rows {
        let same = [
            (row.file, "file"),
            (row.name, "name"),
            (row.endpoint, "endpoint"),
        ];
        let same = same
            .into_iter()
            .filter_map(|(is, what)| is.then_some(what))
            .collect();
        if let Some(agent) = agent::find(db, &row.id.to_string()).await? {
            alike.push(Like { agent, same });
        }
    }
    Ok(alike)
}
