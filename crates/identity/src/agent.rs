//! Agents as they are shown.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use kernel::{Address, Limit, Page};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use store::Db;
use uuid::Uuid;

use crate::{
    Error, Result,
    fact::RuntimeStatus,
    identifier::{self, Identifier},
};

/// An agent: VEXEL's columns by their names, and where it stands on chain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agent {
    /// Row id, stable over reorgs.
    pub id: Uuid,
    /// DID.
    pub did: String,
    /// Name, or `<chain>:<agentId>` where nobody named it.
    pub name: String,
    /// `none`, `document`, `act` or `statement`.
    pub name_source: String,
    /// What it does.
    pub description: Option<String>,
    /// Owner, EIP-55.
    pub owner_address: Option<String>,
    /// Agent wallet, EIP-55.
    pub agent_wallet: Option<String>,
    /// CID of the registration file's bytes.
    pub ipfs_metadata_hash: Option<String>,
    /// Founding.
    pub created_at: DateTime<Utc>,
    /// Last effective fact.
    pub updated_at: DateTime<Utc>,
    /// ACTIVE, SLEEP or TERMINATED.
    pub runtime_status: RuntimeStatus,
    /// Last change to ACTIVE.
    pub last_active_at: Option<DateTime<Utc>>,
    /// `unknown`, `active` or `inactive`.
    pub liveness: String,
    /// ACTIVE, INACTIVE or SUSPENDED.
    pub admin_status: String,
    /// AVAILABLE or BUSY.
    pub load: String,
    /// Last heartbeat.
    pub last_heartbeat: Option<DateTime<Utc>>,
    /// Where it answers.
    pub endpoint_url: Option<String>,
    /// Picture.
    pub avatar_url: Option<String>,
    /// Category.
    pub category: Option<String>,
    /// Summary.
    pub summary: Option<String>,
    /// Version.
    pub version: Option<String>,
    /// Whatever else its file says.
    pub metadata: Value,
    /// Between 0 and 1.
    pub trust_score: Option<f64>,
    /// Its Ed25519 key, `ed25519:<base64>`.
    pub public_key: Option<String>,
    /// Hash of the code that it runs, in its own words.
    pub codebase_hash: Option<String>,
    /// Seconds within which it beats again.
    pub ttl: Option<i32>,
    /// Whether it ended for good: its token was burned, or it was deregistered.
    pub ended: bool,
    /// EIP-155 chain id of its token.
    pub chain: Option<i64>,
    /// The registry, EIP-55.
    pub registry: Option<String>,
    /// agentId, decimal.
    pub agent_id: Option<String>,
    /// Whether its registration was seen.
    pub complete: bool,
    /// Whether the token is burned.
    pub burned: bool,
    /// Agent URI as the chain has it.
    pub agent_uri: Option<String>,
    /// State of the registration file.
    pub metadata_state: Option<String>,
    /// Whether its bytes are what URI or chain say.
    pub metadata_verification: Option<String>,
    /// What the row rests on: `claimed` < `reported` < `agreed` < `bloom` < `proven` < `finalized`.
    pub level: Option<String>,
    /// The last log that spoke of it: block.
    pub last_block: Option<i64>,
    /// Its transaction.
    pub last_tx: Option<String>,
    /// Its index in the block.
    pub last_log: Option<i32>,
}

/// What a list is filtered by.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Owner, any hex case.
    pub owner: Option<Address>,
    /// EIP-155 chain id.
    pub chain: Option<u64>,
    /// Status.
    pub status: Option<RuntimeStatus>,
    /// One of [`ADMIN_STATUSES`](crate::fact::ADMIN_STATUSES).
    pub admin_status: Option<&'static str>,
    /// One of [`LIVENESSES`](crate::fact::LIVENESSES).
    pub liveness: Option<&'static str>,
    /// One of [`LOADS`](crate::fact::LOADS).
    pub load: Option<&'static str>,
    /// Whether those whom the operator suspended are left out.
    pub without_suspended: bool,
    /// A part of the name or description, any case.
    pub query: Option<String>,
    /// Name of a capability.
    pub capability: Option<String>,
    /// A name of the agent's own, verified, claimed or former.
    pub identifier: Option<String>,
    /// Agents of keys that were deregistered before are left out.
    pub ended_before: Option<DateTime<Utc>>,
}

/// An agent as its row is.
struct Row {
    id: Uuid,
    did: String,
    name: String,
    name_source: String,
    description: Option<String>,
    owner_address: Option<String>,
    ipfs_metadata_hash: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    runtime_status: RuntimeStatus,
    last_active_at: Option<DateTime<Utc>>,
    liveness: String,
    admin_status: String,
    load: String,
    last_heartbeat: Option<DateTime<Utc>>,
    endpoint_url: Option<String>,
    avatar_url: Option<String>,
    category: Option<String>,
    summary: Option<String>,
    version: Option<String>,
    metadata: Value,
    trust_score: Option<f64>,
    public_key: Option<String>,
    codebase_hash: Option<String>,
    ttl: Option<i32>,
    ended: bool,
    chain: Option<i64>,
    registry: Option<Vec<u8>>,
    agent_id: Option<String>,
    wallet: Option<Vec<u8>>,
    complete: Option<bool>,
    burned: Option<bool>,
    uri: Option<String>,
    metadata_state: Option<String>,
    metadata_verification: Option<String>,
    level: Option<String>,
    last_block: Option<i64>,
    last_tx: Option<Vec<u8>>,
    last_log: Option<i32>,
}

impl From<Row> for Agent {
    fn from(row: Row) -> Self {
        let address = |bytes: Option<Vec<u8>>| {
            bytes
                .and_then(|b| Address::try_from(b.as_slice()).ok())
                .map(|a| a.to_string())
        };
        Self {
            id: row.id,
            did: row.did,
            name: row.name,
            name_source: row.name_source,
            description: row.description,
            owner_address: row.owner_address.map(checksummed),
            agent_wallet: address(row.wallet),
            ipfs_metadata_hash: row.ipfs_metadata_hash,
            created_at: row.created_at,
            updated_at: row.updated_at,
            runtime_status: row.runtime_status,
            last_active_at: row.last_active_at,
            liveness: row.liveness,
            admin_status: row.admin_status,
            load: row.load,
            last_heartbeat: row.last_heartbeat,
            endpoint_url: row.endpoint_url,
            avatar_url: row.avatar_url,
            category: row.category,
            summary: row.summary,
            version: row.version,
            metadata: row.metadata,
            trust_score: row.trust_score,
            public_key: row.public_key,
            codebase_hash: row.codebase_hash,
            ttl: row.ttl,
            ended: row.ended,
            chain: row.chain,
            registry: address(row.registry),
            agent_id: row.agent_id,
            // An agent without a token lacks nothing.
            complete: row.complete.unwrap_or(true),
            burned: row.burned.unwrap_or(false),
            agent_uri: row.uri,
            metadata_state: row.metadata_state,
            metadata_verification: row.metadata_verification,
            level: row.level,
            last_block: row.last_block,
            last_tx: row.last_tx.map(|hash| format!("0x{}", hex::encode(hash))),
            last_log: row.last_log,
        }
    }
}

/// EIP-55 of an address as rows keep it; a text that is none stays.
fn checksummed(text: String) -> String {
    text.parse::<Address>()
        .map_or(text, |address| address.to_string())
}

/// An agent and all its names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Named {
    /// The agent.
    #[serde(flatten)]
    pub agent: Agent,
    /// Its names, by kind and value.
    pub identifiers: Vec<Identifier>,
}

/// The agent that a name finds: UUID, DID, `eip155:...`, `<chain>:<agentId>`.
pub async fn find(db: &Db, name: &str) -> Result<Option<Agent>> {
    let mut conn = db.pool().acquire().await?;
    let found = identifier::find_all(&mut conn, &[name]).await?;
    let Some(id) = found.into_iter().next().flatten() else {
        return Ok(None);
    };
    Ok(by_ids(&mut conn, &[id]).await?.remove(&id))
}

/// The id of the agent that a name finds, where it must exist.
pub async fn id_of(db: &Db, name: &str) -> Result<Uuid> {
    match identifier::find(db, name).await? {
        Some(id) => Ok(id),
        None => Err(identifier::nobody(db, name).await),
    }
}

/// The same, where it must exist.
pub async fn get(db: &Db, name: &str) -> Result<Agent> {
    match find(db, name).await? {
        Some(agent) => Ok(agent),
        None => Err(identifier::nobody(db, name).await),
    }
}

/// What each of some names finds, in their order. Two queries, however many names there are.
pub async fn find_all(db: &Db, names: &[&str]) -> Result<Vec<Option<Arc<Named>>>> {
    let mut conn = db.pool().acquire().await?;
    let (found, mut identifiers) = identifier::find_named(&mut conn, names).await?;
    let mut ids: Vec<Uuid> = found.iter().flatten().copied().collect();
    ids.sort_unstable();
    ids.dedup();
    let agents = by_ids(&mut conn, &ids).await?;
    let whole = agents.into_iter().map(|(id, agent)| {
        let identifiers = identifiers.remove(&id).unwrap_or_default();
        (id, Arc::new(Named { agent, identifiers }))
    });
    let whole: HashMap<Uuid, Arc<Named>> = whole.collect();
    let of = |id: Option<Uuid>| whole.get(&id?).cloned();
    Ok(found.into_iter().map(of).collect())
}

/// As in [`identifier::find_all`], one plan serves all.
async fn by_ids(conn: &mut PgConnection, ids: &[Uuid]) -> Result<HashMap<Uuid, Agent>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT a.id AS "id!", a.did AS "did!", a.name AS "name!", a.name_source AS "name_source!",
                  a.description, a.owner_address,
                  a.ipfs_metadata_hash, a.created_at AS "created_at!", a.updated_at AS "updated_at!",
                  a.runtime_status AS "runtime_status!: RuntimeStatus", a.last_active_at,
                  a.liveness AS "liveness!",
                  a.admin_status AS "admin_status!", a.load AS "load!",
                  greatest(a.last_heartbeat, b.last) AS last_heartbeat, a.endpoint_url,
                  a.avatar_url, a.category, a.summary, a.version, a.metadata AS "metadata!",
                  a.trust_score, a.public_key, a.codebase_hash, a.ttl, a.status_final AS "ended!",
                  t.chain_id AS "chain?", t.registry AS "registry?", t.token_id::text AS agent_id,
                  t.wallet AS "wallet?", t.complete AS "complete?", t.burned AS "burned?",
                  t.uri AS "uri?", t.metadata_state, t.metadata_verification, t.level,
                  t.last_block AS "last_block?", t.last_tx AS "last_tx?", t.last_log AS "last_log?"
             FROM identity.agents a LEFT JOIN identity.v_tokens t ON t.agent_id = a.id
             LEFT JOIN identity.heartbeats b ON b.agent_id = a.id
            WHERE a.id = ANY(ARRAY(SELECT unnest($1::uuid[])))"#,
        ids,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.into())).collect())
}

/// The agents that an address owns now; `None` where they are more than `most`.
pub async fn owned_by(db: &Db, owner: Address, most: usize) -> Result<Option<Vec<Uuid>>> {
    let owner = format!("{owner:#x}");
    let limit = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
    let ids = sqlx::query_scalar!(
        "SELECT id FROM identity.agents WHERE owner_address = $1 LIMIT $2",
        owner,
        limit,
    );
    let ids = ids.fetch_all(db.pool()).await?;
    Ok(Some(ids).filter(|ids| ids.len() <= most))
}

/// Those of these agents that an address owns now.
pub async fn owned_among(db: &Db, owner: Address, agents: &[Uuid]) -> Result<Vec<Uuid>> {
    let owner = format!("{owner:#x}");
    let ids = sqlx::query_scalar!(
        "SELECT id FROM identity.agents WHERE id = ANY($2) AND owner_address = $1",
        owner,
        agents,
    );
    Ok(ids.fetch_all(db.pool()).await?)
}

/// Agents, newest first; `cursor` is one that an earlier page gave.
pub async fn list(
    db: &Db,
    filter: &Filter,
    cursor: Option<&str>,
    limit: Limit,
) -> Result<Page<Agent>> {
    let after = cursor.map(read_cursor).transpose()?;
    let owner = filter.owner.map(|owner| format!("{owner:#x}"));
    let chain = filter.chain.map(u64::cast_signed);
    let pattern = filter
        .query
        .as_ref()
        .map(|query| format!("%{}%", escape_like(query)));
    let named = match &filter.identifier {
        Some(name) => Some(identifier::spellings(db, name).await?),
        None => None,
    };
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT a.id, a.did, a.name, a.name_source, a.description, a.owner_address,
                  a.ipfs_metadata_hash, a.created_at AS "created_at!", a.updated_at AS "updated_at!",
                  a.runtime_status AS "runtime_status!: RuntimeStatus", a.last_active_at, a.liveness,
                  a.admin_status, a.load, greatest(a.last_heartbeat, b.last) AS last_heartbeat, a.endpoint_url,
                  a.avatar_url, a.category, a.summary, a.version, a.metadata, a.trust_score, a.public_key,
                  a.codebase_hash, a.ttl, a.status_final AS ended,
                  t.chain_id AS "chain?", t.registry AS "registry?", t.token_id::text AS agent_id,
                  t.wallet AS "wallet?", t.complete AS "complete?", t.burned AS "burned?",
                  t.uri AS "uri?", t.metadata_state, t.metadata_verification, t.level,
                  t.last_block AS "last_block?", t.last_tx AS "last_tx?", t.last_log AS "last_log?"
             FROM identity.agents a LEFT JOIN identity.v_tokens t ON t.agent_id = a.id
             LEFT JOIN identity.heartbeats b ON b.agent_id = a.id
            WHERE ($1::text IS NULL OR a.owner_address = $1)
              AND ($2::bigint IS NULL OR t.chain_id = $2)
              AND ($3::identity.runtime_status IS NULL OR a.runtime_status = $3)
              AND ($4::text IS NULL OR a.name ILIKE $4 OR a.description ILIKE $4)
              AND ($5::text IS NULL OR EXISTS (SELECT FROM identity.capability_vectors c
                                                WHERE c.agent_id = a.id AND c.capability_name = $5))
              -- Each standing has its index.
              AND ($10::text[] IS NULL OR a.id = ANY(ARRAY(
                      SELECT agent_id FROM identity.agent_identifiers
                       WHERE value = ANY($10) AND standing = 'verified'
                      UNION ALL
                      SELECT agent_id FROM identity.agent_identifiers
                       WHERE value = ANY($10) AND standing <> 'verified')))
              AND ($9::timestamptz IS NULL OR NOT (a.status_final AND a.did LIKE 'did:key:%')
                   -- Its end is the last row of its history, or what was signed of one that was TERMINATED already;
                   -- what an operator says of it afterwards is no longer life.
                   OR EXISTS (SELECT FROM identity.agent_status_history h
                               WHERE h.agent_id = a.id AND h.changed_at >= $9)
                   OR EXISTS (SELECT FROM identity.statements s
                               WHERE s.agent_id = a.id AND s.kind = 'deregister' AND s.at >= $9))
              AND ($11::text IS NULL OR a.admin_status = $11)
              AND ($12::text IS NULL OR a.liveness = $12)
              AND ($13::text IS NULL OR a.load = $13)
              AND NOT ($14::bool AND a.admin_status = 'SUSPENDED')
              AND ($6::timestamptz IS NULL OR (a.created_at, a.id) < ($6, $7))
            ORDER BY a.created_at DESC, a.id DESC LIMIT $8"#,
        owner,
        chain,
        filter.status as Option<RuntimeStatus>,
        pattern,
        filter.capability,
        after.map(|(time, _)| time),
        after.map(|(_, id)| id),
        limit.lookahead(),
        filter.ended_before,
        named.as_deref() as Option<&[String]>,
        filter.admin_status,
        filter.liveness,
        filter.load,
        filter.without_suspended,
    )
    .fetch_all(db.pool())
    .await?;
    let agents = rows.into_iter().map(Agent::from).collect();
    Ok(Page::from_lookahead(agents, limit, |agent: &Agent| {
        format!("{}_{}", agent.created_at.timestamp_micros(), agent.id)
    }))
}

/// How many agents there are.
pub async fn count(db: &Db) -> Result<i64> {
    Ok(
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM identity.agents"#)
            .fetch_one(db.pool())
            .await?,
    )
}

fn read_cursor(text: &str) -> Result<(DateTime<Utc>, Uuid)> {
    let parsed = text.split_once('_').and_then(|(time, id)| {
        Some((
            DateTime::from_timestamp_micros(time.parse().ok()?)?,
            id.parse().ok()?,
        ))
    });
    parsed.ok_or_else(|| Error::Invalid("this cursor is none that a page gave".to_owned()))
}

fn escape_like(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('%', "\\%")
        .replace('_', "\\_")
}
