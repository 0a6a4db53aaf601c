//! Reading ahead in a backfill: several ranges are asked for at once and given in their order.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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

/// Ranges that are read, or have been, at most.
const MOST: usize = 6;

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
}

/// A range that somebody was asked for.
struct Running {
    from: u64,
    task: JoinHandle<Result<(Piece, Sorted)>>,
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
        let read = |running: &&Running| running.task.is_finished();
        let ready = self.running.iter().filter(read).count();
        self.ask(more(ready), last);
        let Some(mut first) = self.running.pop_front() else {
            let chain = self.providers.chain();
            return Err(Error::Moved {
                chain,
                from,
                to: last,
            });
        };
        (&mut first.task).await?
    }

    fn ask(&mut self, ranges: usize, last: u64) {
        let room = MOST.saturating_sub(self.running.len());
        for _ in 0..ranges.min(room) {
            if self.next > last {
                return;
            }
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

    fn read(&self, from: u64, to: u64) -> impl Future<Output = Result<(Piece, Sorted)>> + use<> {
        let (providers, contracts) = (self.providers.clone(), self.contracts.clone());
        let filter = self.filter.clone();
        let (witness, width) = (self.witness.clone(), Arc::clone(&self.width));
        async move {
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
            let sorted = stage::timed(providers.chain(), Stage::Sort, sorting).await;
            Ok((piece, sorted))
        }
    }
}

/// How many ranges to ask for when the next one is wanted and so many are `ready`: what was read takes memory until
/// it is stored, so there are as few as are read in time, and soon as many as a provider far away needs.
fn more(ready: usize) -> usize {
    match ready {
        0 => 3,
        1 => 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes range after range, each of which takes `reading` rounds to be read; gives how many are under way or ready.
    fn settles_at(reading: usize) -> usize {
        let mut running = VecDeque::new();
        for round in 0..100 {
            let ready = running.iter().filter(|began| **began + reading <= round);
            let asked = more(ready.count()).min(MOST - running.len());
            running.extend(std::iter::repeat_n(round, asked));
            running.pop_front();
        }
        running.len()
    }

    #[test]
    fn as_many_are_read_at_once_as_are_stored_meanwhile() {
        for (reading, most) in [(1, 2), (2, 3), (3, 4)] {
            let settled = settles_at(reading);
            assert!((1..=most).contains(&settled), "{reading}: {settled}");
        }
        assert_eq!(settles_at(50), MOST - 1, "far away");
    }
}
