//! The events of VEXEL's contracts as they are shown, those that are nobody's included.

use chain::{Log, vexel};
use chrono::{DateTime, Utc};
use kernel::{Address, B256, Bytes, Limit, Page, keccak256};
use serde::Serialize;
use serde_json::Value;
use store::Db;
use uuid::Uuid;

use crate::{Error, Result};

/// An event of one of VEXEL's contracts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// EIP-155 chain id.
    pub chain: i64,
    /// The contract, EIP-55.
    pub contract: String,
    /// Its name.
    pub event: String,
    /// What it says besides.
    pub fields: Value,
    /// keccak-256 of the DID that it is about, `0x`-hex.
    pub did_hash: Option<String>,
    /// The agent whose DID that is, as far as it is known.
    pub agent: Option<Uuid>,
    /// Its DID.
    pub did: Option<String>,
    /// Whether it speaks for that agent. What anybody could have said of it does not.
    pub attributed: bool,
    /// Block number.
    pub block: i64,
    /// Its time.
    pub time: DateTime<Utc>,
    /// Transaction, `0x`-hex.
    pub tx: String,
    /// Index in the block.
    pub log: i32,
}

/// Which events.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// That name this address.
    pub account: Option<Address>,
    /// About this agent's DIDs.
    pub agent: Option<Uuid>,
    /// About this DID, also where nobody knows it.
    pub did: Option<String>,
    /// Only such as speak for an agent, or only others.
    pub attributed: Option<bool>,
}

/// Events, newest first.
pub async fn list(
    db: &Db,
    filter: &Filter,
    cursor: Option<&str>,
    limit: Limit,
) -> Result<Page<Event>> {
    let before = cursor.map(read_cursor).transpose()?;
    let account = filter.account.map(|account| account.to_vec());
    let hash = filter
        .did
        .as_ref()
        .map(|did| keccak256(did.as_bytes()).to_vec());
    let rows = sqlx::query!(
        r#"SELECT d.chain_id, d.block_number, d.log_index, d.hash, d.attributed, h.agent_id AS "agent?",
                  s.did AS "did?", l.block_time AS "time!", l.tx_hash AS "tx!", l.address AS "address!",
                  l.topic0, l.topic1, l.topic2, l.topic3, l.data AS "data!"
             FROM identity.did_logs d
             JOIN chain.v_logs l ON l.chain_id = d.chain_id AND l.block_number = d.block_number
                                AND l.log_index = d.log_index
             LEFT JOIN identity.did_hashes h ON h.hash = d.hash
             LEFT JOIN identity.subjects s ON s.id = h.agent_id
            WHERE ($1::bytea IS NULL OR d.account = $1)
              AND ($2::uuid IS NULL OR d.hash IN (SELECT o.hash FROM identity.did_hashes o WHERE o.agent_id = $2))
              AND ($3::bytea IS NULL OR d.hash = $3)
              AND ($4::boolean IS NULL OR d.attributed = $4)
              AND ($5::bigint IS NULL OR (d.chain_id, d.block_number, d.log_index) < ($5, $6, $7))
            ORDER BY d.chain_id DESC, d.block_number DESC, d.log_index DESC LIMIT $8"#,
        account,
        filter.agent,
        hash,
        filter.attributed,
        before.map(|(chain, _, _)| chain),
        before.map(|(_, block, _)| block),
        before.map(|(_, _, log)| log),
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    let hex = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
    let events = rows.into_iter().map(|row| {
        let topics = [row.topic0, row.topic1, row.topic2, row.topic3];
        let address = Address::try_from(row.address.as_slice()).unwrap_or_default();
        let log = Log {
            chain: row.chain_id.unsigned_abs(),
            block_number: row.block_number.unsigned_abs(),
            block_hash: B256::ZERO,
            block_time: None,
            tx_hash: B256::ZERO,
            tx_index: 0,
            log_index: row.log_index.unsigned_abs(),
            address,
            topics: topics
                .iter()
                .flatten()
                .map(|topic| B256::try_from(topic.as_slice()).unwrap_or_default())
                .collect(),
            data: Bytes::from(row.data),
        };
        let (event, fields) = vexel::shown(&log).unwrap_or(("unknown", Value::Null));
        Event {
            chain: row.chain_id,
            contract: address.to_string(),
            event: event.to_owned(),
            fields,
            did_hash: row.hash.as_deref().map(hex),
            agent: row.agent,
            did: row.did,
            attributed: row.attributed,
            block: row.block_number,
            time: row.time,
            tx: hex(&row.tx),
            log: row.log_index,
        }
    });
    Ok(Page::from_lookahead(
        events.collect(),
        limit,
        |event: &Event| format!("{}_{}_{}", event.chain, event.block, event.log),
    ))
}

fn read_cursor(text: &str) -> Result<(i64, i64, i32)> {
    let mut parts = text.split('_');
    let parsed = (|| {
        let read = (
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        );
        parts.next().is_none().then_some(read)
    })();
    parsed.ok_or_else(|| Error::Invalid("this cursor is none that a page gave".to_owned()))
}
