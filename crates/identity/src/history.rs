//! What happened to an agent: its status history, its logs, its capabilities.

use chrono::{DateTime, Utc};
use kernel::{Address, Limit, Page};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Db;
use uuid::Uuid;

use crate::{Error, Result, fact::RuntimeStatus};

/// One change of `runtime_status`, newest first in lists.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusChange {
    /// Row id.
    pub id: Uuid,
    /// Status before, `None` in the first.
    pub previous_status: Option<RuntimeStatus>,
    /// Status after.
    pub new_status: RuntimeStatus,
    /// When.
    pub changed_at: DateTime<Utc>,
    /// Why.
    pub reason: Option<String>,
    /// Where it stands on chain.
    pub metadata: Option<Value>,
    /// Ordinal in the agent's history.
    pub seq: i32,
    /// The log, document version or act that caused it.
    pub cause: String,
    /// Whose doing.
    pub who: String,
}

/// The status history of an agent, newest first.
pub async fn status(
    db: &Db,
    agent: Uuid,
    cursor: Option<&str>,
    limit: Limit,
) -> Result<Page<StatusChange>> {
    let before: i32 = parse_cursor(cursor)?.unwrap_or(i32::MAX);
    let rows = sqlx::query_as!(
        StatusChange,
        r#"SELECT id, previous_status AS "previous_status: RuntimeStatus",
                  new_status AS "new_status: RuntimeStatus", changed_at AS "changed_at!", reason,
                  metadata, seq, cause, who
             FROM identity.agent_status_history WHERE agent_id = $1 AND seq < $2
            ORDER BY seq DESC LIMIT $3"#,
        agent,
        before,
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    Ok(Page::from_lookahead(rows, limit, |row: &StatusChange| {
        row.seq.to_string()
    }))
}

/// A status beside the runtime status, which has a history of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Whether it beats.
    Liveness,
    /// The operator's word.
    AdminStatus,
    /// Whether it takes more work.
    Load,
}

/// One change of such a status.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DimensionChange {
    /// Row id.
    pub id: Uuid,
    /// Before, `None` in the first.
    pub previous: Option<String>,
    /// After.
    pub new: String,
    /// When.
    pub changed_at: DateTime<Utc>,
    /// Why.
    pub reason: Option<String>,
    /// Ordinal in the agent's history of this dimension.
    pub seq: i32,
    /// The log, statement or act that caused it.
    pub cause: String,
    /// Whose doing.
    pub who: String,
}

/// The changes of one dimension of an agent, newest first.
pub async fn dimension(
    db: &Db,
    agent: Uuid,
    dimension: Dimension,
    cursor: Option<&str>,
    limit: Limit,
) -> Result<Page<DimensionChange>> {
    let before: i32 = parse_cursor(cursor)?.unwrap_or(i32::MAX);
    let dimension = match dimension {
        Dimension::Liveness => "liveness",
        Dimension::AdminStatus => "admin_status",
        Dimension::Load => "load",
    };
    let rows = sqlx::query_as!(
        DimensionChange,
        "SELECT id, previous, new, changed_at, reason, seq, cause, who FROM identity.status_changes
          WHERE agent_id = $1 AND dimension = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4",
        agent,
        dimension,
        before,
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    Ok(Page::from_lookahead(
        rows,
        limit,
        |row: &DimensionChange| row.seq.to_string(),
    ))
}

/// A capability in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CapabilityVector {
    /// Name.
    pub capability_name: String,
    /// Value.
    pub capability_value: Value,
    /// Revision.
    pub version: i32,
    /// `document` or `act`.
    pub source: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Last change of the value.
    pub updated_at: DateTime<Utc>,
}

/// The capabilities of an agent by name.
pub async fn capabilities(
    db: &Db,
    agent: Uuid,
    cursor: Option<&str>,
    limit: Limit,
) -> Result<Page<CapabilityVector>> {
    let rows = sqlx::query_as!(
        CapabilityVector,
        r#"SELECT capability_name, capability_value, version AS "version!", source,
                  created_at AS "created_at!", updated_at AS "updated_at!"
             FROM identity.capability_vectors
            WHERE agent_id = $1 AND ($2::text IS NULL OR capability_name > $2)
            ORDER BY capability_name LIMIT $3"#,
        agent,
        cursor,
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    Ok(Page::from_lookahead(
        rows,
        limit,
        |row: &CapabilityVector| row.capability_name.clone(),
    ))
}

/// A log that spoke of an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// EIP-155 chain id.
    pub chain: i64,
    /// Block number.
    pub block: i64,
    /// Block hash.
    pub block_hash: String,
    /// Block time, or when it was first stored.
    pub time: DateTime<Utc>,
    /// Transaction.
    pub tx: String,
    /// Index in the block.
    pub log_index: i32,
    /// Contract, EIP-55.
    pub address: String,
    /// Topics.
    pub topics: Vec<String>,
    /// Data.
    pub data: String,
}

/// The logs of an agent, newest first.
pub async fn events(
    db: &Db,
    agent: Uuid,
    cursor: Option<&str>,
    limit: Limit,
) -> Result<Page<Event>> {
    let before = cursor
        .map(|text| {
            let parsed = text.split_once('_').and_then(|(block, log)| {
                Some((block.parse::<i64>().ok()?, log.parse::<i32>().ok()?))
            });
            parsed.ok_or_else(no_cursor)
        })
        .transpose()?;
    let rows = sqlx::query!(
        r#"SELECT chain_id AS "chain!", block_number AS "block!", block_hash AS "block_hash!",
                  block_time AS "time!", tx_hash AS "tx!", log_index AS "log_index!",
                  address AS "address!", topic0, topic1, topic2, topic3, data AS "data!"
             FROM chain.v_logs
            WHERE subject = $1 AND ($2::bigint IS NULL OR (block_number, log_index) < ($2, $3))
            ORDER BY block_number DESC, log_index DESC LIMIT $4"#,
        agent,
        before.map(|(block, _)| block),
        before.map(|(_, log)| log),
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    let hex = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
    let events = rows
        .into_iter()
        .map(|row| Event {
            chain: row.chain,
            block: row.block,
            block_hash: hex(&row.block_hash),
            time: row.time,
            tx: hex(&row.tx),
            log_index: row.log_index,
            address: Address::try_from(row.address.as_slice())
                .unwrap_or_default()
                .to_string(),
            topics: [row.topic0, row.topic1, row.topic2, row.topic3]
                .iter()
                .flatten()
                .map(|topic| hex(topic))
                .collect(),
            data: hex(&row.data),
        })
        .collect();
    Ok(Page::from_lookahead(events, limit, |event: &Event| {
        format!("{}_{}", event.block, event.log_index)
    }))
}

fn parse_cursor<T: std::str::FromStr>(cursor: Option<&str>) -> Result<Option<T>> {
    cursor
        .map(|text| text.parse().map_err(|_| no_cursor()))
        .transpose()
}

fn no_cursor() -> Error {
    Error::Invalid("this cursor is none that a page gave".to_owned())
}
