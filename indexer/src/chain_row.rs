//! A chain's row: who it is, what is read of it, how far it is indexed.

use std::collections::BTreeSet;

use chain::{Registries, SeenTopics};
use chrono::{DateTime, Utc};
use kernel::{Address, B256};
use sqlx::PgConnection;
use store::{Cause, Db, Tx};

use crate::{Error, Result, scope::Scope, source::Cursor};

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

/// Makes or finds the row of a chain of which everything is kept; another chain under the same id is refused.
pub async fn open(db: &Db, chain: &Chain) -> Result<()> {
    open_scope(db, chain, Scope::All).await
}

/// The same with a scope. A chain that is kept with another one, or with other contracts, is refused: rows would be
/// missing, or nobody would go on with some that are there.
pub async fn open_scope(db: &Db, chain: &Chain, scope: Scope) -> Result<()> {
    let mut tx = db.begin(Cause::Job("open chain")).await?;
    let id = chain.id.cast_signed();
    let before_start = chain.start.cast_signed() - 1;
    let inserted = sqlx::query!(
        "INSERT INTO chain.chains
                (chain_id, name, origin, anchor_number, anchor_hash, start_block, has_transfer,
                 has_metadata_update, has_metadata_set, head_number, settled_number, ground_number, scope)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $10, $11)
         ON CONFLICT (chain_id) DO NOTHING",
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
        scope.as_str(),
    )
    .execute(tx.conn())
    .await?;
    let is_new = inserted.rows_affected() == 1;
    let row = sqlx::query!(
        "SELECT origin, anchor_number, anchor_hash, scope FROM chain.chains
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
    if row.scope != scope.as_str() {
        return Err(Error::OtherScope {
            chain: chain.id,
            stored: row.scope,
            asked: scope.as_str(),
        });
    }
    if !is_new {
        check_contracts(&mut tx, chain).await?;
    }
    contracts(&mut tx, id, &chain.contracts).await?;
    if is_new && !chain.contracts.vexel.is_empty() {
        identity::vexel::catch_up(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The past was read for the stored contracts alone: what another one emitted there would be missing, and nobody would
/// see it. On a dev chain nothing is older than our contracts, and one that lost them gets new ones; VEXEL's are
/// somebody's, also there.
async fn check_contracts(tx: &mut Tx, chain: &Chain) -> Result<()> {
    let stored = read_contracts(tx.conn(), chain.id).await?;
    let (mut kept, mut asked) = (set(&stored), set(&chain.contracts));
    if chain.origin == Origin::Started {
        for contracts in [&mut kept, &mut asked] {
            contracts.retain(|(kind, _)| *kind == VEXEL);
        }
    }
    if kept == asked {
        return Ok(());
    }
    let list = |only: BTreeSet<&(&'static str, Address)>| {
        only.into_iter()
            .map(|(kind, address)| format!("{kind} {address}"))
            .collect()
    };
    Err(Error::OtherContracts {
        chain: chain.id,
        added: list(asked.difference(&kept).collect()),
        removed: list(kept.difference(&asked).collect()),
    })
}

/// The column of VEXEL's contracts.
const VEXEL: &str = "vexel";

fn set(contracts: &Registries) -> BTreeSet<(&'static str, Address)> {
    kinds(contracts).collect()
}

/// Every contract with its column, in the order of the configuration.
fn kinds(contracts: &Registries) -> impl Iterator<Item = (&'static str, Address)> {
    let identity = contracts.identity.iter();
    let identity = identity.map(|address| ("identity", *address));
    let status = contracts.status.iter();
    let vexel = contracts.vexel.iter();
    identity
        .chain(status.map(|address| ("status", *address)))
        .chain(vexel.map(|address| (VEXEL, *address)))
}

async fn contracts(tx: &mut Tx, chain: i64, contracts: &Registries) -> Result<()> {
    for (ordinal, (kind, address)) in (0_i32..).zip(kinds(contracts)) {
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

/// What an earlier start found out about a chain: it holds as long as its rows do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// First block that was indexed, the anchor's.
    pub start: u64,
    /// Contracts that are read.
    pub contracts: Registries,
}

/// Reads it; `None` where the chain is not kept here yet.
pub async fn stored(db: &Db, chain: u64) -> Result<Option<Stored>> {
    let Some(start) = crate::view::start(db, chain).await? else {
        return Ok(None);
    };
    Ok(Some(Stored {
        start: start.unsigned_abs(),
        contracts: stored_contracts(db, chain).await?,
    }))
}

/// Contracts of a chain that an earlier start found or deployed.
pub async fn stored_contracts(db: &Db, chain: u64) -> Result<Registries> {
    let mut conn = db.pool().acquire().await?;
    read_contracts(&mut conn, chain).await
}

async fn read_contracts(conn: &mut PgConnection, chain: u64) -> Result<Registries> {
    let rows = sqlx::query!(
        "SELECT address, kind FROM chain.contracts WHERE chain_id = $1 ORDER BY ordinal",
        chain.cast_signed()
    )
    .fetch_all(conn)
    .await?;
    let mut out = Registries::default();
    for row in rows {
        let Ok(address) = Address::try_from(row.address.as_slice()) else {
            continue;
        };
        match row.kind.as_str() {
            "identity" => out.identity.push(address),
            VEXEL => out.vexel.push(address),
            _ => out.status.push(address),
        }
    }
    Ok(out)
}

/// Where a chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Everything up to here is stored.
    pub ground: Cursor,
    /// Everything up to here is projected; below `ground` in a backfill.
    pub head: i64,
    /// Everything up to here is settled.
    pub settled: i64,
    /// Whether even what is settled may be rewound: on a chain that we started.
    pub may_rewind: bool,
}

impl Standing {
    /// Whether everything that is stored is projected.
    pub fn is_level(&self) -> bool {
        self.ground.number == self.head
    }

    /// Errors where it is not.
    pub(crate) fn check_level(&self, chain: u64) -> Result<()> {
        if self.is_level() {
            return Ok(());
        }
        Err(Error::Store(store::Error::Moved {
            what: format!("projection of chain {chain}"),
            expected: self.ground.number.to_string(),
            found: self.head.to_string(),
        }))
    }
}

/// The columns of [`Standing`].
struct Row {
    head_number: i64,
    settled_number: i64,
    origin: String,
    ground_number: i64,
    ground_hash: Option<Vec<u8>>,
}

impl From<Row> for Standing {
    fn from(row: Row) -> Self {
        let hash = |bytes: &Vec<u8>| B256::try_from(bytes.as_slice()).unwrap_or_default();
        Self {
            ground: Cursor {
                number: row.ground_number,
                hash: row.ground_hash.as_ref().map(hash),
            },
            head: row.head_number,
            settled: row.settled_number,
            may_rewind: row.origin == "started",
        }
    }
}

/// Reads where a chain stands.
pub async fn standing(db: &Db, chain: u64) -> Result<Standing> {
    let row = sqlx::query_as!(
        Row,
        "SELECT head_number, settled_number, origin, ground_number, ground_hash FROM chain.chains
          WHERE chain_id = $1",
        chain.cast_signed()
    );
    Ok(row.fetch_one(db.pool()).await?.into())
}

/// Which topics the chain's source holds, as it was opened.
pub async fn topics(db: &Db, chain: u64) -> Result<SeenTopics> {
    let row = sqlx::query!(
        "SELECT has_transfer, has_metadata_update, has_metadata_set FROM chain.chains
          WHERE chain_id = $1",
        chain.cast_signed()
    )
    .fetch_one(db.pool())
    .await?;
    Ok(SeenTopics {
        transfer: row.has_transfer,
        metadata_update: row.has_metadata_update,
        metadata_set: row.has_metadata_set,
    })
}

/// The first block to index.
pub async fn start(tx: &mut Tx, chain: u64) -> Result<i64> {
    let start = sqlx::query_scalar!(
        "SELECT start_block FROM chain.chains WHERE chain_id = $1",
        chain.cast_signed()
    );
    Ok(start.fetch_one(tx.conn()).await?)
}

/// Locks the row and makes sure that its ground ends where the step begins.
pub async fn lock(tx: &mut Tx, chain: u64, expected: i64) -> Result<Standing> {
    let found = lock_any(tx, chain).await?;
    if found.ground.number == expected {
        return Ok(found);
    }
    Err(Error::Store(store::Error::Moved {
        what: format!("cursor of chain {chain}"),
        expected: expected.to_string(),
        found: found.ground.number.to_string(),
    }))
}

/// Locks the row wherever it stands.
pub async fn lock_any(tx: &mut Tx, chain: u64) -> Result<Standing> {
    let row = sqlx::query_as!(
        Row,
        "SELECT head_number, settled_number, origin, ground_number, ground_hash FROM chain.chains
          WHERE chain_id = $1 FOR UPDATE",
        chain.cast_signed()
    );
    Ok(row.fetch_one(tx.conn()).await?.into())
}

/// Moves the end of ground.
pub async fn advance_ground(tx: &mut Tx, chain: u64, to: Cursor) -> Result<()> {
    sqlx::query!(
        "UPDATE chain.chains SET ground_number = $2, ground_hash = $3 WHERE chain_id = $1",
        chain.cast_signed(),
        to.number,
        to.hash.map(|hash| hash.to_vec()),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Moves what people are told. The head's time does not go back with a rewind: an act made meanwhile
/// stands after everything that was seen before.
pub async fn advance_head(
    tx: &mut Tx,
    chain: u64,
    to: Cursor,
    time: Option<DateTime<Utc>>,
    settled: i64,
) -> Result<()> {
    sqlx::query!(
        "UPDATE chain.chains
            SET head_number = $2, head_hash = $3, head_time = greatest(head_time, $4),
                settled_number = $5
          WHERE chain_id = $1",
        chain.cast_signed(),
        to.number,
        to.hash.map(|hash| hash.to_vec()),
        time,
        settled,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Moves what is settled, up to the head at most.
pub async fn settle(tx: &mut Tx, chain: u64, settled: i64) -> Result<()> {
    sqlx::query!(
        "UPDATE chain.chains SET settled_number = $2 WHERE chain_id = $1",
        chain.cast_signed(),
        settled,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Moves both ends back to a fork.
pub async fn rewind(tx: &mut Tx, chain: u64, to: i64, settled: i64) -> Result<()> {
    let hash = sqlx::query_scalar!(
        r#"SELECT hash AS "hash!" FROM chain.tips WHERE chain_id = $1 AND number = $2
            UNION SELECT hash FROM chain.blocks WHERE chain_id = $1 AND number = $2"#,
        chain.cast_signed(),
        to,
    )
    .fetch_optional(tx.conn())
    .await?;
    sqlx::query!(
        "UPDATE chain.chains
            SET ground_number = $2, ground_hash = $3, settled_number = $4,
                head_hash = CASE WHEN head_number > $2 THEN $3 ELSE head_hash END,
                head_number = least(head_number, $2)
          WHERE chain_id = $1",
        chain.cast_signed(),
        to,
        hash,
        settled,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Remembers what consensus calls final; it never goes back.
pub async fn finalize(tx: &mut Tx, chain: u64, number: i64) -> Result<()> {
    sqlx::query!(
        "UPDATE chain.chains SET finalized_number = $2
          WHERE chain_id = $1 AND (finalized_number IS NULL OR finalized_number < $2)",
        chain.cast_signed(),
        number,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
