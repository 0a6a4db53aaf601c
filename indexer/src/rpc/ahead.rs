//! Reading ahead in a backfill: several ranges are asked for at once and given in their order.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chain::{LogFilter, Registries};
use tokio::task::JoinHandle;

use super::piece::{self, Piece};
use crate::{
    Error, Result,
    evidence::Witness,
    providers::Providers,
    sorted::Sorted,
    stage::{self, Stage},
};

/// Ranges that are read at once at most.
pub(crate) const MOST: usize = 6;

/// Ranges that are read, or have been: as few as are read in time, since what was read takes memory until it is stored,
/// and as many as a provider far away needs.
const AT_ONCE: RangeInclusive<usize> = 2..=MOST;

/// Blocks of the first range at most: nobody knows yet how much happens, and the first rows can be stored soon.
const FIRST: u64 = 250;

/// Blocks above a cursor, being read.
pub struct Ahead {
    providers: Providers,
    contracts: Registries,
    filter: LogFilter,
    /// Reads headers and receipts instead of logs, where ranges are proven at once.
    witness: Option<Witness>,
    /// Blocks of the next range: what fitted lately ([`piece::next_width`]).
    width: Arc<AtomicU64>,
    /// The first block that nobody was asked for.
    next: u64,
    running: VecDeque<Running>,
    /// When the last range was given away to be stored.
    given: Option<Instant>,
    /// How many there should be.
    at_once: usize,
}

/// A range that somebody was asked for.
struct Running {
    from: u64,
    task: JoinHandle<Result<Read>>,
}

/// A range as it was read.
struct Read {
    piece: Piece,
    logs: Sorted,
    /// How long it took.
    took: Duration,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Ahead {
    /// Begins with ranges of `width` blocks. With a witness, every range is proven before it is given.
    pub fn new(
        providers: Providers,
        contracts: Registries,
        width: u64,
        witness: Option<Witness>,
    ) -> Self {
        Self {
            filter: super::filter(&contracts),
            providers,
            contracts,
            witness,
            width: Arc::new(AtomicU64::new(width.clamp(1, FIRST))),
            next: 0,
            running: VecDeque::new(),
            given: None,
            at_once: *AT_ONCE.start(),
        }
    }

    /// Whether the range that begins at block `from` is being read.
    pub fn goes_on(&self, from: u64) -> bool {
        self.running.front().is_some_and(|first| first.from == from)
    }

    /// The range that begins at block `from`, of blocks up to `last`, and its logs with whom they speak of.
    pub async fn take(&mut self, from: u64, last: u64) -> Result<(Piece, Sorted)> {
        if !self.goes_on(from) {
            self.running.clear();
            self.next = from;
        }
        let stored = self.given.take().map(|given| given.elapsed());
        self.ask(last);
        let Some(mut first) = self.running.pop_front() else {
            let chain = self.providers.chain();
            return Err(Error::Moved {
                chain,
                from,
                to: last,
            });
        };
        let read = (&mut first.task).await??;
        if let Some(stored) = stored {
            self.at_once = at_once(read.took, stored);
        }
        // While this one is stored, the others are read.
        self.ask(last);
        self.given = Some(Instant::now());
        Ok((read.piece, read.logs))
    }

    fn ask(&mut self, last: u64) {
        while self.running.len() < self.at_once && self.next <= last {
            let width = self.width.load(Ordering::Relaxed);
            let from = self.next;
            let to = last.min(from.saturating_add(width - 1));
            self.next = to + 1;
            let read = self.read(from, to);
            self.running.push_back(Running {
                from,
                task: tokio::spawn(read),
            });
        }
    }

    fn read(&self, from: u64, to: u64) -> impl Future<Output = Result<Read>> + use<> {
        let (providers, contracts) = (self.providers.clone(), self.contracts.clone());
        let filter = self.filter.clone();
        let (witness, width) = (self.witness.clone(), Arc::clone(&self.width));
        async move {
            let began = Instant::now();
            let reading = async {
                match &witness {
                    Some(witness) => piece::proven(witness, from, to).await,
                    None => piece::told(&providers, &filter, from, to).await,
                }
            };
            let mut piece = stage::timed(providers.chain(), Stage::Fetch, reading).await?;
            let most = if witness.is_some() {
                piece::PROVEN_BLOCKS
            } else {
                u64::MAX
            };
            let next = piece::next_width(to - from + 1, piece.logs.len(), most);
            width.store(next, Ordering::Relaxed);
            let logs = std::mem::take(&mut piece.logs);
            let sorting = async { Sorted::new(logs, &contracts) };
            let logs = stage::timed(providers.chain(), Stage::Sort, sorting).await;
            let took = began.elapsed();
            Ok(Read { piece, logs, took })
        }
    }
}

/// How many ranges to read at once where reading one takes so long, and storing one: as many as one is read while the
/// others are stored.
fn at_once(read: Duration, stored: Duration) -> usize {
    let (fewest, most) = AT_ONCE.into_inner();
    let meanwhile = read.as_micros().div_ceil(stored.as_micros().max(1));
    usize::try_from(meanwhile).map_or(most, |meanwhile| (meanwhile + 1).clamp(fewest, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_read_at_once_as_are_stored_meanwhile() {
        for (read, stored, expected) in [
            (5, 20, 2),
            (20, 20, 2),
            (30, 20, 3),
            (100, 20, 6),
            (900, 20, 6),
            (9, 0, 6),
        ] {
            let millis = Duration::from_millis;
            assert_eq!(
                at_once(millis(read), millis(stored)),
                expected,
                "{read} ms, {stored} ms"
            );
        }
    }
}
