//! Folded agents to rows: each table in at most three statements, and an unchanged row in none.
//!
//! Rows travel as one JSON array per table: their types stand here, Postgres reads them by name.

use serde::Serialize;
use serde_json::Value;
use store::Tx;
use uuid::Uuid;

use kernel::{Address, DerivedTable};

use super::Folded;
use crate::{
    Result,
    fold::{DimensionRow, HistoryRow, Source},
    identifier,
};

/// A row of `identity.agents`, as far as the projection owns it.
#[derive(Debug, Serialize)]
struct AgentRow<'a> {
    id: Uuid,
    did: String,
    name: String,
    description: Option<&'a str>,
    owner_address: Option<String>,
    ipfs_metadata_hash: Option<&'a str>,
    created_at: Option<chrono::DateTime<chrono::Utc>>,
    updated_at: Option<chrono::DateTime<chrono::Utc>>,
    runtime_status: &'static str,
    last_active_at: Option<chrono::DateTime<chrono::Utc>>,
    name_source: &'static str,
    public_key: Option<&'a str>,
    endpoint_url: Option<&'a str>,
    avatar_url: Option<&'a str>,
    category: Option<&'a str>,
    summary: Option<&'a str>,
    version: Option<&'a str>,
    metadata: Value,
    codebase_hash: Option<&'a str>,
    ttl: Option<i64>,
    last_heartbeat: Option<chrono::DateTime<chrono::Utc>>,
    liveness: &'a str,
    admin_status: &'a str,
    load: &'a str,
    trust_score: Option<f64>,
    status_final: bool,
}

/// VEXEL's `name` is VARCHAR(255).
const NAME_CHARS: usize = 255;

fn agent_row(one: &Folded) -> AgentRow<'_> {
    let (state, columns) = (&one.head, &one.head.columns);
    let own_name = columns.text("name").map(str::trim).filter(|name| !name.is_empty());
    let fallback = || one.subject.token.map_or_else(|| one.subject.did.clone(), |token| token.short());
    let owner = state.token.owner.map(|(owner, _)| hex_address(&owner));
    AgentRow {
        id: one.subject.id.0,
        did: columns.text("did").map_or_else(|| one.subject.did.clone(), str::to_owned),
        name: own_name.map_or_else(fallback, str::to_owned).chars().take(NAME_CHARS).collect(),
        description: columns.text("description"),
        owner_address: owner.or_else(|| columns.text("owner_address").map(str::to_lowercase)),
        ipfs_metadata_hash: state
            .document
            .as_ref()
            .and_then(|document| document.cid.as_deref())
            .or_else(|| columns.text("ipfs_metadata_hash")),
        created_at: state.created_at,
        updated_at: state.updated_at,
        runtime_status: state.status.runtime.map_or("ACTIVE", |status| status.as_str()),
        last_active_at: state.last_active_at,
        name_source: match own_name.and(columns.source("name")) {
            None => "none",
            Some(Source::Document) => "document",
            Some(Source::Act) => "act",
        },
        public_key: columns.text("public_key"),
        endpoint_url: columns.text("endpoint_url"),
        avatar_url: columns.text("avatar_url"),
        category: columns.text("category"),
        summary: columns.text("summary"),
        version: columns.text("version"),
        metadata: columns.value("metadata").cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        codebase_hash: columns.text("codebase_hash"),
        ttl: columns.value("ttl").and_then(Value::as_i64),
        last_heartbeat: state.last_heartbeat,
        liveness: state.status.liveness.1.as_deref().unwrap_or("unknown"),
        admin_status: state.status.admin.1.as_deref().unwrap_or("ACTIVE"),
        load: state.status.load.1.as_deref().unwrap_or("AVAILABLE"),
        trust_score: columns.value("trust_score").and_then(Value::as_f64),
        status_final: state.status.fixed,
    }
}

/// A row of `identity.tokens`.
#[derive(Debug, Serialize)]
struct TokenRow<'a> {
    agent_id: Uuid,
    chain_id: u64,
    registry: String,
    token_id: String,
    owner: Option<String>,
    approved: Option<String>,
    wallet: Option<String>,
    uri_hash: Option<String>,
    document_version: Option<i32>,
    founding: Option<&'a str>,
    complete: bool,
    burned: bool,
    claimed: bool,
    onchain: &'a std::collections::BTreeMap<String, String>,
    owner_block: Option<i64>,
    owner_log: Option<i32>,
    wallet_block: Option<i64>,
    wallet_log: Option<i32>,
    uri_block: Option<i64>,
    uri_log: Option<i32>,
    first_block: i64,
    last_block: i64,
    last_log: i32,
    last_tx: String,
}

fn token_row(one: &Folded) -> Option<TokenRow<'_>> {
    let named = one.subject.token?;
    let token = &one.head.token;
    let (last, last_tx) = token.last?;
    let uri = token.uri.as_ref();
    let document = one.head.document.as_ref().filter(|document| {
        uri.is_some_and(|named| named.uri.hash == document.uri)
    });
    Some(TokenRow {
        agent_id: one.subject.id.0,
        chain_id: named.chain,
        registry: bytea(named.registry.as_slice()),
        token_id: named.id.to_string(),
        owner: token.owner.map(|(owner, _)| bytea(owner.as_slice())),
        approved: token.approved.map(|approved| bytea(approved.as_slice())),
        wallet: token.wallet.and_then(|(wallet, _)| wallet).map(|wallet| bytea(wallet.as_slice())),
        uri_hash: uri.map(|named| bytea(&named.uri.hash)),
        document_version: document.map(|document| document.version),
        founding: token.founding.as_deref(),
        complete: token.founding.is_some(),
        burned: token.burned,
        claimed: token.claimed.any(),
        onchain: &token.onchain,
        owner_block: token.owner.map(|(_, at)| at.block),
        owner_log: token.owner.map(|(_, at)| at.log),
        wallet_block: token.wallet.map(|(_, at)| at.block),
        wallet_log: token.wallet.map(|(_, at)| at.log),
        uri_block: uri.map(|named| named.place.major),
        uri_log: uri.map(|named| named.place.minor),
        first_block: token.first.map_or(last.block, |at| at.block),
        last_block: last.block,
        last_log: last.log,
        last_tx: bytea(last_tx.as_slice()),
    })
}

fn bytea(bytes: &[u8]) -> String {
    format!("\\x{}", hex::encode(bytes))
}

fn hex_address(address: &Address) -> String {
    format!("{address:#x}")
}

/// Writes all rows of all tables; those of agents without facts, or with deleted rows, go.
pub(super) async fn rows(tx: &mut Tx, folded: &[Folded]) -> Result<()> {
    let (shown, hidden): (Vec<&Folded>, Vec<&Folded>) =
        folded.iter().partition(|one| one.head.exists && !one.head.deleted);
    let without_facts: Vec<Uuid> = folded
        .iter()
        .filter(|one| !one.head.exists)
        .map(|one| one.subject.id.0)
        .collect();
    let hidden: Vec<Uuid> = hidden.iter().map(|one| one.subject.id.0).collect();
    remove(tx, &hidden, &without_facts).await?;
    tokens(tx, folded).await?;
    agents(tx, &shown).await?;
    history(tx, &shown).await?;
    dimensions(tx, &shown).await?;
    documents(tx, &shown).await?;
    capabilities(tx, &shown).await?;
    // Names follow from who an agent is: only a first fold, a mint or a restoration writes them.
    let begun = shown.iter().filter(|one| one.scratch || one.delta.capabilities);
    identifier::write(tx, &begun.map(|one| names(one)).collect::<Vec<_>>()).await
}

fn names(one: &Folded) -> identifier::Names {
    identifier::Names::of(&one.subject, one.chain.and_then(|chain| chain.first_registry))
}

async fn remove(tx: &mut Tx, hidden: &[Uuid], without_facts: &[Uuid]) -> Result<()> {
    if !hidden.is_empty() {
        sqlx::query!("DELETE FROM identity.agents WHERE id = ANY($1)", hidden)
            .execute(tx.conn())
            .await?;
    }
    if !without_facts.is_empty() {
        sqlx::query!("DELETE FROM identity.tokens WHERE agent_id = ANY($1)", without_facts)
            .execute(tx.conn())
            .await?;
        sqlx::query!("DELETE FROM identity.uri_agents WHERE agent_id = ANY($1)", without_facts)
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

async fn tokens(tx: &mut Tx, folded: &[Folded]) -> Result<()> {
    let rows: Vec<TokenRow<'_>> =
        folded.iter().filter(|one| one.head.exists).filter_map(token_row).collect();
    sqlx::query!(
        "INSERT INTO identity.tokens AS t
         SELECT * FROM json_populate_recordset(NULL::identity.tokens, $1::text::json)
         ON CONFLICT (agent_id) DO UPDATE
            SET owner = EXCLUDED.owner, approved = EXCLUDED.approved, wallet = EXCLUDED.wallet,
                uri_hash = EXCLUDED.uri_hash, document_version = EXCLUDED.document_version,
                founding = EXCLUDED.founding, complete = EXCLUDED.complete,
                burned = EXCLUDED.burned, claimed = EXCLUDED.claimed, onchain = EXCLUDED.onchain,
                owner_block = EXCLUDED.owner_block, owner_log = EXCLUDED.owner_log,
                wallet_block = EXCLUDED.wallet_block, wallet_log = EXCLUDED.wallet_log,
                uri_block = EXCLUDED.uri_block, uri_log = EXCLUDED.uri_log,
                first_block = EXCLUDED.first_block, last_block = EXCLUDED.last_block,
                last_log = EXCLUDED.last_log, last_tx = EXCLUDED.last_tx
          WHERE t IS DISTINCT FROM EXCLUDED",
        json(&rows)?,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn agents(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    let rows: Vec<AgentRow<'_>> = shown.iter().map(|one| agent_row(one)).collect();
    sqlx::query!(
        "INSERT INTO identity.agents AS a
                (id, did, name, description, owner_address, ipfs_metadata_hash, created_at, updated_at,
                 runtime_status, last_active_at, name_source, public_key, endpoint_url, avatar_url,
                 category, summary, version, metadata, codebase_hash, ttl, last_heartbeat, liveness,
                 admin_status, load, trust_score, status_final)
         SELECT id, did, name, description, owner_address, ipfs_metadata_hash, created_at, updated_at,
                runtime_status, last_active_at, name_source, public_key, endpoint_url, avatar_url,
                category, summary, version, metadata, codebase_hash, ttl, last_heartbeat, liveness,
                admin_status, load, trust_score, status_final
           FROM json_populate_recordset(NULL::identity.agents, $1::text::json)
         ON CONFLICT (id) DO UPDATE
            SET did = EXCLUDED.did, name = EXCLUDED.name, description = EXCLUDED.description,
                owner_address = EXCLUDED.owner_address,
                ipfs_metadata_hash = EXCLUDED.ipfs_metadata_hash,
                created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at,
                runtime_status = EXCLUDED.runtime_status,
                last_active_at = EXCLUDED.last_active_at, name_source = EXCLUDED.name_source,
                public_key = EXCLUDED.public_key, endpoint_url = EXCLUDED.endpoint_url,
                avatar_url = EXCLUDED.avatar_url, category = EXCLUDED.category,
                summary = EXCLUDED.summary, version = EXCLUDED.version,
                metadata = EXCLUDED.metadata, codebase_hash = EXCLUDED.codebase_hash,
                ttl = EXCLUDED.ttl, last_heartbeat = EXCLUDED.last_heartbeat,
                liveness = EXCLUDED.liveness, admin_status = EXCLUDED.admin_status,
                load = EXCLUDED.load, trust_score = EXCLUDED.trust_score,
                status_final = EXCLUDED.status_final
          WHERE (a.did, a.name, a.description, a.owner_address, a.ipfs_metadata_hash, a.created_at,
                 a.updated_at, a.runtime_status, a.last_active_at, a.name_source, a.public_key,
                 a.endpoint_url, a.avatar_url, a.category, a.summary, a.version, a.metadata,
                 a.codebase_hash, a.ttl, a.last_heartbeat, a.liveness, a.admin_status, a.load,
                 a.trust_score, a.status_final)
                IS DISTINCT FROM
                (EXCLUDED.did, EXCLUDED.name, EXCLUDED.description, EXCLUDED.owner_address,
                 EXCLUDED.ipfs_metadata_hash, EXCLUDED.created_at, EXCLUDED.updated_at,
                 EXCLUDED.runtime_status, EXCLUDED.last_active_at, EXCLUDED.name_source,
                 EXCLUDED.public_key, EXCLUDED.endpoint_url, EXCLUDED.avatar_url,
                 EXCLUDED.category, EXCLUDED.summary, EXCLUDED.version, EXCLUDED.metadata,
                 EXCLUDED.codebase_hash, EXCLUDED.ttl, EXCLUDED.last_heartbeat,
                 EXCLUDED.liveness, EXCLUDED.admin_status, EXCLUDED.load, EXCLUDED.trust_score,
                 EXCLUDED.status_final)",
        json(&rows)?,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A row of `identity.agent_status_history`.
#[derive(Debug, Serialize)]
struct StatusRow<'a> {
    id: Uuid,
    agent_id: Uuid,
    previous_status: Option<&'static str>,
    new_status: &'static str,
    changed_at: chrono::DateTime<chrono::Utc>,
    reason: Option<&'a str>,
    metadata: Option<&'a Value>,
    seq: i32,
    cause: &'a str,
    who: &'a str,
}

async fn history(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    let row = |agent: kernel::AgentId, row: &HistoryRow| -> Uuid {
        agent.derived(DerivedTable::StatusHistory, &row.cause)
    };
    let rows: Vec<StatusRow<'_>> = shown
        .iter()
        .flat_map(|one| one.delta.history.iter().map(move |change| (one.subject.id, change)))
        .map(|(agent, change)| StatusRow {
            id: row(agent, change),
            agent_id: agent.0,
            previous_status: change.previous.map(|status| status.as_str()),
            new_status: change.new.as_str(),
            changed_at: change.at,
            reason: change.reason.as_deref(),
            metadata: change.metadata.as_ref(),
            seq: change.seq,
            cause: &change.cause,
            who: &change.who,
        })
        .collect();
    let ids: Vec<Uuid> = shown.iter().map(|one| one.subject.id.0).collect();
    let bases: Vec<i32> = shown.iter().map(|one| one.base.history).collect();
    let keep: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    // What history said beyond the saved state, and what the facts no longer say.
    sqlx::query!(
        "DELETE FROM identity.agent_status_history h
          USING unnest($1::uuid[], $2::int[]) AS w(id, base)
          WHERE h.agent_id = w.id AND h.seq >= w.base AND h.id <> ALL($3)",
        &ids,
        &bases,
        &keep,
    )
    .execute(tx.conn())
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO identity.agent_status_history AS h
         SELECT * FROM json_populate_recordset(NULL::identity.agent_status_history, $1::text::json)
         ON CONFLICT (id) DO UPDATE
            SET previous_status = EXCLUDED.previous_status, new_status = EXCLUDED.new_status,
                changed_at = EXCLUDED.changed_at, reason = EXCLUDED.reason,
                metadata = EXCLUDED.metadata, seq = EXCLUDED.seq, who = EXCLUDED.who
          WHERE h IS DISTINCT FROM EXCLUDED",
        json(&rows)?,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A row of `identity.status_changes`.
#[derive(Debug, Serialize)]
struct DimensionChange<'a> {
    id: Uuid,
    agent_id: Uuid,
    dimension: &'static str,
    previous: Option<&'a str>,
    new: &'a str,
    changed_at: chrono::DateTime<chrono::Utc>,
    reason: Option<&'a str>,
    seq: i32,
    cause: &'a str,
    who: &'a str,
}

async fn dimensions(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    let id = |agent: kernel::AgentId, row: &DimensionRow| {
        agent.derived(DerivedTable::StatusChanges, &format!("{}/{}", row.cause, row.dimension))
    };
    let rows: Vec<DimensionChange<'_>> = shown
        .iter()
        .flat_map(|one| one.delta.dimensions.iter().map(move |row| (one.subject.id, row)))
        .map(|(agent, row)| DimensionChange {
            id: id(agent, row),
            agent_id: agent.0,
            dimension: row.dimension,
            previous: row.previous.as_deref(),
            new: &row.new,
            changed_at: row.at,
            reason: row.reason.as_deref(),
            seq: row.seq,
            cause: &row.cause,
            who: &row.who,
        })
        .collect();
    let ids: Vec<Uuid> = shown.iter().map(|one| one.subject.id.0).collect();
    let liveness: Vec<i32> = shown.iter().map(|one| one.base.liveness).collect();
    let admin: Vec<i32> = shown.iter().map(|one| one.base.admin).collect();
    let load: Vec<i32> = shown.iter().map(|one| one.base.load).collect();
    let keep: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    sqlx::query!(
        "DELETE FROM identity.status_changes s
          USING unnest($1::uuid[], $2::int[], $3::int[], $4::int[]) AS w(id, liveness, admin, load)
          WHERE s.agent_id = w.id AND s.id <> ALL($5)
            AND s.seq >= CASE s.dimension WHEN 'liveness' THEN w.liveness
                                          WHEN 'admin_status' THEN w.admin ELSE w.load END",
        &ids,
        &liveness,
        &admin,
        &load,
        &keep,
    )
    .execute(tx.conn())
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO identity.status_changes AS s
         SELECT * FROM json_populate_recordset(NULL::identity.status_changes, $1::text::json)
         ON CONFLICT (id) DO UPDATE
            SET previous = EXCLUDED.previous, new = EXCLUDED.new, changed_at = EXCLUDED.changed_at,
                reason = EXCLUDED.reason, seq = EXCLUDED.seq, who = EXCLUDED.who
          WHERE s IS DISTINCT FROM EXCLUDED",
        json(&rows)?,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A row of `identity.ipfs_metadata`.
#[derive(Debug, Serialize)]
struct MetadataRow<'a> {
    id: Uuid,
    agent_id: Uuid,
    ipfs_hash: &'a str,
    metadata: &'a Value,
    created_at: chrono::DateTime<chrono::Utc>,
    cause: &'a str,
}

async fn documents(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    let touched: Vec<&&Folded> =
        shown.iter().filter(|one| one.scratch || one.delta.document).collect();
    let rows: Vec<MetadataRow<'_>> = touched
        .iter()
        .filter_map(|one| {
            let document = one.head.document.as_ref()?;
            Some(MetadataRow {
                id: one.subject.id.derived(DerivedTable::Metadata, &document.cause),
                agent_id: one.subject.id.0,
                ipfs_hash: document.cid.as_deref()?,
                metadata: document.raw.as_ref()?,
                created_at: document.since,
                cause: &document.cause,
            })
        })
        .collect();
    let ids: Vec<Uuid> = touched.iter().map(|one| one.subject.id.0).collect();
    let keep: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    if !ids.is_empty() {
        sqlx::query!(
            "DELETE FROM identity.ipfs_metadata WHERE agent_id = ANY($1) AND id <> ALL($2)",
            &ids,
            &keep,
        )
        .execute(tx.conn())
        .await?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO identity.ipfs_metadata AS m
         SELECT * FROM json_populate_recordset(NULL::identity.ipfs_metadata, $1::text::json)
         ON CONFLICT (id) DO UPDATE
            SET ipfs_hash = EXCLUDED.ipfs_hash, metadata = EXCLUDED.metadata,
                created_at = EXCLUDED.created_at
          WHERE m IS DISTINCT FROM EXCLUDED",
        json(&rows)?,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A row of `identity.capability_vectors`; a trigger gives the id.
#[derive(Debug, Serialize)]
struct CapabilityRow<'a> {
    agent_id: Uuid,
    capability_name: &'a str,
    capability_value: &'a Value,
    version: i32,
    created_at: chrono::DateTime<chrono::Utc>,
    updated_at: chrono::DateTime<chrono::Utc>,
    source: &'static str,
}

async fn capabilities(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    let touched: Vec<&&Folded> =
        shown.iter().filter(|one| one.scratch || one.delta.capabilities).collect();
    if touched.is_empty() {
        return Ok(());
    }
    let rows: Vec<CapabilityRow<'_>> = touched
        .iter()
        .flat_map(|one| one.head.capabilities.iter().map(move |named| (one.subject.id.0, named)))
        .filter_map(|(agent_id, (name, capability))| {
            let held = capability.held.as_ref()?;
            Some(CapabilityRow {
                agent_id,
                capability_name: name,
                capability_value: &held.value,
                version: held.version,
                created_at: held.created_at,
                updated_at: held.updated_at,
                source: if held.by_act { "act" } else { "document" },
            })
        })
        .collect();
    let ids: Vec<Uuid> = touched.iter().map(|one| one.subject.id.0).collect();
    let (agents, names): (Vec<Uuid>, Vec<String>) =
        rows.iter().map(|row| (row.agent_id, row.capability_name.to_owned())).unzip();
    sqlx::query!(
        "DELETE FROM identity.capability_vectors c
          WHERE agent_id = ANY($1) AND NOT EXISTS
                (SELECT FROM unnest($2::uuid[], $3::text[]) AS k(agent, name)
                  WHERE k.agent = c.agent_id AND k.name = c.capability_name)",
        &ids,
        &agents,
        &names,
    )
    .execute(tx.conn())
    .await?;
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO identity.capability_vectors AS c
                (agent_id, capability_name, capability_value, version, created_at, updated_at, source)
         SELECT agent_id, capability_name, capability_value, version, created_at, updated_at, source
           FROM json_populate_recordset(NULL::identity.capability_vectors, $1::text::json)
         ON CONFLICT (agent_id, capability_name) DO UPDATE
            SET capability_value = EXCLUDED.capability_value, version = EXCLUDED.version,
                created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at,
                source = EXCLUDED.source
          WHERE (c.capability_value, c.version, c.created_at, c.updated_at, c.source)
                IS DISTINCT FROM (EXCLUDED.capability_value, EXCLUDED.version, EXCLUDED.created_at,
                                  EXCLUDED.updated_at, EXCLUDED.source)",
        json(&rows)?,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

fn json<T: Serialize>(rows: &[T]) -> Result<String> {
    serde_json::to_string(rows).map_err(crate::Error::State)
}
