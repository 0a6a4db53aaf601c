//! One step, one transaction: ground, facts, rows, journal and cursor together.

use std::collections::{BTreeSet, HashMap};

use chain::{Log, OperatorSet, Registries, SeenTopics, decode_token, operator, subject};
use identity::{Feed, Mode};
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

    let Sorted {
        logs,
        tokens,
        operators,
    } = sort(step.logs, contracts);
    ground::put_blocks(tx, chain, &step.blocks).await?;
    ground::put_logs(tx, chain, &logs).await?;
    ground::put_receipts(tx, chain, &step.receipts).await?;
    ground::put_tip(tx, chain, to, step.to.hash).await?;
    ground::put_range(tx, chain, cursor.number + 1, to).await?;
    identity::operator::record(tx, chain, &operators).await?;
    identity::subject::put(tx, &tokens).await?;
    let moved = Cursor {
        number: to,
        hash: Some(step.to.hash),
    };
    chain_row::advance(tx, chain, moved, ground::time(&step.to), settled).await?;

    let mut agents: BTreeSet<Uuid> = tokens.iter().map(|(agent, _)| agent.0).collect();
    if settled > before.number && before.number < cursor.number {
        agents
            .extend(ground::subjects(tx, chain, before.number, settled.min(cursor.number)).await?);
    }
    let agents: Vec<AgentId> = agents.into_iter().map(AgentId).collect();
    let feed = if live { Feed::Told } else { Feed::Skipped };
    identity::project(tx, &agents, Mode::Forward, feed).await?;
    incidents(tx, chain, contracts, &logs).await?;
    Ok(Applied {
        cursor: moved,
        logs: logs.len(),
        agents: agents.len(),
        rewound: 0,
    })
}

/// A step's logs, with the agents that they speak of.
struct Sorted {
    logs: Vec<(Log, Option<Uuid>)>,
    tokens: Vec<(AgentId, Token)>,
    operators: Vec<(identity::operator::Position, OperatorSet)>,
}

fn sort(logs: Vec<Log>, contracts: &Registries) -> Sorted {
    let mut agents: HashMap<Token, AgentId> = HashMap::new();
    let mut operators = Vec::new();
    let logs = logs
        .into_iter()
        .map(|log| {
            let agent = subject(&log, contracts).map(|token| {
                agents
                    .entry(token)
                    .or_insert_with(|| AgentId::of_token(&token))
                    .0
            });
            if contracts.identity.contains(&log.address)
                && let Some(Ok(set)) = operator(&log)
            {
                let at = (log.block_number.cast_signed(), log.log_index.cast_signed());
                operators.push((at, set));
            }
            (log, agent)
        })
        .collect();
    let tokens = agents
        .into_iter()
        .map(|(token, agent)| (agent, token))
        .collect();
    Sorted {
        logs,
        tokens,
        operators,
    }
}

/// A log that could not be read is kept, says nothing, and is told once: in the step that stores it.
async fn incidents(
    tx: &mut Tx,
    chain: u64,
    contracts: &Registries,
    logs: &[(Log, Option<Uuid>)],
) -> Result<()> {
    let now = tx.now();
    let mut entries = Vec::new();
    for (index, (log, agent)) in logs.iter().enumerate() {
        let Some(why) = malformed(logs, index, contracts) else {
            continue;
        };
        entries.push(NewEntry::incident(vec![Change {
            column: "malformed_log".to_owned(),
            value: json!({ "agent": agent.map(|agent| agent.to_string()), "why": why }),
            cause: format!("eip155:{chain}/{:#x}/{}", log.block_hash, log.log_index),
            time: now,
        }]));
    }
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

/// What is wrong with a log, if anything. That depends at most on the one directly before it.
fn malformed(logs: &[(Log, Option<Uuid>)], index: usize, contracts: &Registries) -> Option<String> {
    let (log, agent) = &logs[index];
    let last = |read: &[Log]| decode_token(read, SeenTopics::ALL).pop();
    if let Some((_, Err(why))) = last(std::slice::from_ref(log)) {
        let before = index.checked_sub(1).map(|before| &logs[before]);
        return match before.filter(|(_, other)| agent.is_some() && other == agent) {
            Some((before, _)) => match last(&[before.clone(), log.clone()]) {
                Some((1, Err(why))) => Some(why.to_string()),
                _ => None,
            },
            None => Some(why.to_string()),
        };
    }
    match operator(log).filter(|_| contracts.identity.contains(&log.address)) {
        Some(Err(why)) => Some(why.to_string()),
        _ => None,
    }
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
    identity::operator::rewind(tx, chain, to).await?;
    ground::rewind(tx, chain, to).await?;
    let moved = Cursor {
        number: to,
        hash: None,
    };
    chain_row::advance(tx, chain, moved, None, before.number.min(to)).await?;
    let agents: Vec<AgentId> = agents.into_iter().map(AgentId).collect();
    identity::project(tx, &agents, Mode::Refold, Feed::Told).await?;
    Ok(Applied {
        cursor: moved,
        logs: 0,
        agents: agents.len(),
        rewound: cursor.number - to,
    })
}
