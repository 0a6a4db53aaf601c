//! All names of an agent. Those of new agents go in by COPY.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use did::{ed25519, zynd};
use kernel::Address;
use serde::Serialize;
use sqlx::PgConnection;
use store::{Db, Tx, copy::Rows};
use uuid::Uuid;

use crate::{Error, Result, project::Subject, registration::ClaimedName};

/// A name, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identifier {
    /// `did`, `caip` (`eip155:<chain>:<registry>/<agentId>`), `short` (`<chain>:<agentId>`), `key_hash` (64 hex
    /// digits), `agdns`, `zns` or `ens`.
    pub kind: String,
    /// The name, addresses in lower case.
    pub value: String,
    /// `verified`, `claimed`, `former`, or `linked`: the name of another agent that both sides say is the same one's.
    pub standing: String,
}

impl Identifier {
    /// A stored name, and those that follow from it.
    fn all(kind: String, value: String, standing: String) -> Vec<Self> {
        let mut all = Vec::new();
        if let Some(half) = zynd::half(&value).filter(|_| kind == "key_hash") {
            let follow = ["agdns", "zns"].into_iter().zip(zynd::ids_of(half));
            all.extend(follow.map(|(kind, value)| Self {
                kind: kind.to_owned(),
                value,
                standing: standing.clone(),
            }));
        }
        all.push(Self {
            kind,
            value,
            standing,
        });
        all
    }
}

/// The names that follow from who an agent is and from what its file claims, with their standing.
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
        claimed: &BTreeSet<ClaimedName>,
        first_registry: Option<Address>,
    ) -> Self {
        let mut names: BTreeMap<_, _> = former
            .iter()
            .map(|did| (("did", did.clone()), "former"))
            .collect();
        let hashes = former.iter().filter_map(|did| key_hash(did));
        names.extend(hashes.map(|hash| (hash, "former")));
        names.insert(("did", did.to_owned()), "verified");
        names.extend(key_hash(did).map(|hash| (hash, "verified")));
        if let Some(token) = &subject.token {
            names.insert(("caip", token.to_string()), "verified");
            if first_registry == Some(token.registry) {
                names.insert(("short", token.short()), "verified");
            }
        }
        for claim in claimed {
            // A file may name the agent's own DID, too.
            let name = (claim.kind(), claim.value().to_owned());
            names.entry(name).or_insert("claimed");
        }
        Self {
            agent: subject.id.0,
            names,
        }
    }
}

/// What else a key is called: by the whole of its hash (DukeNET). Its names by the half of it (Zynd, in both of its eras)
/// follow from that, and have no rows: [`Identifier::all`].
fn key_hash(did: &str) -> Option<(&'static str, String)> {
    let key = did
        .starts_with("did:key:")
        .then(|| ed25519::parse(did).ok());
    Some(("key_hash", zynd::key_hash(&key.flatten()?)))
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

/// No name of an agent is longer, in bytes.
pub const LONGEST: usize = 1024;

/// The agent that a verified name, or an id, finds. Hex case does not matter.
pub async fn find(db: &Db, name: &str) -> Result<Option<Uuid>> {
    let mut conn = db.pool().acquire().await?;
    Ok(find_all(&mut conn, &[name]).await?.pop().flatten())
}

/// Whether a text may be a name. One that Postgres refuses would fail those that are looked up with it.
fn is_fit(name: &str) -> bool {
    name.len() <= LONGEST && !name.contains('\0')
}

/// Why a name finds nobody: nobody has it, or files claim it.
pub async fn nobody(db: &Db, name: &str) -> Error {
    match is_claimed(db, name).await {
        Ok(true) => Error::Claimed(name.to_owned()),
        Ok(false) => Error::NotFound(name.to_owned()),
        Err(error) => error,
    }
}

async fn is_claimed(db: &Db, name: &str) -> Result<bool> {
    let Some(claim) = ClaimedName::parse(name) else {
        return Ok(false);
    };
    let claimed = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM identity.agent_identifiers
                           WHERE value = $1 AND kind = $2 AND standing = 'claimed') AS "claimed!""#,
        claim.value(),
        claim.kind(),
    );
    Ok(claimed.fetch_one(db.pool()).await?)
}

/// The values of identifiers that a name may stand for, whatever their standing.
pub(crate) async fn spellings(db: &Db, name: &str) -> Result<Vec<String>> {
    if !is_fit(name) {
        return Ok(Vec::new());
    }
    let mut spellings = vec![name.to_owned(), fold_hex(name)];
    spellings.extend(ClaimedName::parse(name).map(|claim| claim.value().to_owned()));
    spellings.dedup();
    if let Some(half) = zynd::half_of(name) {
        // Each standing has its index.
        let hashes = sqlx::query_scalar!(
            r#"SELECT value AS "value!" FROM identity.agent_identifiers
                WHERE value >= $1 AND value < $1 || 'g' AND kind = 'key_hash' AND standing = 'verified'
               UNION
               SELECT value FROM identity.agent_identifiers
                WHERE value >= $1 AND value < $1 || 'g' AND kind = 'key_hash' AND standing <> 'verified'"#,
            half
        );
        spellings.extend(hashes.fetch_all(db.pool()).await?);
    }
    Ok(spellings)
}

/// What each of some names finds, in their order.
pub(crate) async fn find_all(conn: &mut PgConnection, names: &[&str]) -> Result<Vec<Option<Uuid>>> {
    let wanted = Wanted::of(names);
    // What an ARRAY(SELECT ...) holds is unknown to the planner. It would else plan anew for each list, as it takes
    // short ones for cheaper than any, and planning costs more than finding. A hash that begins with a half stands before
    // that half with a `g` behind it, which is above all digits.
    let rows = sqlx::query!(
        r#"SELECT NULL::text AS name, id AS "id!" FROM identity.agents
            WHERE id = ANY(ARRAY(SELECT unnest($1::uuid[])))
           UNION ALL
           SELECT value, agent_id FROM identity.agent_identifiers
            WHERE value = ANY(ARRAY(SELECT unnest($2::text[]))) AND standing = 'verified'
           UNION ALL
           SELECT i.value, i.agent_id
             FROM unnest($3::text[]) AS h(half)
            CROSS JOIN LATERAL (SELECT value, agent_id FROM identity.agent_identifiers
                                 WHERE value >= h.half AND value < h.half || 'g' AND kind = 'key_hash'
                                   AND standing = 'verified' ORDER BY value LIMIT 1) AS i"#,
        &wanted.ids,
        &wanted.values,
        &wanted.halves,
    )
    .fetch_all(conn)
    .await?;
    let mut known = HashSet::new();
    let mut named = Named::default();
    for row in &rows {
        match &row.name {
            None => {
                known.insert(row.id);
            }
            Some(name) => named.add(name, row.id),
        }
    }
    Ok(wanted.found(&named, |id| known.contains(&id)))
}

/// Agents by their verified names as these are stored, and by the halves of those that are hashes.
#[derive(Default)]
struct Named<'a> {
    values: HashMap<&'a str, Uuid>,
    halves: HashMap<&'a str, Uuid>,
}

impl<'a> Named<'a> {
    fn add(&mut self, value: &'a str, agent: Uuid) {
        self.values.insert(value, agent);
        self.halves
            .extend(zynd::half(value).map(|half| (half, agent)));
    }

    fn find(&self, name: &str) -> Option<Uuid> {
        let by_half = || self.halves.get(zynd::half_of(name)?);
        self.values.get(name).or_else(by_half).copied()
    }
}

/// What is looked for in the rows.
struct Wanted<'a> {
    asked: Vec<Asked<'a>>,
    ids: Vec<Uuid>,
    values: Vec<String>,
    /// Of the hashes that names follow from.
    halves: Vec<String>,
}

/// What somebody calls an agent by: its id, or a name, as it is and with folded hex.
enum Asked<'a> {
    Id(Uuid),
    Name(&'a str, String),
}

impl<'a> Wanted<'a> {
    fn of(names: &[&'a str]) -> Self {
        let (mut ids, mut values, mut halves) = (Vec::new(), Vec::new(), Vec::new());
        let asked = names.iter().map(|name| {
            if let Ok(id) = name.parse() {
                ids.push(id);
                return Asked::Id(id);
            }
            let folded = fold_hex(name);
            if let Some(half) = zynd::half_of(name) {
                halves.push(half.to_owned());
            } else if is_fit(name) {
                values.push((*name).to_owned());
                values.extend((folded != *name).then(|| folded.clone()));
            }
            Asked::Name(name, folded)
        });
        let asked = asked.collect();
        Self {
            asked,
            ids,
            values,
            halves,
        }
    }

    /// Whom each of them finds, by the agents of the verified names, and whether there is an agent of an id.
    fn found(&self, named: &Named<'_>, is_known: impl Fn(Uuid) -> bool) -> Vec<Option<Uuid>> {
        let found = self.asked.iter().map(|asked| match asked {
            Asked::Id(id) => Some(*id).filter(|id| is_known(*id)),
            Asked::Name(name, folded) => named.find(name).or_else(|| named.find(folded)),
        });
        found.collect()
    }
}

/// The agents that these verified names find, by name. Hex case does not matter.
pub(crate) async fn by_name(tx: &mut Tx, names: &[&str]) -> Result<HashMap<String, Uuid>> {
    let mut names = names.to_vec();
    // No name is an id.
    names.retain(|name| name.parse::<Uuid>().is_err());
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let found = find_all(tx.conn(), &names).await?;
    let found = names.into_iter().zip(found);
    Ok(found
        .filter_map(|(name, agent)| Some((name.to_owned(), agent?)))
        .collect())
}

/// The names of an agent, and the DIDs of those that it is linked with.
pub async fn list(db: &Db, agent: Uuid) -> Result<Vec<Identifier>> {
    let mut conn = db.pool().acquire().await?;
    let mut names = names_of(&mut conn, &[agent], &[], &[]).await?;
    Ok(names.remove(&agent).unwrap_or_default())
}

/// What each of some names finds, in their order, and all names of those that are found. Whether there is an agent of an
/// id that was asked for, its own row says.
pub(crate) async fn find_named(
    conn: &mut PgConnection,
    names: &[&str],
) -> Result<(Vec<Option<Uuid>>, HashMap<Uuid, Vec<Identifier>>)> {
    let wanted = Wanted::of(names);
    let names = names_of(conn, &wanted.ids, &wanted.values, &wanted.halves).await?;
    let mut named = Named::default();
    for (agent, names) in &names {
        let verified = names.iter().filter(|name| name.standing == "verified");
        verified.for_each(|name| named.add(&name.value, *agent));
    }
    let found = wanted.found(&named, |_| true);
    Ok((found, names))
}

/// All names of some agents, and of those that have one of some verified names. As in [`find_all`], one plan serves all.
async fn names_of(
    conn: &mut PgConnection,
    agents: &[Uuid],
    values: &[String],
    halves: &[String],
) -> Result<HashMap<Uuid, Vec<Identifier>>> {
    let rows = sqlx::query!(
        r#"WITH wanted AS MATERIALIZED (
              SELECT unnest($1::uuid[]) AS id
              UNION ALL
              SELECT agent_id FROM identity.agent_identifiers
               WHERE value = ANY(ARRAY(SELECT unnest($2::text[]))) AND standing = 'verified'
              UNION ALL
              SELECT i.agent_id FROM unnest($3::text[]) AS h(half)
               CROSS JOIN LATERAL (SELECT agent_id FROM identity.agent_identifiers
                                    WHERE value >= h.half AND value < h.half || 'g' AND kind = 'key_hash'
                                      AND standing = 'verified' ORDER BY value LIMIT 1) AS i)
           SELECT agent_id AS "agent_id!", kind AS "kind!", value AS "value!", standing AS "standing!" FROM (
              SELECT agent_id, kind, value, standing FROM identity.agent_identifiers
               WHERE agent_id = ANY(ARRAY(SELECT id FROM wanted))
              UNION ALL
              SELECT c.key_agent, 'did', a.did::text, 'linked' FROM identity.v_claims c
                JOIN identity.agents a ON a.id = c.token_agent
               WHERE c.key_agent = ANY(ARRAY(SELECT id FROM wanted))
              UNION ALL
              SELECT c.token_agent, 'did', a.did::text, 'linked' FROM identity.v_claims c
                JOIN identity.agents a ON a.id = c.key_agent
               WHERE c.token_agent = ANY(ARRAY(SELECT id FROM wanted))) n"#,
        agents,
        values,
        halves
    )
    .fetch_all(conn)
    .await?;
    let mut names = HashMap::<_, Vec<_>>::new();
    for row in rows {
        let all = Identifier::all(row.kind, row.value, row.standing);
        names.entry(row.agent_id).or_default().extend(all);
    }
    for names in names.values_mut() {
        names.sort_unstable_by(|one, next| (&one.kind, &one.value).cmp(&(&next.kind, &next.value)));
        // A process of an earlier version may have stored what follows.
        names.dedup();
    }
    Ok(names)
}

/// Lower-cases every `0x` address inside a name and leaves the rest as it is.
pub(crate) fn fold_hex(name: &str) -> String {
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
