//! Chains as doors show them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use kernel::Address;
use serde::Serialize;
use store::Db;

use crate::Result;

/// A chain's row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChainView {
    /// EIP-155 id.
    pub chain: i64,
    /// Its name, for people.
    pub name: String,
    /// `started`, `rpc` or `replay`.
    pub origin: String,
    /// Everything up to this block is indexed.
    pub head: i64,
    /// That block's time.
    pub head_time: Option<DateTime<Utc>>,
    /// Up to here the journal was told.
    pub settled: i64,
    /// First block to index.
    pub start_block: i64,
    /// Contracts that are read, EIP-55, by kind: `identity`, `status`.
    pub contracts: BTreeMap<String, Vec<String>>,
}

/// All chains that are kept here.
pub async fn chains(db: &Db) -> Result<Vec<ChainView>> {
    let rows = sqlx::query!(
        "SELECT chain_id, name, origin, head_number, head_time, settled_number, start_block
           FROM chain.chains ORDER BY chain_id"
    )
    .fetch_all(db.pool())
    .await?;
    let contracts =
        sqlx::query!("SELECT chain_id, address, kind FROM chain.contracts ORDER BY ordinal")
            .fetch_all(db.pool())
            .await?;
    let mut chains: Vec<ChainView> = rows
        .into_iter()
        .map(|row| ChainView {
            chain: row.chain_id,
            name: row.name,
            origin: row.origin,
            head: row.head_number,
            head_time: row.head_time,
            settled: row.settled_number,
            start_block: row.start_block,
            contracts: ["identity", "status"]
                .map(|kind| (kind.to_owned(), Vec::new()))
                .into(),
        })
        .collect();
    for row in contracts {
        let of_chain = chains.iter_mut().find(|chain| chain.chain == row.chain_id);
        let address = Address::try_from(row.address.as_slice());
        if let (Some(chain), Ok(address)) = (of_chain, address) {
            chain
                .contracts
                .entry(row.kind)
                .or_default()
                .push(address.to_string());
        }
    }
    Ok(chains)
}
