//! A chain's row: who it is, what is read of it, how far it is indexed.

use chain::{Registries, SeenTopics};
use chrono::{DateTime, Utc};
use kernel::{Address, B256};
use store::{Cause, Db, Tx};

use crate::{Error, Result, source::Cursor};

/// How a chain reaches us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A dev chain that we run ourselves: what it loses, it loses.
    Started,
    /// Somebody's node.
    Rpc,
    /// A recorded file.
    Replay,
}

impl Origin {
    /// The column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Rpc => "rpc",
            Self::Replay => "replay",
        }
    }
}

/// A block that can never change tells a chain from another one under the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
}

/// A chain as it is opened.
#[derive(Debug, Clone)]
pub struct Chain {
    /// EIP-155 id.
    pub id: u64,
    /// Its name, for people.
    pub name: String,
    /// How it reaches us.
    pub origin: Origin,
    /// Who it is.
    pub anchor: Anchor,
    /// First block to index.
    pub start: u64,
    /// Topics that its source holds.
    pub topics: SeenTopics,
    /// Contracts that are read.
    pub contracts: Registries,
}

/// Makes or finds the chain's row; another chain under the same id is refused.
pub async fn open(db: &Db, chain: &Chain) -> Result<()> {
    let mut tx = db.begin(Cause::Job("open chain")).await?;
    let id = chain.id.cast_signed();
    let before_start = chain.start.cast_signed() - 1;
    sqlx::query!(
        "INSERT INTO chain.chains
                (chain_id, name, origin, anchor_number, anchor_hash, start_block, has_transfer,
                 has_metadata_update, has_metadata_set, head_number, settled_number)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) ON CONFLICT (chain_id) DO NOTHING",
        id,
        chain.name,
        chain.origin.as_str(),
        chain.anchor.number.cast_signed(),
        chain.anchor.hash.as_slice(),
        chain.start.cast_signed(),
        chain.topics.transfer,
        chain.topics.metadata_update,
        chain.topics.metadata_set,
        before_start,
    )
    .execute(tx.conn())
    .await?;
    let row = sqlx::query!(
        "SELECT origin, anchor_number, anchor_hash, start_block FROM chain.chains
          WHERE chain_id = $1 FOR UPDATE",
        id
    )
    .fetch_one(tx.conn())
    .await?;
    let same = row.origin == chain.origin.as_str()
        && row.anchor_number == chain.anchor.number.cast_signed()
        && row.anchor_hash == chain.anchor.hash.as_slice();
    if !same {
        return Err(Error::OtherChain {
            chain: chain.id,
            number: row.anchor_number.unsigned_abs(),
            stored: format!("0x{} ({})", hex::encode(&row.anchor_hash), row.origin),
            found: format!(
                "{:#x} at block {} ({})",
                chain.anchor.hash,
                chain.anchor.number,
                chain.origin.as_str()
            ),
            place: chain.name.clone(),
        });
    }
    contracts(&mut tx, id, &chain.contracts).await?;
    tx.commit().await?;
    Ok(())
}

async fn contracts(tx: &mut Tx, chain: i64, contracts: &Registries) -> Result<()> {
    let identity = contracts
        .identity
        .iter()
        .map(|address| (address, "identity"));
    let status = contracts.status.iter().map(|address| (address, "status"));
    for (ordinal, (address, kind)) in (0_i32..).zip(identity.chain(status)) {
        sqlx::query!(
            "INSERT INTO chain.contracts (chain_id, address, kind, ordinal) VALUES ($1, $2, $3, $4)
             ON CONFLICT (chain_id, address) DO UPDATE SET kind = $3, ordinal = $4",
            chain,
            address.as_slice(),
            kind,
            ordinal,
        )
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// Contracts of a chain that an earlier start found or deployed.
pub async fn stored_contracts(db: &Db, chain: u64) -> Result<Registries> {
    let rows = sqlx::query!(
        "SELECT address, kind FROM chain.contracts WHERE chain_id = $1 ORDER BY ordinal",
        chain.cast_signed()
    )
    .fetch_all(db.pool())
    .await?;
    let mut out = Registries::default();
    for row in rows {
        let Ok(address) = Address::try_from(row.address.as_slice()) else {
            continue;
        };
        match row.kind.as_str() {
            "identity" => out.identity.push(address),
            _ => out.status.push(address),
        }
    }
    Ok(out)
}

/// Where a chain stands, and the known blocks below, newest first.
pub async fn cursor(db: &Db, chain: u64) -> Result<(Cursor, Vec<(i64, B256)>)> {
    let id = chain.cast_signed();
    let row = sqlx::query!(
        "SELECT head_number, head_hash, anchor_number, anchor_hash FROM chain.chains
          WHERE chain_id = $1",
        id
    )
    .fetch_one(db.pool())
    .await?;
    let trail = sqlx::query!(
        r#"SELECT number AS "number!", hash AS "hash!"
             FROM (SELECT number, hash FROM chain.tips WHERE chain_id = $1
                   UNION SELECT number, hash FROM chain.blocks WHERE chain_id = $1) known
            ORDER BY number DESC LIMIT 1000"#,
        id
    )
    .fetch_all(db.pool())
    .await?;
    let hash = |bytes: &[u8]| B256::try_from(bytes).unwrap_or_default();
    let mut trail: Vec<(i64, B256)> = trail
        .iter()
        .map(|row| (row.number, hash(&row.hash)))
        .collect();
    trail.push((row.anchor_number, hash(&row.anchor_hash)));
    // After a rewind the hash of the common block stands in the trail.
    let known = trail
        .iter()
        .find(|(number, _)| *number == row.head_number)
        .map(|(_, hash)| *hash);
    let at = Cursor {
        number: row.head_number,
        hash: row.head_hash.as_deref().map(hash).or(known),
    };
    Ok((at, trail))
}

/// Locks the row and makes sure that it stands where the step begins.
pub async fn lock(tx: &mut Tx, chain: u64, expected: i64) -> Result<Settled> {
    let row = sqlx::query!(
        "SELECT head_number, settled_number, origin FROM chain.chains
          WHERE chain_id = $1 FOR UPDATE",
        chain.cast_signed()
    )
    .fetch_one(tx.conn())
    .await?;
    if row.head_number != expected {
        return Err(Error::Store(store::Error::Moved {
            what: format!("cursor of chain {chain}"),
            expected: expected.to_string(),
            found: row.head_number.to_string(),
        }));
    }
    Ok(Settled {
        number: row.settled_number,
        may_rewind: row.origin == "started",
    })
}

/// What was settled before a step.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    /// Up to this block.
    pub number: i64,
    /// Whether even that may be rewound: on a chain that we started.
    pub may_rewind: bool,
}

/// Moves the cursor. The head's time does not go back with a rewind: an act made meanwhile stands after
/// everything that was seen before.
pub async fn advance(
    tx: &mut Tx,
    chain: u64,
    to: Cursor,
    time: Option<DateTime<Utc>>,
    settled: i64,
) -> Result<()> {
    let hash = to.hash.map(|hash| hash.to_vec());
    sqlx::query!(
        "UPDATE chain.chains
            SET head_number = $2, head_hash = $3, head_time = greatest(head_time, $4),
                settled_number = $5
          WHERE chain_id = $1",
        chain.cast_signed(),
        to.number,
        hash,
        time,
        settled,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
