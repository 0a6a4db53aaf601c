//! All names of an agent. Those of new agents go in by COPY.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernel::Address;
use serde::Serialize;
use store::{Db, Tx, copy::Rows};
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

/// The names that follow from who an agent is, with their standing.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    agent: Uuid,
    names: BTreeMap<(&'static str, String), &'static str>,
}

impl Names {
    /// `first_registry` is the one that the chain's short names belong to.
    pub(crate) fn of(
        subject: &Subject,
        did: &str,
        former: &BTreeSet<String>,
        first_registry: Option<Address>,
    ) -> Self {
        let mut names: BTreeMap<_, _> = former
            .iter()
            .map(|did| (("did", did.clone()), "former"))
            .collect();
        names.insert(("did", did.to_owned()), "verified");
        if let Some(token) = &subject.token {
            names.insert(("caip", token.to_string()), "verified");
            if first_registry == Some(token.registry) {
                names.insert(("short", token.short()), "verified");
            }
        }
        Self {
            agent: subject.id.0,
            names,
        }
    }
}

/// Columns of [`put`].
pub(crate) const COLUMNS: i16 = 4;

/// Puts the names of a new agent.
pub(crate) fn put(rows: &mut Rows, agent: &Names) {
    for ((kind, value), standing) in &agent.names {
        rows.row()
            .uuid(agent.agent)
            .text(kind)
            .text(value)
            .text(standing);
    }
}

/// Copies the names of new agents.
pub(crate) async fn copy(tx: &mut Tx, rows: &mut Rows) -> Result<()> {
    let statement = "COPY identity.agent_identifiers (agent_id, kind, value, standing)
        FROM STDIN (FORMAT binary)";
    Ok(rows.copy(tx, statement).await?)
}

/// Writes the names of agents; those that they have no more go.
pub(crate) async fn write(tx: &mut Tx, agents: &[Names]) -> Result<()> {
    if agents.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = agents.iter().map(|agent| agent.agent).collect();
    let (mut of, mut kinds, mut values, mut standings) = (vec![], vec![], vec![], vec![]);
    for agent in agents {
        for ((kind, value), standing) in &agent.names {
            of.push(agent.agent);
            kinds.push(*kind);
            values.push(value.as_str());
            standings.push(*standing);
        }
    }
    // Demoted before others are promoted: a verified name has one agent.
    sqlx::query!(
        "DELETE FROM identity.agent_identifiers i
          WHERE i.agent_id = ANY($1)
            AND NOT EXISTS (SELECT FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[])
                                     AS n(id, kind, value, standing)
                             WHERE n.id = i.agent_id AND n.kind = i.kind AND n.value = i.value
                               AND n.standing = i.standing)",
        &ids,
        &of,
        &kinds as &[&str],
        &values as &[&str],
        &standings as &[&str],
    )
    .execute(tx.conn())
    .await?;
    sqlx::query!(
        "INSERT INTO identity.agent_identifiers (agent_id, kind, value, standing)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[])
         ON CONFLICT (agent_id, kind, value) DO NOTHING",
        &of,
        &kinds as &[&str],
        &values as &[&str],
        &standings as &[&str],
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

/// The agents that names find; those that find nobody are left out.
pub(crate) async fn find_all(db: &Db, names: &[&str]) -> Result<HashMap<String, Uuid>> {
    let mut found = HashMap::with_capacity(names.len());
    let mut wanted: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in names {
        if let Ok(id) = name.parse::<Uuid>() {
            found.insert((*name).to_owned(), id);
            continue;
        }
        for spelled in [fold_hex(name), (*name).to_owned()] {
            let given = wanted.entry(spelled).or_default();
            if !given.contains(name) {
                given.push(name);
            }
        }
    }
    let values: Vec<&str> = wanted.keys().map(String::as_str).collect();
    if values.is_empty() {
        return Ok(found);
    }
    let rows = sqlx::query!(
        "SELECT value, agent_id FROM identity.agent_identifiers
          WHERE value = ANY($1) AND standing = 'verified'",
        &values as &[&str],
    )
    .fetch_all(db.pool())
    .await?;
    for row in rows {
        for name in &wanted[&row.value] {
            // Exactly as it is written, before the same in lower case.
            if *name == row.value || !found.contains_key(*name) {
                found.insert((*name).to_owned(), row.agent_id);
            }
        }
    }
    Ok(found)
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
        let hex = rest[start + 2..]
            .bytes()
            .take_while(u8::is_ascii_hexdigit)
            .count();
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
