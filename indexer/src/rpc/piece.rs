//! One range of a backfill: its logs as told, or as its blocks prove them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use chain::{Block, Header, Log, LogFilter, Rpc, RpcError};
use kernel::B256;

use crate::{
    Error, Result,
    evidence::Witness,
    providers::{Id, Providers},
    source::Proof,
};

/// Logs that one range should hold: answers of some megabytes.
pub(crate) const GOAL: u64 = 5_000;

/// So often a range is asked for: each time somebody less may tell what is not so.
const TRIES: usize = 3;

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
    /// Who told the logs, without secrets; nobody where the blocks themselves show them.
    pub tellers: BTreeSet<String>,
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
        tellers: BTreeSet::new(),
    })
}

/// Logs of a range as they were told.
#[derive(Debug, Default)]
pub struct Answers {
    /// In chain order, where they answer one question.
    pub logs: Vec<Log>,
    /// Who told those of which blocks.
    pub by: Vec<(RangeInclusive<u64>, Id)>,
}

impl Answers {
    /// Adds answers to other questions.
    pub fn append(&mut self, mut other: Self) {
        if self.logs.is_empty() {
            self.logs = other.logs;
        } else {
            self.logs.append(&mut other.logs);
        }
        self.by.append(&mut other.by);
    }

    /// Who told the logs of a block, where it was one alone.
    fn teller(&self, block: u64) -> Option<Id> {
        let mut tellers = self.by.iter().filter(|(blocks, _)| blocks.contains(&block));
        let (_, one) = tellers.next()?;
        tellers.all(|(_, other)| other == one).then_some(*one)
    }
}

/// The logs that a provider tells, in as many questions as it wants. Who tells blocks that others do not have is asked
/// last, and the range is asked for again.
pub async fn told(providers: &Providers, filter: &LogFilter, from: u64, to: u64) -> Result<Piece> {
    for _ in 0..TRIES {
        let (answers, end) = tokio::try_join!(
            all_logs(providers, filter, from, to),
            providers.canonical(to)
        )?;
        if let Some(piece) = bounded(providers, answers, from, end).await? {
            return Ok(piece);
        }
    }
    Err(moved(providers, from, to))
}

/// A range of which these are all logs, in chain order.
pub async fn of_logs(providers: &Providers, answers: Answers, from: u64, to: u64) -> Result<Piece> {
    let end = providers.canonical(to).await?;
    let piece = bounded(providers, answers, from, end).await?;
    piece.ok_or_else(|| moved(providers, from, to))
}

fn moved(providers: &Providers, from: u64, to: u64) -> Error {
    Error::Moved {
        chain: providers.chain(),
        from,
        to,
    }
}

/// A range that ends with `end`. `None`: what was told is not what most have.
async fn bounded(
    providers: &Providers,
    answers: Answers,
    from: u64,
    end: Header,
) -> Result<Option<Piece>> {
    let Some(held) = held(&answers.logs, from, end.number) else {
        return Ok(None);
    };
    let end = match held.get(&end.number) {
        Some((hash, _)) if *hash != end.hash => {
            confirmed(providers, &answers, end.number, *hash).await
        }
        _ => Some(end),
    };
    let Some(end) = end else { return Ok(None) };
    let blocks = blocks(providers, &answers, held).await?;
    let tellers = answers.by.iter().map(|(_, by)| providers.place(*by));
    let tellers = tellers.collect();
    Ok(blocks.map(|blocks| Piece {
        to: end.block(),
        blocks,
        logs: answers.logs,
        proof: Proof::REPORTED,
        tellers,
    }))
}

/// The header of a block that logs were told of under this hash, where most have it so. Where they have another one,
/// whoever told the logs is asked last for a while.
async fn confirmed(
    providers: &Providers,
    answers: &Answers,
    number: u64,
    told: B256,
) -> Option<Header> {
    let (header, voters) = providers.elect(number).await?;
    if header.hash == told {
        return Some(header);
    }
    // Who contradicts himself alone may be two nodes behind one address.
    let teller = answers.teller(number);
    let outvotes = |teller: &Id| voters.len() > 1 && voters.iter().any(|voter| voter != teller);
    if let Some(teller) = teller.filter(outvotes) {
        let is = header.hash;
        let told = format!("it told logs of block {number} as {told}, and most have that as {is}");
        providers.refute(teller, told);
    }
    None
}

async fn all_logs(
    providers: &Providers,
    filter: &LogFilter,
    from: u64,
    to: u64,
) -> Result<Answers> {
    let mut answers = Answers::default();
    let mut at = from;
    while at <= to {
        let told = providers.logs(at, to, filter).await?;
        let (end, logs) = told.value;
        let by = vec![(at..=end, told.by)];
        answers.append(Answers { logs, by });
        at = end + 1;
    }
    Ok(answers)
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

/// The blocks, with the times of those whose logs did not tell them asked for. `None`: one of them is not what most
/// have.
async fn blocks(
    providers: &Providers,
    answers: &Answers,
    held: BTreeMap<u64, (B256, Option<i64>)>,
) -> Result<Option<Vec<Block>>> {
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
        return Ok(Some(blocks));
    }
    let headers = headers_of(providers, untimed.into()).await?;
    let times: BTreeMap<B256, i64> = headers
        .iter()
        .flatten()
        .map(|header| (header.hash, header.time))
        .collect();
    for block in blocks.iter_mut().filter(|block| block.time.is_none()) {
        block.time = times.get(&block.hash).copied();
        if block.time.is_none() {
            // Whoever was asked does not know it: it lacks the block, or nobody has it.
            let found = confirmed(providers, answers, block.number, block.hash).await;
            let Some(header) = found else {
                return Ok(None);
            };
            block.time = Some(header.time);
        }
    }
    Ok(Some(blocks))
}

/// The headers of these blocks, from somebody who has all of them; where nobody has, as many as one has.
async fn headers_of(providers: &Providers, hashes: Arc<[B256]>) -> Result<Vec<Option<Header>>> {
    let question = |whole: bool| {
        let hashes = Arc::clone(&hashes);
        move |rpc: Rpc| {
            let hashes = Arc::clone(&hashes);
            async move {
                let headers = rpc.headers_by_hash(&hashes).await?;
                match headers.iter().position(Option::is_none) {
                    Some(place) if whole => Err(RpcError::BeyondHead {
                        message: format!("it has no block {}", hashes[place]),
                    }),
                    _ => Ok(headers),
                }
            }
        }
    };
    let told = match providers.ask(question(true)).await {
        Err(Error::Rpc {
            error: RpcError::BeyondHead { .. },
            ..
        }) => providers.ask(question(false)).await?,
        told => told?,
    };
    Ok(told.value)
}
