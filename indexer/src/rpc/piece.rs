//! One range of a backfill: its logs as told, or as its blocks prove them.

use std::collections::BTreeMap;

use chain::{Block, Header, Log, LogFilter};
use kernel::B256;

use crate::{Error, Result, evidence::Witness, providers::Providers, source::Proof};

/// Logs that one range should hold: answers of some megabytes.
pub(crate) const GOAL: u64 = 5_000;

/// Most blocks of a range of which every header is asked for.
pub const PROVEN_BLOCKS: u64 = 512;

/// Blocks of the range behind one of `blocks` blocks that held so many logs, at most `most`; twice as wide at the
/// most, because it may be denser.
pub fn next_width(blocks: u64, logs: usize, most: u64) -> u64 {
    let fitting = blocks.saturating_mul(GOAL) / (logs as u64).max(1);
    fitting.clamp(1, blocks.saturating_mul(2)).min(most)
}

/// A range as it was read.
#[derive(Debug)]
pub struct Piece {
    /// Its last block.
    pub to: Block,
    /// Blocks that hold logs, ascending.
    pub blocks: Vec<Block>,
    /// Logs in chain order.
    pub logs: Vec<Log>,
    /// What is proven of it.
    pub proof: Proof,
}

/// Headers, and receipts where a bloom does not exclude us.
pub async fn proven(witness: &Witness, from: u64, to: u64) -> Result<Piece> {
    let evidence = witness.gather(from, to).await?;
    let Some(last) = evidence.headers.last().map(chain::Header::block) else {
        return Err(Error::Invalid(
            "a range without blocks was asked for".to_owned(),
        ));
    };
    Ok(Piece {
        to: last,
        blocks: evidence.holding().map(chain::Header::block).collect(),
        proof: evidence.proof,
        logs: evidence.logs,
    })
}

/// The logs that a provider tells, in as many questions as it wants.
pub async fn told(providers: &Providers, filter: &LogFilter, from: u64, to: u64) -> Result<Piece> {
    let (logs, end) = tokio::try_join!(
        all_logs(providers, filter, from, to),
        providers.canonical(to)
    )?;
    bounded(providers, logs, from, &end).await
}

/// A range of which these are all logs, in chain order.
pub async fn of_logs(providers: &Providers, logs: Vec<Log>, from: u64, to: u64) -> Result<Piece> {
    let end = providers.canonical(to).await?;
    bounded(providers, logs, from, &end).await
}

/// A range that ends with `end`.
async fn bounded(providers: &Providers, logs: Vec<Log>, from: u64, end: &Header) -> Result<Piece> {
    let to = end.number;
    let moved = || Error::Moved {
        chain: providers.chain(),
        from,
        to,
    };
    let held = held(&logs, from, to).ok_or_else(moved)?;
    if held.get(&to).is_some_and(|(hash, _)| *hash != end.hash) {
        return Err(moved());
    }
    Ok(Piece {
        to: end.block(),
        blocks: blocks(providers, held).await?,
        logs,
        proof: Proof::REPORTED,
    })
}

async fn all_logs(
    providers: &Providers,
    filter: &LogFilter,
    from: u64,
    to: u64,
) -> Result<Vec<Log>> {
    let mut logs: Vec<Log> = Vec::new();
    let mut at = from;
    while at <= to {
        let told = providers.logs(at, to, filter).await?;
        let (end, mut part) = told.value;
        if logs.is_empty() {
            logs = part;
        } else {
            logs.append(&mut part);
        }
        at = end + 1;
    }
    Ok(logs)
}

/// Hash and time of each block that holds logs; `None` where they contradict each other.
fn held(logs: &[Log], from: u64, to: u64) -> Option<BTreeMap<u64, (B256, Option<i64>)>> {
    let mut held = BTreeMap::new();
    for two in logs.windows(2) {
        if two[0].position() == two[1].position() {
            return None;
        }
    }
    for log in logs {
        let block = (log.block_hash, log.block_time);
        let known = *held.entry(log.block_number).or_insert(block);
        if known != block || !(from..=to).contains(&log.block_number) {
            return None;
        }
    }
    Some(held)
}

/// The blocks, with the times of those whose logs did not tell them asked for.
async fn blocks(
    providers: &Providers,
    held: BTreeMap<u64, (B256, Option<i64>)>,
) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = held
        .into_iter()
        .map(|(number, (hash, time))| Block {
            number,
            hash,
            parent: None,
            time,
        })
        .collect();
    let untimed: Vec<B256> = blocks
        .iter()
        .filter(|block| block.time.is_none())
        .map(|block| block.hash)
        .collect();
    if untimed.is_empty() {
        return Ok(blocks);
    }
    let headers = providers
        .ask(move |rpc| {
            let untimed = untimed.clone();
            async move { rpc.headers_by_hash(&untimed).await }
        })
        .await?
        .value;
    let times: BTreeMap<B256, i64> = headers
        .iter()
        .flatten()
        .map(|header| (header.hash, header.time))
        .collect();
    for block in &mut blocks {
        block.time = block.time.or_else(|| times.get(&block.hash).copied());
    }
    Ok(blocks)
}
