//! Whose rows are compared next, and these rows.

use std::collections::BTreeMap;

use kernel::{Address, B256, U256};
use sqlx::PgExecutor;
use store::Db;
use uuid::Uuid;

use super::compare::Ours;
use crate::{Result, source::Cursor};

/// Agents of the pass over all that are compared at once.
const PASS: i64 = 500;
/// Logs whose agents are compared at once; the last block among them is taken whole.
const TOUCHED: i64 = 500;
/// Agents that are compared again at once.
const AGAIN: i64 = 64;

/// How far the agents of a registry were compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The pass over all goes on with this number; `None`: it is through.
    pub next: Option<U256>,
    /// Agents of whom logs up to this block speak were compared since.
    pub through: i64,
    /// Rewinds of the chain so far.
    pub rewinds: i64,
}

/// Agents to compare, and how far that brings us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Whom, each once.
    pub agents: Vec<Uuid>,
    /// How far all are compared then.
    pub progress: Progress,
}

/// A registry's rows at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The block that they are true at.
    pub at: Cursor,
    /// How many agents were minted, as far as we saw; `None`: they were not counted.
    pub minted: Option<i64>,
    /// Their highest number.
    pub highest: Option<U256>,
    /// The rows of those who were asked for.
    pub agents: Vec<Ours>,
}

/// Chooses from those who are to be compared again, then those of whom new logs speak, then the rest.
pub async fn choose(
    db: &Db,
    chain: i64,
    registry: Address,
    head: i64,
    from: &Progress,
) -> Result<Choice> {
    let mut agents = again(db, chain, registry).await?;
    let (through, touched) = touched(db, chain, registry, from.through, head).await?;
    agents.extend(touched);
    let mut next = None;
    if let Some(first) = from.next {
        let passed = pass(db, chain, registry, first).await?;
        if passed.len() == usize::try_from(PASS).unwrap_or(usize::MAX) {
            next = passed
                .last()
                .map(|(_, token)| token.saturating_add(U256::from(1)));
        }
        agents.extend(passed.into_iter().map(|(agent, _)| agent));
    }
    agents.sort_unstable();
    agents.dedup();
    Ok(Choice {
        agents,
        progress: Progress {
            next,
            through,
            rewinds: from.rewinds,
        },
    })
}

async fn again(db: &Db, chain: i64, registry: Address) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT t.agent_id AS "agent!"
             FROM (SELECT agent_id FROM chain.census_again WHERE chain_id = $1
                   UNION
                   SELECT agent_id FROM chain.mismatches
                    WHERE chain_id = $1 AND registry = $2 AND gone_block IS NULL) again
             JOIN identity.v_tokens t ON t.agent_id = again.agent_id
            WHERE t.chain_id = $1 AND t.registry = $2 LIMIT $3"#,
        chain,
        registry.as_slice(),
        AGAIN,
    )
    .fetch_all(db.pool())
    .await?)
}

/// Agents of whom logs above a block speak, and up to which block these logs go.
async fn touched(
    db: &Db,
    chain: i64,
    registry: Address,
    above: i64,
    head: i64,
) -> Result<(i64, Vec<Uuid>)> {
    let end = sqlx::query_scalar!(
        "SELECT block_number FROM chain.logs
          WHERE chain_id = $1 AND block_number > $2 AND block_number <= $3
            AND address = $4 AND subject IS NOT NULL
          ORDER BY block_number, log_index OFFSET $5 LIMIT 1",
        chain,
        above,
        head,
        registry.as_slice(),
        TOUCHED,
    )
    .fetch_optional(db.pool())
    .await?
    .unwrap_or(head);
    let agents = sqlx::query_scalar!(
        r#"SELECT DISTINCT subject AS "agent!" FROM chain.logs
            WHERE chain_id = $1 AND block_number > $2 AND block_number <= $3
              AND address = $4 AND subject IS NOT NULL"#,
        chain,
        above,
        end,
        registry.as_slice(),
    )
    .fetch_all(db.pool())
    .await?;
    Ok((end, agents))
}

async fn pass(db: &Db, chain: i64, registry: Address, from: U256) -> Result<Vec<(Uuid, U256)>> {
    let rows = sqlx::query!(
        r#"SELECT agent_id AS "agent!", token_id::text AS "token!" FROM identity.v_tokens
            WHERE chain_id = $1 AND registry = $2 AND token_id >= $3::text::numeric
            ORDER BY token_id LIMIT $4"#,
        chain,
        registry.as_slice(),
        from.to_string(),
        PASS,
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.agent, number(&row.token)))
        .collect())
}

/// Reads rows and the block that they are true at in one statement, and so at one moment. Agents
/// without a row are left out. To `count` means to look at every row of the registry.
pub async fn rows(
    executor: impl PgExecutor<'_>,
    chain: i64,
    registry: Address,
    agents: &[Uuid],
    count: bool,
) -> Result<Rows> {
    let found = sqlx::query!(
        r#"SELECT c.head_number, c.head_hash,
                  CASE WHEN $4 THEN (SELECT count(*) FROM identity.v_tokens
                    WHERE chain_id = $1 AND registry = $2 AND complete) END AS minted,
                  (SELECT token_id FROM identity.v_tokens
                    WHERE chain_id = $1 AND registry = $2
                    ORDER BY token_id DESC LIMIT 1)::text AS highest,
                  t.agent_id AS "agent?", t.token_id::text AS token, t.owner, t.wallet, t.uri_hash,
                  left(t.uri, 200) AS uri, t.onchain AS "onchain?", t.burned AS "burned?"
             FROM chain.chains c
             LEFT JOIN identity.v_tokens t
                    ON t.chain_id = c.chain_id AND t.registry = $2 AND t.agent_id = ANY($3)
            WHERE c.chain_id = $1"#,
        chain,
        registry.as_slice(),
        agents,
        count,
    )
    .fetch_all(executor)
    .await?;
    let first = found.first();
    let hash = first.and_then(|row| row.head_hash.as_deref());
    let mut out = Rows {
        at: Cursor {
            number: first.map_or(-1, |row| row.head_number),
            hash: hash.and_then(|hash| B256::try_from(hash).ok()),
        },
        minted: first.and_then(|row| row.minted),
        highest: first.and_then(|row| row.highest.as_deref()).map(number),
        agents: Vec::with_capacity(found.len()),
    };
    for row in found {
        let (Some(agent), Some(token)) = (row.agent, row.token) else {
            continue;
        };
        let account = |bytes: Option<Vec<u8>>| Address::try_from(bytes?.as_slice()).ok();
        let onchain = row
            .onchain
            .and_then(|json| serde_json::from_value(json).ok());
        out.agents.push(Ours {
            agent,
            token: number(&token),
            owner: account(row.owner),
            wallet: account(row.wallet),
            uri: row.uri_hash.and_then(|hash| hash.try_into().ok()),
            uri_shown: row.uri,
            metadata: spelled(onchain.unwrap_or_default()),
            burned: row.burned.unwrap_or_default(),
        });
    }
    Ok(out)
}

/// The lowest and the highest of a registry's agents, to try an implementation on.
pub async fn samples(db: &Db, chain: i64, registry: Address) -> Result<Vec<Ours>> {
    let ends = sqlx::query_scalar!(
        r#"(SELECT agent_id AS "agent!" FROM identity.v_tokens
             WHERE chain_id = $1 AND registry = $2 ORDER BY token_id LIMIT 1)
           UNION
           (SELECT agent_id FROM identity.v_tokens
             WHERE chain_id = $1 AND registry = $2 ORDER BY token_id DESC LIMIT 1)"#,
        chain,
        registry.as_slice(),
    )
    .fetch_all(db.pool())
    .await?;
    Ok(rows(db.pool(), chain, registry, &ends, false).await?.agents)
}

/// Without the keys that rows hold by their digests: nobody can ask for those.
fn spelled(metadata: BTreeMap<String, String>) -> BTreeMap<String, String> {
    metadata
        .into_iter()
        .filter(|(key, _)| !key.starts_with("sha256:"))
        .collect()
}

/// A number as the database writes it.
fn number(text: &str) -> U256 {
    text.parse().unwrap_or_default()
}
