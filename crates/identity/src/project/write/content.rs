//! What files and acts give an agent: `ipfs_metadata` and `capability_vectors`.

use kernel::DerivedTable;
use serde::Serialize;
use serde_json::Value;
use store::Tx;
use uuid::Uuid;

use super::{Folded, json};
use crate::Result;

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

pub(super) async fn documents(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    let touched: Vec<&&Folded> = shown
        .iter()
        .filter(|one| one.scratch || one.delta.document)
        .collect();
    let rows: Vec<MetadataRow<'_>> = touched
        .iter()
        .filter_map(|one| {
            let document = one.head.document.as_ref()?;
            Some(MetadataRow {
                id: one
                    .subject
                    .id
                    .derived(DerivedTable::Metadata, &document.cause),
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
            "DELETE FROM identity.ipfs_metadata m WHERE agent_id = ANY($1)
                AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS k(id) WHERE k.id = m.id)",
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

pub(super) async fn capabilities(tx: &mut Tx, shown: &[&Folded]) -> Result<()> {
    let touched: Vec<&&Folded> = shown
        .iter()
        .filter(|one| one.scratch || one.delta.capabilities)
        .collect();
    if touched.is_empty() {
        return Ok(());
    }
    let rows: Vec<CapabilityRow<'_>> = touched
        .iter()
        .flat_map(|one| {
            one.head
                .capabilities
                .iter()
                .map(move |named| (one.subject.id.0, named))
        })
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
    let (agents, names): (Vec<Uuid>, Vec<String>) = rows
        .iter()
        .map(|row| (row.agent_id, row.capability_name.to_owned()))
        .unzip();
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
