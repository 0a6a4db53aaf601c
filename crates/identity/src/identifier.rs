//! All names of an agent.

use std::collections::BTreeSet;

use kernel::Address;
use serde::Serialize;
use store::{Db, Tx};
use uuid::Uuid;

use crate::{Result, project::Subject};

/// A name, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identifier {
    /// `did`, `caip` (`eip155:<chain>:<registry>/<agentId>`) or `short` (`<chain>:<agentId>`).
    pub kind: String,
    /// The name, addresses in lower case.
    pub value: String,
    /// `verified`, `claimed` or `former`.
    pub standing: String,
}

/// The verified names that follow from who an agent is.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    agent: Uuid,
    names: BTreeSet<(&'static str, String)>,
}

impl Names {
    /// `first_registry` is the one that the chain's short names belong to.
    pub(crate) fn of(subject: &Subject, first_registry: Option<Address>) -> Self {
        let mut names = BTreeSet::from([("did", subject.did.clone())]);
        if let Some(token) = &subject.token {
            names.insert(("caip", token.to_string()));
            if first_registry == Some(token.registry) {
                names.insert(("short", token.short()));
            }
        }
        Self { agent: subject.id.0, names }
    }
}

/// Writes the verified names of agents.
pub(crate) async fn write(tx: &mut Tx, agents: &[Names]) -> Result<()> {
    let mut ids = Vec::new();
    let mut kinds = Vec::new();
    let mut values = Vec::new();
    for agent in agents {
        for (kind, value) in &agent.names {
            ids.push(agent.agent);
            kinds.push((*kind).to_owned());
            values.push(value.clone());
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO identity.agent_identifiers AS i (agent_id, kind, value, standing)
         SELECT id, kind, value, 'verified' FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n(id, kind, value)
         ON CONFLICT (agent_id, kind, value) DO UPDATE SET standing = 'verified'
          WHERE i.standing <> 'verified'",
        &ids,
        &kinds,
        &values,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The agent that a verified name, or an id, finds. Hex case does not matter.
pub async fn find(db: &Db, name: &str) -> Result<Option<Uuid>> {
    if let Ok(id) = name.parse::<Uuid>() {
        let found = sqlx::query_scalar!("SELECT id FROM identity.agents WHERE id = $1", id);
        return Ok(found.fetch_optional(db.pool()).await?);
    }
    let folded = fold_hex(name);
    Ok(sqlx::query_scalar!(
        "SELECT agent_id FROM identity.agent_identifiers
          WHERE value = ANY($1) AND standing = 'verified' ORDER BY value = $2 DESC LIMIT 1",
        &[name.to_owned(), folded],
        name,
    )
    .fetch_optional(db.pool())
    .await?)
}

/// The names of an agent.
pub async fn list(db: &Db, agent: Uuid) -> Result<Vec<Identifier>> {
    Ok(sqlx::query_as!(
        Identifier,
        "SELECT kind, value, standing FROM identity.agent_identifiers
          WHERE agent_id = $1 ORDER BY kind, value",
        agent
    )
    .fetch_all(db.pool())
    .await?)
}

/// Lower-cases every `0x` address inside a name and leaves the rest as it is.
fn fold_hex(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(start) = rest.find("0x").or_else(|| rest.find("0X")) {
        out.push_str(&rest[..start]);
        let hex = rest[start + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let end = start + 2 + hex;
        out.push_str(&rest[start..end].to_ascii_lowercase());
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hex_of_a_name_is_folded() {
        assert_eq!(fold_hex("did:x:AB_0XAbC_Q"), "did:x:AB_0xabc_Q");
        assert_eq!(fold_hex("plain"), "plain");
    }
}
