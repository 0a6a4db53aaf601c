//! One step, one transaction: ground, facts, rows, journal and cursor together.

use std::collections::{BTreeMap, BTreeSet};

use chain::{Registries, operator, subject};
use identity::{Mode, Report};
use journal::{Change, NewEntry};
use kernel::{AgentId, Token};
use serde_json::json;
use store::{Cause, Db, Tx, lease::Lease};
use uuid::Uuid;

use crate::{
    Error, Result, chain_row, ground,
    source::{Cursor, Extend, Step},
};

/// A step further behind the head than this does not write the head feed: it is a backfill.
const LIVE: i64 = 256;

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

/// Applies a step from `cursor`; the same step applied twice is refused the second time.
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
    };
    let mut tx = db.begin(Cause::Block { chain, number: top }).await?;
    if let Some(lease) = lease {
        lease.fence(&mut tx).await?;
    }
    let applied = match step {
        Step::Extend(step) => extend(&mut tx, chain, contracts, cursor, step).await?,
        Step::Rewind { to } => rewind(&mut tx, chain, cursor, to).await?,
    };
    tx.commit().await?;
    Ok(applied)
}

async fn extend(
    tx: &mut Tx,
    chain: u64,
    contracts: &Registries,
    cursor: Cursor,
    step: Extend,
) -> Result<Applied> {
    let before = chain_row::lock(tx, chain, cursor.number).await?;
    let to = step.to.number.cast_signed();
    let settled = step.settled.min(to).max(before.number);
    let live = step.head - to < LIVE && to - cursor.number < LIVE;

    let mut tokens: BTreeMap<AgentId, Token> = BTreeMap::new();
    let mut operators = Vec::new();
    let logs: Vec<_> = step
        .logs
        .into_iter()
        .map(|log| {
            let token = subject(&log, contracts);
            let agent = token.map(|token| {
                let agent = AgentId::of_token(&token);
                tokens.insert(agent, token);
                agent.0
            });
            if contracts.identity.contains(&log.address)
                && let Some(Ok(set)) = operator(&log)
            {
                operators
                    .push(((log.block_number.cast_signed(), log.log_index.cast_signed()), set));
            }
            (log, agent)
        })
        .collect();
    ground::put_blocks(tx, chain, &step.blocks).await?;
    ground::put_logs(tx, chain, &logs).await?;
    ground::put_receipts(tx, chain, &step.receipts).await?;
    ground::put_tip(tx, chain, to, step.to.hash).await?;
    ground::put_range(tx, chain, cursor.number + 1, to).await?;
    identity::operator::record(tx, chain, &operators).await?;
    let tokens: Vec<(AgentId, Token)> = tokens.into_iter().collect();
    identity::subject::put(tx, &tokens).await?;
    let moved = Cursor { number: to, hash: Some(step.to.hash) };
    chain_row::advance(tx, chain, moved, ground::time(&step.to), settled).await?;

    let mut agents: BTreeSet<Uuid> = tokens.iter().map(|(agent, _)| agent.0).collect();
    if settled > before.number && before.number < cursor.number {
        agents.extend(ground::subjects(tx, chain, before.number, settled.min(cursor.number)).await?);
    }
    let agents: Vec<AgentId> = agents.into_iter().map(AgentId).collect();
    let report = identity::project(tx, &agents, Mode::Forward).await?;
    incidents(tx, chain, cursor.number, &report).await?;
    if live {
        identity::head::record(tx, &report.head, false).await?;
    }
    Ok(Applied { cursor: moved, logs: logs.len(), agents: agents.len(), rewound: 0 })
}

/// A log that could not be read is kept, says nothing, and is told once.
async fn incidents(tx: &mut Tx, chain: u64, above: i64, report: &Report) -> Result<()> {
    let now = tx.now();
    let entries: Vec<NewEntry> = report
        .malformed
        .iter()
        .filter(|(_, log)| log.block.cast_signed() > above)
        .map(|(agent, log)| {
            NewEntry::incident(vec![Change {
                column: "malformed_log".to_owned(),
                value: json!({ "agent": agent.to_string(), "why": log.why.to_string() }),
                cause: format!("eip155:{chain}/{}/{}", log.block, log.log_index),
                time: now,
            }])
        })
        .collect();
    if !entries.is_empty() {
        tracing::warn!(chain, logs = entries.len(), "chain {chain}: malformed logs were set aside");
    }
    journal::append(tx, entries).await?;
    Ok(())
}

async fn rewind(tx: &mut Tx, chain: u64, cursor: Cursor, to: i64) -> Result<Applied> {
    let before = chain_row::lock(tx, chain, cursor.number).await?;
    if to < before.number && !before.may_rewind {
        return Err(Error::DeepReorg {
            chain,
            settled: before.number.unsigned_abs(),
            common: to.unsigned_abs(),
        });
    }
    let agents = ground::subjects(tx, chain, to, i64::MAX).await?;
    let causes: Vec<String> = ground::hashes_above(tx, chain, to)
        .await?
        .iter()
        .map(|hash| format!("eip155:{chain}/{hash:#x}/"))
        .collect();
    identity::head::undo(tx, &agents, &causes).await?;
    identity::operator::rewind(tx, chain, to).await?;
    ground::rewind(tx, chain, to).await?;
    let moved = Cursor { number: to, hash: None };
    chain_row::advance(tx, chain, moved, None, before.number.min(to)).await?;
    let agents: Vec<AgentId> = agents.into_iter().map(AgentId).collect();
    identity::project(tx, &agents, Mode::Refold).await?;
    Ok(Applied { cursor: moved, logs: 0, agents: agents.len(), rewound: cursor.number - to })
}
