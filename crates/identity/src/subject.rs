//! Agents by who they are: one row per agent ever named, never deleted. A window's go in by COPY.

use std::collections::HashMap;

use kernel::{AgentId, Token};
use store::{Db, Tx, copy::Rows};
use uuid::Uuid;

use crate::{Result, identifier};

/// What an agent is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// DID.
    pub did: String,
    /// Name; none where it is gone.
    pub name: Option<String>,
    /// Owner, lower case.
    pub owner: Option<String>,
}

/// The agent that a name finds, also one that is gone: a reorg took its registration, or somebody its rows.
pub async fn find(db: &Db, name: &str) -> Result<Option<Uuid>> {
    if let Some(id) = identifier::find(db, name).await? {
        return Ok(Some(id));
    }
    let token = name.parse::<Token>().or_else(|_| Token::from_did(name));
    let id = match (name.parse::<Uuid>(), token) {
        (Ok(id), _) => id,
        (_, Ok(token)) => AgentId::of_token(&token).0,
        _ => AgentId::of_did(name).0,
    };
    let found = sqlx::query_scalar!("SELECT id FROM identity.subjects WHERE id = $1", id);
    Ok(found.fetch_optional(db.pool()).await?)
}

/// What these agents are called now, those that are gone included.
pub async fn called(db: &Db, agents: &[Uuid]) -> Result<HashMap<Uuid, Called>> {
    let rows = sqlx::query!(
        r#"SELECT s.id AS "id!", coalesce(a.did, s.did) AS "did!", a.name AS "name?", a.owner_address
             FROM identity.subjects s LEFT JOIN identity.agents a ON a.id = s.id
            WHERE s.id = ANY($1)"#,
        agents
    )
    .fetch_all(db.pool())
    .await?;
    let called = rows.into_iter().map(|row| {
        let called = Called {
            did: row.did,
            name: row.name,
            owner: row.owner_address,
        };
        (row.id, called)
    });
    Ok(called.collect())
}

/// Whether there are any: in the first window of a database nobody need be looked for.
pub async fn any(tx: &mut Tx) -> Result<bool> {
    let any = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM identity.subjects) AS "any!""#);
    Ok(any.fetch_one(tx.conn()).await?)
}

/// Makes sure that each token's agent has its subject.
pub async fn put(tx: &mut Tx, tokens: &[(AgentId, Token)]) -> Result<()> {
    if tokens.is_empty() {
        return Ok(());
    }
    let mut tokens = tokens.to_vec();
    tokens.sort_unstable_by_key(|(agent, _)| *agent);
    tokens.dedup_by_key(|(agent, _)| *agent);
    let ids: Vec<Uuid> = tokens.iter().map(|(agent, _)| agent.0).collect();
    let chains: Vec<i64> = tokens
        .iter()
        .map(|(_, token)| token.chain.cast_signed())
        .collect();
    let registries: Vec<Vec<u8>> = tokens
        .iter()
        .map(|(_, token)| token.registry.to_vec())
        .collect();
    let numbers: Vec<String> = tokens
        .iter()
        .map(|(_, token)| token.id.to_string())
        .collect();
    let dids: Vec<String> = tokens.iter().map(|(_, token)| token.did()).collect();
    sqlx::query!(
        "INSERT INTO identity.subjects (id, kind, chain_id, registry, token_id, did)
         SELECT id, 'token', chain, registry, number::numeric, did
           FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::text[], $5::text[])
                AS t(id, chain, registry, number, did)
         ON CONFLICT (id) DO NOTHING",
        &ids,
        &chains,
        &registries,
        &numbers,
        &dids,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Makes subjects of tokens' agents that have none, in the order of their ids.
pub(crate) async fn copy(tx: &mut Tx, new: impl Iterator<Item = (AgentId, Token)>) -> Result<()> {
    let mut rows = Rows::new(6);
    for (agent, token) in new {
        rows.row()
            .uuid(agent.0)
            .text("token")
            .bigint(token.chain.cast_signed())
            .bytea(token.registry.as_slice())
            .numeric(token.id)
            .text(&token.did());
    }
    let statement = "COPY identity.subjects (id, kind, chain_id, registry, token_id, did)
        FROM STDIN (FORMAT binary)";
    Ok(rows.copy(tx, statement).await?)
}
