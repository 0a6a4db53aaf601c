//! Ethereum nodes as a source.
//!
//! A fork is found by comparing hashes of blocks, never by `removed` logs or filters, which nodes lose
//! (`indexing.md` §9b). At the head every block proves its logs before they are believed; in a backfill
//! they are believed for a while and proven behind ([`crate::prove`]), or proven at once where the
//! operator wants it so.

mod ahead;
mod piece;
mod reading;
mod watched;

use std::time::{Duration, Instant};

use chain::{At, Header, LogFilter, Registries};
use kernel::{B256, Token};
use store::Db;

use self::{
    ahead::Ahead,
    piece::Piece,
    watched::{Watching, holds},
};
pub(crate) use self::{ahead::MOST, piece::GOAL};
use crate::{
    Error, Result,
    config::{Config, Prove},
    evidence::{Evidence, Witness},
    providers::Providers,
    scope::Watch,
    sorted::Sorted,
    source::{Cursor, Extend, LIVE, Source, Step},
    stage::{self, Stage},
    trail::Trail,
};

/// Blocks of one step at the head.
const STEP: u64 = 64;

/// In a backfill the head is looked at no more often than this.
const HEAD_AGE: Duration = Duration::from_secs(2);

/// Nodes of one chain, and what is read of it.
pub struct RpcSource {
    providers: Providers,
    contracts: Registries,
    witness: Witness,
    ahead: Ahead,
    /// Depth that counts as settled, where it is configured or nobody serves `finalized`.
    depth: u64,
    /// Whether `finalized` counts.
    ask_finalized: bool,
    keep_receipts: bool,
    /// Whether a backfill's ranges are proven at once.
    prove_first: bool,
    /// Where some alone are kept.
    watching: Option<Watching>,
    seen: Option<Seen>,
}

/// The head as it was last looked at.
#[derive(Clone)]
struct Seen {
    head: Header,
    finalized: Option<u64>,
    at: Instant,
    /// Whether the last step was read ahead: it is known well enough to go on to it.
    in_bulk: bool,
}

/// How settledness is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// The `finalized` tag, else this depth.
    Finalized(u64),
    /// Always this depth; 0 on a chain that we started.
    Depth(u64),
}

/// The question for all logs of ours.
pub fn filter(contracts: &Registries) -> LogFilter {
    let ours = contracts.identity.iter().chain(&contracts.status);
    LogFilter {
        addresses: ours.chain(&contracts.vexel).copied().collect(),
        ..LogFilter::default()
    }
}

impl RpcSource {
    /// Reads logs of `contracts` from `providers`.
    pub fn new(
        providers: Providers,
        contracts: &Registries,
        settling: Settling,
        config: &Config,
    ) -> Self {
        let filter = filter(contracts);
        let (depth, ask_finalized) = match settling {
            Settling::Finalized(depth) => (depth, true),
            Settling::Depth(depth) => (depth, false),
        };
        let witness = Witness::new(providers.clone(), filter);
        let proven = (config.prove == Prove::First).then(|| witness.clone());
        Self {
            ahead: Ahead::new(
                providers.clone(),
                contracts.clone(),
                config.range_blocks,
                proven,
            ),
            contracts: contracts.clone(),
            providers,
            witness,
            depth,
            ask_finalized,
            keep_receipts: config.keep_receipts,
            prove_first: config.prove == Prove::First,
            watching: None,
            seen: None,
        }
    }

    /// Reads only what belongs to those who are watched, of a chain that was opened so and that is indexed from
    /// block `start` on.
    #[must_use]
    pub fn watching(
        self,
        db: Db,
        watch: Watch,
        contracts: &Registries,
        start: u64,
        config: &Config,
    ) -> Self {
        let (contracts, width) = (contracts.clone(), config.range_blocks);
        Self {
            watching: Some(Watching::new(db, watch, contracts, start, width)),
            ..self
        }
    }

    /// Who can prove ranges later.
    pub fn witness(&self) -> Witness {
        self.witness.clone()
    }

    async fn header(&self, at: At) -> Result<Option<Header>> {
        let told = self
            .providers
            .ask(move |rpc| async move { rpc.block(at).await });
        Ok(told.await?.value)
    }

    /// The newest block, and what is final. In a backfill it need not be looked at each time.
    async fn look(&mut self, cursor: Cursor) -> Result<Seen> {
        if let Some(seen) = &self.seen
            && seen.at.elapsed() < HEAD_AGE
            && (seen.in_bulk || seen.head.number.cast_signed() - cursor.number >= LIVE)
        {
            return Ok(seen.clone());
        }
        let head = self.providers.head().await?;
        let known = self
            .seen
            .as_ref()
            .filter(|seen| seen.head.hash == head.hash);
        let finalized = match known {
            Some(seen) => seen.finalized,
            None if self.ask_finalized => self.finalized(&head).await?,
            None => None,
        };
        let seen = Seen {
            head,
            finalized,
            at: Instant::now(),
            in_bulk: false,
        };
        self.seen = Some(seen.clone());
        Ok(seen)
    }

    fn tell_bulk(&mut self, in_bulk: bool) {
        if let Some(seen) = &mut self.seen {
            seen.in_bulk = in_bulk;
        }
    }

    /// What is final on the branch that ends with `head`.
    async fn finalized(&self, head: &Header) -> Result<Option<u64>> {
        let Some(finalized) = self.providers.finalized(head.number).await? else {
            // Who said it before may not answer now, and what was final stays so.
            let before = self.seen.as_ref().and_then(|seen| seen.finalized);
            return Ok(before.map(|before| before.min(head.number)));
        };
        // A reorg between the two questions: what is final now may never have been on this branch.
        let still = self.header(At::Number(head.number)).await?;
        if still.is_some_and(|still| still.hash != head.hash) {
            return Err(self.moved(head.number, head.number));
        }
        Ok(Some(finalized))
    }

    /// The newest known block at or below `from` that is still canonical.
    async fn fork(&self, from: i64, trail: Trail<'_>) -> Result<i64> {
        let mut below = from;
        let mut last = (0, B256::ZERO);
        loop {
            let known = trail.below(below).await?;
            let Some(lowest) = known.last().copied() else {
                break;
            };
            let taken = self.taken(&known).await?;
            if let Some((number, _)) = known.get(taken) {
                return Ok(*number);
            }
            last = lowest;
            below = lowest.0 - 1;
        }
        let (number, hash) = last;
        let found = self.header(At::Number(number.unsigned_abs())).await?;
        Err(Error::OtherChain {
            chain: self.providers.chain(),
            number: number.unsigned_abs(),
            stored: format!("{hash:#x}"),
            found: found.map_or_else(
                || "no block".to_owned(),
                |header| format!("{:#x}", header.hash),
            ),
            place: self.providers.places(),
        })
    }

    /// How many of these blocks, newest first, are canonical no more. Looked for in strides that double:
    /// most reorgs are shallow, and a deep one must not cost a question for each block.
    async fn taken(&self, known: &[(i64, B256)]) -> Result<usize> {
        let (mut taken, mut kept) = (0, known.len());
        let mut at = 0;
        while taken < kept {
            let (number, hash) = known[at];
            // At or below the head, so that somebody has a block there, if not each node of a provider.
            let found = self.providers.canonical(number.unsigned_abs()).await?;
            if found.hash == hash {
                kept = at;
            } else {
                taken = at + 1;
            }
            at = if kept == known.len() {
                (2 * taken).min(known.len() - 1)
            } else {
                usize::midpoint(taken, kept)
            };
        }
        Ok(taken)
    }

    /// The way back, where our last block was replaced. One answer is not enough to say so: behind one
    /// address may stand nodes on other branches, and the next answer may be another one's.
    async fn rewind(
        &self,
        cursor: Cursor,
        head: &Header,
        trail: Trail<'_>,
    ) -> Result<Option<Step>> {
        if self.is_canonical(cursor, head, trail).await? {
            return Ok(None);
        }
        let from = cursor.number.min(head.number.cast_signed());
        let to = self.fork(from, trail).await?;
        Ok((to < cursor.number).then_some(Step::Rewind { to }))
    }

    /// Whether our last block is still canonical, where the head does not say so by itself.
    async fn is_canonical(&self, cursor: Cursor, head: &Header, trail: Trail<'_>) -> Result<bool> {
        let (Ok(number), Some(hash)) = (u64::try_from(cursor.number), cursor.hash) else {
            return Ok(true);
        };
        if number == head.number {
            return Ok(hash == head.hash);
        }
        if number + 1 == head.number {
            return Ok(hash == head.parent);
        }
        if number < head.number {
            let found = self.header(At::Number(number)).await?;
            return Ok(found.is_none_or(|header| header.hash == hash));
        }
        if self.is_ours() {
            // Nobody but our own node can be behind: it lost its tail.
            return Ok(false);
        }
        // A head that went back is somebody who is behind, unless what he has is another block.
        let known = trail.below(head.number.cast_signed()).await?;
        let same_height = known
            .first()
            .filter(|(known, _)| *known == head.number.cast_signed());
        match (same_height, known.first()) {
            (Some((_, known)), _) => Ok(*known == head.hash),
            (None, Some((lower, known))) => {
                let found = self.header(At::Number(lower.unsigned_abs())).await?;
                Ok(found.is_none_or(|header| header.hash == *known))
            }
            (None, None) => Ok(true),
        }
    }

    /// Evidence about blocks above the cursor that, if they reach so far, end in the head. `None`: they do
    /// end in it, but do not begin where we are.
    async fn linked(
        &self,
        from: u64,
        to: u64,
        cursor: Cursor,
        head: &Header,
    ) -> Result<Option<Evidence>> {
        let evidence = if from == head.number {
            self.witness.examine(vec![head.clone()]).await?
        } else {
            self.witness.gather(from, to).await?
        };
        let Some((first, last)) = evidence.headers.first().zip(evidence.headers.last()) else {
            return Err(self.moved(from, to));
        };
        let ends_in_head = last.hash == head.hash;
        if cursor.hash.is_none_or(|hash| hash == first.parent) {
            if to == head.number && !ends_in_head {
                return Err(self.moved(from, to));
            }
            return Ok(Some(evidence));
        }
        if ends_in_head {
            return Ok(None);
        }
        Err(self.moved(from, to))
    }

    /// Blocks at the head, each of which proves its logs; or the way back, where they do not follow on ours. `None`:
    /// somebody has to enter first.
    async fn live(
        &mut self,
        from: u64,
        cursor: Cursor,
        seen: &Seen,
        trail: Trail<'_>,
    ) -> Result<Option<Step>> {
        let head = &seen.head;
        let to = head.number.min(from + STEP - 1);
        let found = match self.linked(from, to, cursor, head).await {
            // Behind one address nodes may take turns, and one of them stand on another branch: whoever
            // always asked as often would always meet it at the same question.
            Ok(None) | Err(Error::Moved { .. }) => self.linked(from, to, cursor, head).await?,
            found => found?,
        };
        let Some(mut evidence) = found else {
            let known = trail.below(cursor.number - 1).await?;
            let (to, _) = *known.first().ok_or_else(|| self.moved(from, to))?;
            return Ok(Some(Step::Rewind { to }));
        };
        let mut entering = None;
        if let Some(watching) = &mut self.watching {
            let Some((logs, minted)) = watching.sort_out(std::mem::take(&mut evidence.logs)) else {
                return Ok(None);
            };
            evidence.receipts.retain(|one| holds(&logs, one.number));
            evidence.logs = logs;
            entering = Some(minted);
        }
        let Some(last) = evidence.headers.last() else {
            return Err(self.moved(from, to));
        };
        Ok(Some(Step::Extend(Box::new(Extend {
            to: last.block(),
            blocks: evidence.holding().map(Header::block).collect(),
            movable: evidence
                .headers
                .iter()
                .map(|header| (header.number, header.hash))
                .collect(),
            settled: self.settled(seen).min(to).cast_signed(),
            head: head.number.cast_signed(),
            finalized: seen.finalized.map(u64::cast_signed),
            proof: evidence.proof,
            tellers: std::collections::BTreeSet::new(),
            receipts: if self.keep_receipts {
                evidence.receipts
            } else {
                Vec::new()
            },
            logs: Sorted::new(evidence.logs, &self.contracts),
            entering,
        }))))
    }

    /// Of a chain that is kept for some alone: who has to enter first, or else the next settled blocks. `None`: the
    /// head is near.
    async fn watched(
        &self,
        watching: &mut Watching,
        cursor: Cursor,
        seen: &Seen,
        bulk: bool,
    ) -> Result<Option<Step>> {
        let last = self.settled(seen);
        let from = (cursor.number + 1).max(0).unsigned_abs();
        let witness = self.prove_first.then_some(&self.witness);
        loop {
            if let Some(enter) = watching.due(&self.providers, cursor, last).await? {
                return Ok(Some(Step::Enter(Box::new(enter))));
            }
            if !bulk {
                return Ok(None);
            }
            let reading = watching.range(&self.providers, witness, from, last);
            let found = stage::timed(self.providers.chain(), Stage::Fetch, reading).await?;
            // Else it revealed somebody who has to enter first.
            if let Some((mut piece, minted)) = found {
                let logs = Sorted::new(std::mem::take(&mut piece.logs), &self.contracts);
                return Ok(Some(self.settled_step(piece, logs, seen, Some(minted))));
            }
        }
    }

    /// A range of which nothing can move any more.
    fn settled_step(
        &self,
        piece: Piece,
        logs: Sorted,
        seen: &Seen,
        entering: Option<Vec<Token>>,
    ) -> Step {
        Step::Extend(Box::new(Extend {
            to: piece.to,
            blocks: piece.blocks,
            logs,
            movable: Vec::new(),
            settled: self.settled(seen).cast_signed(),
            head: seen.head.number.cast_signed(),
            finalized: seen.finalized.map(u64::cast_signed),
            proof: piece.proof,
            tellers: piece.tellers,
            receipts: Vec::new(),
            entering,
        }))
    }

    /// A chain that we started: everything on it is settled as soon as it is there.
    fn is_ours(&self) -> bool {
        self.depth == 0 && !self.ask_finalized
    }

    fn settled(&self, seen: &Seen) -> u64 {
        seen.finalized
            .unwrap_or_else(|| seen.head.number.saturating_sub(self.depth))
    }

    fn moved(&self, from: u64, to: u64) -> Error {
        Error::Moved {
            chain: self.providers.chain(),
            from,
            to,
        }
    }
}

impl Source for RpcSource {
    async fn next(&mut self, cursor: Cursor, trail: Trail<'_>) -> Result<Option<Step>> {
        let seen = self.look(cursor).await?;
        self.tell_bulk(false);
        let from = (cursor.number + 1).max(0).unsigned_abs();
        let settled = self.settled(&seen);
        let behind = seen.head.number.cast_signed() - cursor.number;
        let goes_on = from <= settled && self.ahead.goes_on(from);
        // What is being read is taken, also where the head is near by now.
        let bulk = goes_on || (behind >= LIVE && from <= settled);
        if !goes_on && let Some(rewind) = self.rewind(cursor, &seen.head, trail).await? {
            return Ok(Some(rewind));
        }
        loop {
            if let Some(mut watching) = self.watching.take() {
                let step = self.watched(&mut watching, cursor, &seen, bulk).await;
                self.watching = Some(watching);
                if let Some(step) = step? {
                    return Ok(Some(step));
                }
            } else if bulk {
                let (piece, logs) = self.ahead.take(from, settled).await?;
                self.tell_bulk(true);
                return Ok(Some(self.settled_step(piece, logs, &seen, None)));
            }
            if from > seen.head.number {
                return Ok(None);
            }
            if let Some(step) = self.live(from, cursor, &seen, trail).await? {
                return Ok(Some(step));
            }
        }
    }
}
