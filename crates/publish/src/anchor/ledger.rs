//! What is written down of anchors: each transaction before it leaves, and how anchoring stands.

use chain::{Sent, anchor::AnchoredHead};
use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Address, B256, U256};
use store::{Db, Tx};

use super::{Anchor, State};
use crate::{Error, Result};

/// A transaction of which it is not known yet what becomes of it.
#[derive(Debug, Clone)]
pub(super) struct Open {
    /// Its row.
    pub id: i64,
    /// The checkpoint's size.
    pub size: u64,
    /// The transaction.
    pub sent: Sent,
    /// When its newest version was written.
    pub priced_at: DateTime<Utc>,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Mined in a settled block.
    Anchored,
    /// Mined, and refused by the contract.
    Reverted,
    /// Never mined.
    Lost,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Reverted => "reverted",
            Self::Lost => "lost",
        }
    }
}

/// How anchoring stands, as whoever does it last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// EIP-155 id of the chain.
    pub chain: u64,
    /// The `AuditAnchor` contract.
    pub contract: Address,
    /// The account that sends and pays; heads are kept by it.
    pub keeper: Address,
    /// The journal's name in the contract.
    pub journal: B256,
    /// The contract's head when it was read last.
    pub head: Option<AnchoredHead>,
    /// What is being done.
    pub state: State,
    /// What a person should know of it.
    pub why: Option<String>,
    /// When it was said.
    pub looked_at: DateTime<Utc>,
    /// The transaction that is on its way: the checkpoint's size, and the hash of its newest version.
    pub open: Option<(u64, String)>,
    /// What the last 24 hours cost, in gwei: the most that it may be for what is on its way.
    pub spent_gwei: u64,
}

/// Reads it; `None` where nothing was ever anchored nor tried.
pub async fn standing(db: &Db) -> Result<Option<Standing>> {
    let row = sqlx::query!(
        "SELECT chain_id, contract, keeper, journal, head_size, head_root, head_time, state, why, looked_at
           FROM publish.anchoring"
    )
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (chain, contract, keeper) = (row.chain_id, &row.contract, &row.keeper);
    let open = sqlx::query!(
        "SELECT size, hashes FROM publish.anchors
          WHERE chain_id = $1 AND contract = $2 AND keeper = $3 AND state = 'open'",
        chain,
        contract,
        keeper,
    )
    .fetch_optional(db.pool())
    .await?;
    let head = match (row.head_size, row.head_root, row.head_time) {
        (Some(size), Some(root), Some(time)) => Some(AnchoredHead {
            size: size.unsigned_abs(),
            root: B256::try_from(&*root).map_err(|_| damaged("a root"))?,
            time: time.timestamp().unsigned_abs(),
        }),
        _ => None,
    };
    Ok(Some(Standing {
        chain: chain.unsigned_abs(),
        contract: Address::try_from(&**contract).map_err(|_| damaged("a contract"))?,
        keeper: Address::try_from(&**keeper).map_err(|_| damaged("a keeper"))?,
        journal: B256::try_from(&*row.journal).map_err(|_| damaged("a journal"))?,
        head,
        state: State::parse(&row.state).ok_or_else(|| damaged("a state"))?,
        why: row.why,
        looked_at: row.looked_at,
        open: open.and_then(|mut open| Some((open.size.unsigned_abs(), open.hashes.pop()?))),
        spent_gwei: spent(db, db.clock().now()).await?,
    }))
}

/// An anchor whose transaction is mined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// EIP-155 id of the chain.
    pub chain: u64,
    /// The `AuditAnchor` contract.
    pub contract: Address,
    /// The account that sent it, and keeps the head.
    pub keeper: Address,
    /// The transaction.
    pub tx: B256,
    /// The checkpoint's size.
    pub size: u64,
    /// Its root.
    pub root: B256,
}

/// The anchor of the checkpoint of this size by this transaction (its hash as text), as `journal::publication` tells
/// them.
pub async fn made(db: &Db, size: u64, tx: &str) -> Result<Option<Made>> {
    let row = sqlx::query!(
        "SELECT chain_id, contract, keeper, root FROM publish.anchors
          WHERE size = $1 AND $2 = ANY (hashes) AND state = 'anchored'",
        size.cast_signed(),
        tx,
    )
    .fetch_optional(db.pool())
    .await?;
    row.map(|row| {
        Ok(Made {
            chain: row.chain_id.unsigned_abs(),
            contract: Address::try_from(&*row.contract).map_err(|_| damaged("a contract"))?,
            keeper: Address::try_from(&*row.keeper).map_err(|_| damaged("a keeper"))?,
            tx: tx.parse().map_err(|_| damaged("a transaction's hash"))?,
            size,
            root: B256::try_from(&*row.root).map_err(|_| damaged("a root"))?,
        })
    })
    .transpose()
}

/// The transaction that is on its way.
pub(super) async fn open(db: &Db, anchor: &Anchor) -> Result<Option<Open>> {
    let (chain, contract, keeper) = key(anchor);
    let row = sqlx::query!(
        "SELECT id, size, prepared, hashes, priced_at FROM publish.anchors
          WHERE chain_id = $1 AND contract = $2 AND keeper = $3 AND state = 'open'",
        chain,
        contract.as_slice(),
        keeper.as_slice(),
    )
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let prepared =
        serde_json::from_value(row.prepared).map_err(|_| damaged("a prepared transaction"))?;
    let hashes = row.hashes.iter().map(|hash| hash.parse());
    let hashes = hashes
        .collect::<Result<_, _>>()
        .map_err(|_| damaged("a transaction's hash"))?;
    Ok(Some(Open {
        id: row.id,
        size: row.size.unsigned_abs(),
        sent: Sent { prepared, hashes },
        priced_at: row.priced_at,
    }))
}

/// When the newest transaction was written that was not lost.
pub(super) async fn last(db: &Db, anchor: &Anchor) -> Result<Option<DateTime<Utc>>> {
    let (chain, contract, keeper) = key(anchor);
    Ok(sqlx::query_scalar!(
        "SELECT max(written_at) FROM publish.anchors
          WHERE chain_id = $1 AND contract = $2 AND keeper = $3 AND state <> 'lost'",
        chain,
        contract.as_slice(),
        keeper.as_slice(),
    )
    .fetch_one(db.pool())
    .await?)
}

/// What the 24 hours before `now` cost, in gwei.
pub(super) async fn spent(db: &Db, now: DateTime<Utc>) -> Result<u64> {
    let since = now - TimeDelta::days(1);
    let spent = sqlx::query_scalar!(
        "SELECT least(coalesce(sum(cost_gwei), 0), 9223372036854775807)::bigint FROM publish.anchors WHERE written_at > $1",
        since
    )
    .fetch_one(db.pool())
    .await?;
    Ok(spent.unwrap_or(0).unsigned_abs())
}

/// Writes a transaction down that is to leave next.
pub(super) async fn write(
    tx: &mut Tx,
    anchor: &Anchor,
    (size, root): (u64, &[u8]),
    sent: &Sent,
) -> Result<()> {
    let (chain, contract, keeper) = key(anchor);
    let now = tx.now();
    sqlx::query!(
        "INSERT INTO publish.anchors
                (chain_id, contract, keeper, size, root, prepared, hashes, cost_gwei, written_at, priced_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        chain,
        contract.as_slice(),
        keeper.as_slice(),
        size.cast_signed(),
        root,
        json(sent)?,
        &names(sent),
        most_gwei(sent).cast_signed(),
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Writes a dearer version down that is to leave next.
pub(super) async fn reprice(tx: &mut Tx, id: i64, sent: &Sent) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "UPDATE publish.anchors SET prepared = $2, hashes = $3, cost_gwei = $4, priced_at = $5
          WHERE id = $1 AND state = 'open'",
        id,
        json(sent)?,
        &names(sent),
        most_gwei(sent).cast_signed(),
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Says what became of it, and what it cost.
pub(super) async fn close(tx: &mut Tx, id: i64, end: End, cost_gwei: u64) -> Result<()> {
    sqlx::query!(
        "UPDATE publish.anchors SET state = $2, cost_gwei = $3 WHERE id = $1 AND state = 'open'",
        id,
        end.as_str(),
        cost_gwei.cast_signed(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Says how anchoring stands. A head that was not read now stays as it was last.
pub(super) async fn say(
    tx: &mut Tx,
    anchor: &Anchor,
    head: Option<AnchoredHead>,
    state: State,
    why: Option<&str>,
) -> Result<()> {
    let (chain, contract, keeper) = key(anchor);
    let now = tx.now();
    let time = head.and_then(|head| DateTime::from_timestamp(head.time.cast_signed(), 0));
    sqlx::query!(
        "INSERT INTO publish.anchoring AS a
                (chain_id, contract, keeper, journal, head_size, head_root, head_time, state, why, looked_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (only_row) DO UPDATE
            SET chain_id = $1, contract = $2, keeper = $3, journal = $4, state = $8, why = $9, looked_at = $10,
                head_size = coalesce($5, a.head_size), head_root = coalesce($6, a.head_root),
                head_time = coalesce($7, a.head_time)",
        chain,
        contract.as_slice(),
        keeper.as_slice(),
        anchor.journal.as_slice(),
        head.map(|head| head.size.cast_signed()),
        head.map(|head| head.root.to_vec()),
        time,
        state.as_str(),
        why,
        now,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The most that a transaction can cost, in gwei, rounded up.
pub(super) fn most_gwei(sent: &Sent) -> u64 {
    gwei(sent.prepared.fees().most(sent.prepared.gas))
}

/// Wei as gwei, rounded up; more than a row can hold is the most that it can.
pub(super) fn gwei(wei: U256) -> u64 {
    let gwei = wei.div_ceil(U256::from(1_000_000_000_u64));
    gwei.min(U256::from(i64::MAX.cast_unsigned())).to::<u64>()
}

fn key(anchor: &Anchor) -> (i64, Address, Address) {
    let sender = &anchor.sender;
    let chain = sender.rpc().chain().cast_signed();
    (chain, anchor.contract, sender.address())
}

fn json(sent: &Sent) -> Result<serde_json::Value> {
    serde_json::to_value(&sent.prepared).map_err(|error| Error::Internal(error.to_string()))
}

fn names(sent: &Sent) -> Vec<String> {
    sent.hashes.iter().map(B256::to_string).collect()
}

fn damaged(what: &str) -> Error {
    Error::Internal(format!("{what} in the ledger of anchors is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_rounded_up_and_never_wraps() {
        assert_eq!(gwei(U256::ZERO), 0);
        assert_eq!(gwei(U256::from(1)), 1);
        assert_eq!(gwei(U256::from(3_000_000_000_u64)), 3);
        assert_eq!(gwei(U256::MAX), i64::MAX.cast_unsigned());
    }
}
