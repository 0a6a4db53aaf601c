//! `identity.agents`, as far as the projection owns it. New rows go in by COPY.

use serde::Serialize;
use serde_json::Value;
use store::{Tx, copy::Rows};
use uuid::Uuid;

use super::{Folded, json};
use crate::{Result, fold::Source};

/// A row of `identity.agents`, as far as the projection owns it.
#[derive(Debug, Serialize)]
struct AgentRow<'a> {
    id: Uuid,
    did: &'a str,
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
    tasks_total: i64,
    tasks_completed: i64,
    tasks_failed: i64,
    status_final: bool,
}

/// VEXEL's `name` is VARCHAR(255).
const NAME_CHARS: usize = 255;

/// The DID in force; a token's never changes.
pub(super) fn did(one: &Folded) -> &str {
    let changed = if one.subject.token.is_some() {
        None
    } else {
        one.head.columns.text("did")
    };
    changed.unwrap_or(&one.subject.did)
}

/// A file's name is trimmed; what a person set stands as it is. An empty one is none.
fn name(one: &Folded) -> (String, &'static str) {
    let columns = &one.head.columns;
    let source = columns.source("name");
    let own = columns.text("name").map(|name| match source {
        Some(Source::Act | Source::Statement) => name,
        _ => name.trim(),
    });
    let Some(own) = own.filter(|name| !name.is_empty()) else {
        let name = one
            .subject
            .token
            .map_or_else(|| did(one).to_owned(), |token| token.short());
        return (name, "none");
    };
    let source = match source {
        Some(Source::Act) => "act",
        Some(Source::Statement) => "statement",
        Some(Source::Chain) => "chain",
        _ => "document",
    };
    (own.to_owned(), source)
}

fn agent_row(one: &Folded) -> AgentRow<'_> {
    let (state, columns) = (&one.head, &one.head.columns);
    let (name, name_source) = name(one);
    let count = |column: &str| columns.value(column).and_then(Value::as_i64).unwrap_or(0);
    AgentRow {
        id: one.subject.id.0,
        did: did(one),
        name: name.chars().take(NAME_CHARS).collect(),
        description: columns.text("description"),
        owner_address: state.owner(one.subject.token.is_some()),
        ipfs_metadata_hash: state
            .document
            .as_ref()
            .and_then(|document| document.cid.as_deref())
            .or_else(|| columns.text("ipfs_metadata_hash")),
        created_at: state.created_at,
        updated_at: state.updated_at,
        runtime_status: state
            .status
            .runtime
            .map_or("ACTIVE", |status| status.as_str()),
        last_active_at: state.last_active_at,
        name_source,
        public_key: columns.text("public_key"),
        endpoint_url: columns.text("endpoint_url"),
        avatar_url: columns.text("avatar_url"),
        category: columns.text("category"),
        summary: columns.text("summary"),
        version: columns.text("version"),
        metadata: columns
            .value("metadata")
            .cloned()
            .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        codebase_hash: columns.text("codebase_hash"),
        ttl: columns.value("ttl").and_then(Value::as_i64),
        last_heartbeat: state.last_heartbeat,
        liveness: state.status.liveness.1.as_deref().unwrap_or("unknown"),
        admin_status: state.status.admin.1.as_deref().unwrap_or("ACTIVE"),
        load: state.status.load.1.as_deref().unwrap_or("AVAILABLE"),
        trust_score: columns.value("trust_score").and_then(Value::as_f64),
        tasks_total: count("tasks_total"),
        tasks_completed: count("tasks_completed"),
        tasks_failed: count("tasks_failed"),
        status_final: state.status.fixed,
    }
}

/// Columns of [`put`].
pub(super) const COLUMNS: i16 = 29;

/// Puts a new agent's row.
pub(super) fn put(rows: &mut Rows, one: &Folded) -> Result<()> {
    let row = agent_row(one);
    let owner = row.owner_address.as_deref();
    rows.row().uuid(row.id).text(row.did).text(&row.name);
    for value in [row.description, owner, row.ipfs_metadata_hash] {
        rows.maybe(value, Rows::text);
    }
    rows.maybe(row.created_at, Rows::time)
        .maybe(row.updated_at, Rows::time)
        .text(row.runtime_status)
        .maybe(row.last_active_at, Rows::time)
        .text(row.name_source);
    for value in [
        row.public_key,
        row.endpoint_url,
        row.avatar_url,
        row.category,
        row.summary,
        row.version,
    ] {
        rows.maybe(value, Rows::text);
    }
    rows.jsonb(&row.metadata)?
        .maybe(row.codebase_hash, Rows::text)
        .maybe(row.ttl, |rows, ttl| {
            rows.integer(i32::try_from(ttl).unwrap_or(i32::MAX))
        })
        .maybe(row.last_heartbeat, Rows::time)
        .text(row.liveness)
        .text(row.admin_status)
        .text(row.load)
        .maybe(row.trust_score, Rows::double)
        .bigint(row.tasks_total)
        .bigint(row.tasks_completed)
        .bigint(row.tasks_failed)
        .boolean(row.status_final);
    Ok(())
}

/// Copies new rows.
pub(super) async fn copy(tx: &mut Tx, rows: &mut Rows) -> Result<()> {
    let statement = "COPY identity.agents
            (id, did, name, description, owner_address, ipfs_metadata_hash, created_at, updated_at,
             runtime_status, last_active_at, name_source, public_key, endpoint_url, avatar_url,
             category, summary, version, metadata, codebase_hash, ttl, last_heartbeat, liveness,
             admin_status, load, trust_score, tasks_total, tasks_completed, tasks_failed, status_final)
        FROM STDIN (FORMAT binary)";
    Ok(rows.copy(tx, statement).await?)
}

pub(super) async fn write(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    if shown.is_empty() {
        return Ok(());
    }
    let rows: Vec<AgentRow<'_>> = shown.iter().map(|one| agent_row(one)).collect();
    sqlx::query!(
        "INSERT INTO identity.agents AS a
                (id, did, name, description, owner_address, ipfs_metadata_hash, created_at, updated_at,
                 runtime_status, last_active_at, name_source, public_key, endpoint_url, avatar_url,
                 category, summary, version, metadata, codebase_hash, ttl, last_heartbeat, liveness,
                 admin_status, load, trust_score, tasks_total, tasks_completed,
                 tasks_failed, status_final)
         SELECT id, did, name, description, owner_address, ipfs_metadata_hash, created_at, updated_at,
                runtime_status, last_active_at, name_source, public_key, endpoint_url, avatar_url,
                category, summary, version, metadata, codebase_hash, ttl, last_heartbeat, liveness,
                admin_status, load, trust_score, tasks_total, tasks_completed, tasks_failed,
                status_final
           FROM json_populate_recordset(NULL::identity.agents, $1::text::json)
         ON CONFLICT (id) DO UPDATE
            SET did = EXCLUDED.did, name = EXCLUDED.name, description = EXCLUDED.description,
                owner_address = EXCLUDED.owner_address,
                ipfs_metadata_hash = EXCLUDED.ipfs_metadata_hash,
                created_at = EXCLUDED.created_at, updated_at = EXCLUDED.updated_at,
                runtime_status = EXCLUDED.runtime_status,
                last_active_at = identity.latest_beat(a.id, EXCLUDED.last_active_at), name_source = EXCLUDED.name_source,
                public_key = EXCLUDED.public_key, endpoint_url = EXCLUDED.endpoint_url,
                avatar_url = EXCLUDED.avatar_url, category = EXCLUDED.category,
                summary = EXCLUDED.summary, version = EXCLUDED.version,
                metadata = EXCLUDED.metadata, codebase_hash = EXCLUDED.codebase_hash,
                ttl = EXCLUDED.ttl, last_heartbeat = identity.latest_beat(a.id, EXCLUDED.last_heartbeat),
                liveness = EXCLUDED.liveness, admin_status = EXCLUDED.admin_status,
                load = EXCLUDED.load, trust_score = EXCLUDED.trust_score,
                tasks_total = EXCLUDED.tasks_total, tasks_completed = EXCLUDED.tasks_completed,
                tasks_failed = EXCLUDED.tasks_failed, status_final = EXCLUDED.status_final
          WHERE (a.did, a.name, a.description, a.owner_address, a.ipfs_metadata_hash, a.created_at,
                 a.updated_at, a.runtime_status, a.last_active_at, a.name_source, a.public_key,
                 a.endpoint_url, a.avatar_url, a.category, a.summary, a.version, a.metadata,
                 a.codebase_hash, a.ttl, a.last_heartbeat, a.liveness, a.admin_status, a.load,
                 a.trust_score, a.tasks_total, a.tasks_completed, a.tasks_failed, a.status_final)
                IS DISTINCT FROM
                (EXCLUDED.did, EXCLUDED.name, EXCLUDED.description, EXCLUDED.owner_address,
                 EXCLUDED.ipfs_metadata_hash, EXCLUDED.created_at, EXCLUDED.updated_at,
                 EXCLUDED.runtime_status, identity.latest_beat(a.id, EXCLUDED.last_active_at),
                 EXCLUDED.name_source,
                 EXCLUDED.public_key, EXCLUDED.endpoint_url, EXCLUDED.avatar_url,
                 EXCLUDED.category, EXCLUDED.summary, EXCLUDED.version, EXCLUDED.metadata,
                 EXCLUDED.codebase_hash, EXCLUDED.ttl,
                 identity.latest_beat(a.id, EXCLUDED.last_heartbeat),
                 EXCLUDED.liveness, EXCLUDED.admin_status, EXCLUDED.load, EXCLUDED.trust_score,
                 EXCLUDED.tasks_total, EXCLUDED.tasks_completed, EXCLUDED.tasks_failed,
                 EXCLUDED.status_final)",
        json(&rows)?,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
