//! One step, one transaction: ground, facts, rows, journal and cursor together.

use std::collections::BTreeSet;

use chain::Registries;
use identity::{Feed, Mode};
use journal::{Change, NewEntry};
use kernel::AgentId;
use serde_json::json;
use store::{Cause, Db, Tx, lease::Lease};
use uuid::Uuid;

use crate::{
    Error, Result, census, chain_row, ground, range,
    range::Range,
    scope,
    sorted::Sorted,
    source::{Cursor, Extend, LIVE, Step},
};

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Where the chain stands now.
    pub cursor: Cursor,
    /// Logs stored.
    pub logs: usize,
    /// Agents touched.
    pub agents: usize,
    /// Blocks rewound.
    pub rewound: i64,
}

/// Applies a step from `cursor`, where all stored ground is projected; the same step applied twice is
/// refused the second time.
pub async fn apply(
    db: &Db,
    chain: u64,
    contracts: &Registries,
    cursor: Cursor,
    step: Step,
    lease: Option<&Lease>,
) -> Result<Applied> {
    let top = match &step {
        Step::Extend(extend) => extend.to.number,
        Step::Rewind { to } => to.unsigned_abs(),
        Step::Enter(_) => cursor.number.max(0).unsigned_abs(),
    };
    let mut tx = db.begin(Cause::Block { chain, number: top }).await?;
    if let Some(lease) = lease {
        lease.fence(&mut tx).await?;
    }
    let applied = match step {
        Step::Extend(step) => extend(&mut tx, chain, cursor, *step).await?,
        Step::Rewind { to } => rewind(&mut tx, chain, cursor, to).await?,
        Step::Enter(step) => scope::enter(&mut tx, chain, contracts, cursor, *step).await?,
    };
    tx.commit().await?;
    Ok(applied)
}

async fn extend(tx: &mut Tx, chain: u64, cursor: Cursor, step: Extend) -> Result<Applied> {
    let before = chain_row::lock(tx, chain, cursor.number).await?;
    before.check_level(chain)?;
    let to = step.to.number.cast_signed();
    let settled = step.settled.min(to).max(before.settled);
    let live = step.head - to < LIVE && to - cursor.number < LIVE;
    let named = store_ground(tx, chain, cursor, &step).await?;
    tell_malformed(tx, chain, &step.logs, &step.logs.unread()).await?;
    identity::subject::put(tx, &step.logs.tokens).await?;
    if let Some(tokens) = &step.entering {
        scope::put_tokens(tx, chain, tokens.iter().copied(), true).await?;
    }
    let moved = step.cursor();
    chain_row::advance_head(tx, chain, moved, ground::time(&step.to), settled).await?;

    let mut agents: BTreeSet<Uuid> = step.logs.tokens.iter().map(|(agent, _)| agent.0).collect();
    agents.extend(named);
    if settled > before.settled && before.settled < cursor.number {
        agents.extend(spoken_of(tx, chain, before.settled, settled.min(cursor.number)).await?);
    }
    let agents: Vec<AgentId> = agents.into_iter().map(AgentId).collect();
    let feed = if live { Feed::Told } else { Feed::Watched };
    identity::project(tx, &agents, Mode::Forward, feed).await?;
    Ok(Applied {
        cursor: moved,
        logs: step.logs.logs.len(),
        agents: agents.len(),
        rewound: 0,
    })
}

/// Stores everything of a step that is not projected: blocks, logs, receipts, and what is proven. Moves the end of
/// ground. Gives the agents that contracts of VEXEL's speak of.
pub(crate) async fn store_ground(
    tx: &mut Tx,
    chain: u64,
    cursor: Cursor,
    step: &Extend,
) -> Result<Vec<Uuid>> {
    let to = step.to.number.cast_signed();
    check_link(chain, cursor, step)?;
    ground::put_blocks(tx, chain, &step.blocks).await?;
    ground::put_logs(tx, chain, &step.logs.logs).await?;
    ground::put_receipts(tx, chain, &step.receipts).await?;
    let mut tips = step.movable.clone();
    tips.push((step.to.number, step.to.hash));
    ground::put_tips(tx, chain, &tips, step.settled).await?;
    let proven = Range {
        from: cursor.number + 1,
        to,
        proof: step.proof,
        tellers: step.tellers.clone(),
    };
    range::put(tx, chain, proven).await?;
    chain_row::advance_ground(tx, chain, step.cursor()).await?;
    if let Some(finalized) = step.finalized {
        chain_row::finalize(tx, chain, finalized).await?;
    }
    identity::operator::record(tx, chain, &step.logs.operators).await?;
    Ok(identity::vexel::record(tx, chain, &step.logs.vexel).await?)
}

/// Agents that logs of a range are about, by their token or their DID.
pub(crate) async fn spoken_of(
    tx: &mut Tx,
    chain: u64,
    above: i64,
    up_to: i64,
) -> Result<Vec<Uuid>> {
    let mut agents = ground::subjects(tx, chain, above, up_to).await?;
    agents.extend(identity::vexel::subjects(tx, chain, above, up_to).await?);
    Ok(agents)
}

/// Headers that were hashed and linked must go on from the block that is stored: else they are another branch's, or
/// what is stored is.
fn check_link(chain: u64, cursor: Cursor, step: &Extend) -> Result<()> {
    match (step.proof.below, cursor.hash) {
        (Some(below), Some(stored)) if below != stored => Err(Error::Moved {
            chain,
            from: (cursor.number + 1).max(0).unsigned_abs(),
            to: step.to.number,
        }),
        _ => Ok(()),
    }
}

/// A log that could not be read is kept, says nothing, and is told once: in the step that stores it.
pub(crate) async fn tell_malformed(
    tx: &mut Tx,
    chain: u64,
    sorted: &Sorted,
    malformed: &[(usize, String)],
) -> Result<()> {
    let now = tx.now();
    let entries: Vec<NewEntry> = malformed
        .iter()
        .map(|(place, why)| {
            let (log, named) = &sorted.logs[*place];
            let agent = named.map(|(agent, _)| agent.to_string());
            NewEntry::incident(vec![Change {
                column: "malformed_log".to_owned(),
                value: json!({ "agent": agent, "why": why }),
                cause: format!("eip155:{chain}/{:#x}/{}", log.block_hash, log.log_index),
                time: now,
            }])
        })
        .collect();
    if !entries.is_empty() {
        let logs = entries.len();
        tracing::warn!(
            chain,
            logs,
            "chain {chain}: {logs} malformed logs were set aside"
        );
    }
    journal::append(tx, entries).await?;
    Ok(())
}

async fn rewind(tx: &mut Tx, chain: u64, cursor: Cursor, to: i64) -> Result<Applied> {
    let before = chain_row::lock(tx, chain, cursor.number).await?;
    if to < before.settled && !before.may_rewind {
        return Err(Error::DeepReorg {
            chain,
            settled: before.settled.unsigned_abs(),
            common: to.unsigned_abs(),
        });
    }
    // Ground that is ahead of its projection goes without a trace: nobody was told of it.
    let agents = spoken_of(tx, chain, to, before.head).await?;
    identity::operator::rewind(tx, chain, to).await?;
    identity::vexel::rewind(tx, chain, to).await?;
    ground::rewind(tx, chain, to).await?;
    chain_row::rewind(tx, chain, to, before.settled.min(to)).await?;
    census::rewound(tx, chain, to, &agents).await?;
    let agents: Vec<AgentId> = agents.into_iter().map(AgentId).collect();
    identity::project(tx, &agents, Mode::Refold, Feed::Told).await?;
    Ok(Applied {
        cursor: Cursor {
            number: to,
            hash: None,
        },
        logs: 0,
        agents: agents.len(),
        rewound: cursor.number - to,
    })
}
