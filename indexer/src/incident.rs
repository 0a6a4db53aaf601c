//! What a provider told wrongly: kept once, and written to the journal.

use chain::FindingKind;
use chrono::{DateTime, Utc};
use journal::{Change, NewEntry};
use kernel::B256;
use serde_json::json;
use store::Tx;

use crate::Result;

/// The column of the journal's change, and of `chain.incidents.kind`.
fn word(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Lost => "lost_log",
        FindingKind::Extra => "extra_log",
        FindingKind::Altered => "altered_log",
        FindingKind::Reordered => "reordered_log",
    }
}

/// A log that was told wrongly, and whose block is known rightly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Height of the block.
    pub block_number: u64,
    /// Hash of the block.
    pub block_hash: B256,
    /// Index of the log in the block.
    pub log_index: u32,
    /// What was wrong.
    pub kind: FindingKind,
    /// Who told it, without secrets; all who may have, where it is not known who did.
    pub provider: String,
}

impl Incident {
    /// What was wrong, as the journal has it: `lost_log`, `extra_log`, `altered_log` or `reordered_log`.
    pub fn word(&self) -> &'static str {
        word(self.kind)
    }
}

/// Keeps incidents and journals those that are new. Gives their number.
pub async fn record(tx: &mut Tx, chain: u64, incidents: &[Incident]) -> Result<usize> {
    if incidents.is_empty() {
        return Ok(0);
    }
    let now = tx.now();
    let rows = insert(tx, chain, incidents, now).await?;
    let entries = rows
        .iter()
        .map(|(number, hash, index, kind, provider)| {
            NewEntry::incident(vec![Change {
                column: kind.clone(),
                value: json!({ "block": number, "provider": provider }),
                cause: format!("eip155:{chain}/0x{}/{index}", hex::encode(hash)),
                time: now,
            }])
        })
        .collect();
    journal::append(tx, entries).await?;
    if !rows.is_empty() {
        tracing::warn!(
            chain,
            logs = rows.len(),
            first_block = rows[0].0,
            provider = rows[0].4,
            "chain {chain}: {} logs were told wrongly; the truth was taken from the blocks themselves",
            rows.len()
        );
        metrics::counter!("chancery_incidents_total", "chain" => chain.to_string())
            .increment(rows.len() as u64);
    }
    Ok(rows.len())
}

/// Block, hash, log index, kind and provider of an incident that is new.
type New = (i64, Vec<u8>, i32, String, String);

async fn insert(
    tx: &mut Tx,
    chain: u64,
    incidents: &[Incident],
    now: DateTime<Utc>,
) -> Result<Vec<New>> {
    let numbers: Vec<i64> = incidents
        .iter()
        .map(|i| i.block_number.cast_signed())
        .collect();
    let hashes: Vec<&[u8]> = incidents.iter().map(|i| i.block_hash.as_slice()).collect();
    let indexes: Vec<i32> = incidents
        .iter()
        .map(|i| i.log_index.cast_signed())
        .collect();
    let kinds: Vec<&str> = incidents.iter().map(|i| word(i.kind)).collect();
    let providers: Vec<&str> = incidents.iter().map(|i| i.provider.as_str()).collect();
    let mut rows: Vec<New> = sqlx::query!(
        "INSERT INTO chain.incidents
                (chain_id, block_number, block_hash, log_index, kind, provider, found_at)
         SELECT $1, number, hash, index, kind, provider, $7
           FROM unnest($2::bigint[], $3::bytea[], $4::int[], $5::text[], $6::text[])
                AS told(number, hash, index, kind, provider)
         ON CONFLICT ON CONSTRAINT incidents_once DO NOTHING
         RETURNING block_number, block_hash, log_index, kind, provider",
        chain.cast_signed(),
        &numbers,
        &hashes as &[&[u8]],
        &indexes,
        &kinds as &[&str],
        &providers as &[&str],
        now,
    )
    .fetch_all(tx.conn())
    .await?
    .into_iter()
    .map(|row| {
        (
            row.block_number,
            row.block_hash,
            row.log_index,
            row.kind,
            row.provider,
        )
    })
    .collect();
    rows.sort();
    Ok(rows)
}
