//! What a census found, kept with its progress in one transaction.

use std::collections::{BTreeSet, HashSet};

use chain::SeenTopics;
use kernel::{Address, B256, U256};
use store::{Cause, Db, Tx};
use uuid::Uuid;

use super::{
    Layout, Mismatch, StateLevel,
    agents::{self, Progress, Rows},
    compare::{Ours, Theirs, differences},
    mismatch,
    read::Reading,
};
use crate::{Error, Result, chain_row};

/// A registry, and how far it was compared before.
#[derive(Debug, Clone)]
pub struct Place {
    /// EIP-155 id.
    pub chain: u64,
    /// The registry.
    pub registry: Address,
    /// Which topics the chain's source holds.
    pub topics: SeenTopics,
}

/// A comparison of some rows with what the registry keeps.
#[derive(Debug)]
pub struct Compared<'a> {
    /// Our rows and the block of both sides.
    pub rows: &'a Rows,
    /// Whose rows were asked for; some may have none.
    pub chosen: &'a [Uuid],
    /// What the state says; its values in the order of the rows.
    pub reading: &'a Reading,
    /// How far all are compared with this.
    pub progress: &'a Progress,
    /// The least level of what was compared before.
    pub level_before: Option<StateLevel>,
}

/// What was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Values that are not the contract's, those that were known before included.
    pub mismatches: Vec<Mismatch>,
    /// Agents that could not be judged now, and are compared again.
    pub unclear: usize,
}

/// Keeps a comparison. A difference counts only where the row is true at that block: not while the chain
/// has moved on or the row waits for its projection.
pub async fn keep(
    db: &Db,
    place: &Place,
    hash: B256,
    lease: Option<&store::lease::Lease>,
    compared: &Compared<'_>,
) -> Result<Kept> {
    let mut tx = db.begin(Cause::Job("census")).await?;
    if let Some(lease) = lease {
        lease.fence(&mut tx).await?;
    }
    // Steps take this lock first: none is under way now.
    chain_row::lock_any(&mut tx, place.chain).await?;
    let Compared { rows, reading, .. } = compared;
    let different: Vec<Uuid> = pairs(&rows.agents, reading)
        .filter(|(ours, theirs)| !differences(ours, theirs).is_empty())
        .map(|(ours, _)| ours.agent)
        .collect();
    let uncounted = miscounted(rows, reading);
    let (mut mismatches, mut unclear) = (Vec::new(), BTreeSet::new());
    let known: HashSet<Uuid> = rows.agents.iter().map(|ours| ours.agent).collect();
    let absent = compared
        .chosen
        .iter()
        .filter(|agent| !known.contains(*agent));
    let doubtful: Vec<Uuid> = different.iter().chain(absent).copied().collect();
    if !doubtful.is_empty() || uncounted {
        // First who waits, then the rows: a sweep between the two puts rows right.
        let waiting = identity::dirty::among(&mut tx, &doubtful).await?;
        let chain = place.chain.cast_signed();
        let now = agents::rows(tx.conn(), chain, place.registry, &different, uncounted).await?;
        if now.at == rows.at {
            unclear.extend(&waiting);
            mismatches =
                mismatch::of_agents(&mut tx, place, &now.agents, compared, &unclear).await?;
            if let Some(minted) = rows
                .minted
                .filter(|_| uncounted && now.minted == rows.minted)
            {
                let highest = rows.highest;
                mismatches
                    .push(mismatch::of_count(&mut tx, place, minted, highest, reading).await?);
            }
        } else {
            unclear.extend(different.iter().chain(&waiting));
        }
    }
    put(&mut tx, place, hash, compared, &mismatches, &unclear).await?;
    tx.commit().await?;
    Ok(Kept {
        mismatches,
        unclear: unclear.len(),
    })
}

pub(super) fn pairs<'a>(
    rows: &'a [Ours],
    reading: &'a Reading,
) -> impl Iterator<Item = (&'a Ours, &'a Theirs)> {
    rows.iter().zip(&reading.theirs)
}

/// Whether there are more or fewer agents than were counted, if they were.
fn miscounted(rows: &Rows, reading: &Reading) -> bool {
    let ours = |minted: i64| U256::from(minted.unsigned_abs());
    rows.minted.is_some_and(|minted| {
        reading.beyond
            || reading
                .counted
                .is_some_and(|counted| counted != ours(minted))
    })
}

async fn put(
    tx: &mut Tx,
    place: &Place,
    hash: B256,
    compared: &Compared<'_>,
    mismatches: &[Mismatch],
    unclear: &BTreeSet<Uuid>,
) -> Result<()> {
    let chain = place.chain.cast_signed();
    let at = compared.rows.at.number;
    progress(tx, place, hash, compared).await?;
    let clear: Vec<Uuid> = compared
        .rows
        .agents
        .iter()
        .map(|ours| ours.agent)
        .filter(|agent| !unclear.contains(agent))
        .collect();
    let unclear: Vec<Uuid> = unclear.iter().copied().collect();
    sqlx::query!(
        "DELETE FROM chain.census_again a
          WHERE chain_id = $1 AND (agent_id = ANY($2)
             OR NOT EXISTS (SELECT FROM identity.v_tokens t WHERE t.agent_id = a.agent_id))",
        chain,
        &clear,
    )
    .execute(tx.conn())
    .await?;
    super::again(tx, place.chain, &unclear).await?;
    let counted = compared.rows.minted.and(compared.reading.counted).is_some();
    mismatch::gone(tx, place, at, &clear, mismatches, counted).await?;
    mismatch::put(tx, place, at, hash, mismatches).await
}

async fn progress(tx: &mut Tx, place: &Place, hash: B256, compared: &Compared<'_>) -> Result<()> {
    let (rows, reading, progress) = (compared.rows, compared.reading, compared.progress);
    let level = (!rows.agents.is_empty()).then_some(reading.level);
    let level = [level, compared.level_before].into_iter().flatten().min();
    let (code, layout) = reading.found;
    let moved = sqlx::query!(
        "UPDATE chain.census
            SET next_token = $3::text::numeric, through_block = $4, taken_at = $6,
                block_number = $7, block_hash = $8, agents = $9, counted = $10::text::numeric,
                count_level = $11, values_level = $12, implementation = $13, layout = $14,
                obstacle = NULL
          WHERE chain_id = $1 AND registry = $2 AND rewinds = $5",
        place.chain.cast_signed(),
        place.registry.as_slice(),
        progress.next.map(|next| next.to_string()),
        progress.through,
        progress.rewinds,
        tx.now(),
        rows.at.number,
        hash.as_slice(),
        rows.minted,
        rows.minted
            .and(reading.counted)
            .map(|counted| counted.to_string()),
        reading.count_level.as_str(),
        level.map(StateLevel::as_str),
        code.as_slice(),
        layout.as_str(),
    )
    .execute(tx.conn())
    .await?;
    if moved.rows_affected() == 1 {
        return Ok(());
    }
    let number = rows.at.number.unsigned_abs();
    Err(Error::Moved {
        chain: place.chain,
        from: number,
        to: number,
    })
}

impl Layout {
    /// The column.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Slots => "slots",
            Self::Calls => "calls",
        }
    }
}
