//! How fast a chain is read, over the last seconds.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde::Serialize;

/// Over so long a time is measured.
const SPAN: Duration = Duration::from_secs(10);

/// Steps that are remembered at most: many small ones shorten the time.
const STEPS: usize = 256;

/// A shorter time says nothing.
const LEAST: Duration = Duration::from_millis(200);

/// What was read of a chain lately.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    steps: VecDeque<Done>,
    from: Option<i64>,
}

/// Where a step ended.
#[derive(Debug, Clone, Copy)]
struct Done {
    at: Instant,
    block: i64,
    logs: u64,
}

/// How fast it was.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// Logs of ours.
    pub events_per_s: f64,
    /// Blocks, with and without logs.
    pub blocks_per_s: f64,
}

impl Progress {
    /// Everything up to `block` is stored, `logs` of it by this process.
    pub fn note(&mut self, at: Instant, block: i64, logs: u64) {
        if self.steps.back().is_some_and(|last| block < last.block) {
            // A reorg: what was read before says nothing of what is left.
            self.steps.clear();
        }
        self.from.get_or_insert(block);
        self.steps.push_back(Done { at, block, logs });
        let old = |step: &Done| at.saturating_duration_since(step.at) > SPAN;
        while self.steps.len() > STEPS || self.steps.get(1).is_some_and(old) {
            self.steps.pop_front();
        }
    }

    /// Where this process began.
    pub fn from(&self) -> Option<i64> {
        self.from
    }

    /// How fast it was lately, as of now.
    pub fn rate(&self, now: Instant) -> Option<Rate> {
        let (first, last) = (self.steps.front()?, self.steps.back()?);
        let took = now.saturating_duration_since(first.at);
        // What ended longer ago than we look back is over.
        let over = now.saturating_duration_since(last.at) > SPAN;
        if took < LEAST || over {
            return None;
        }
        let per_s = |count: u64| figure(count) / took.as_secs_f64();
        Some(Rate {
            events_per_s: per_s(last.logs - first.logs),
            blocks_per_s: per_s((last.block - first.block).unsigned_abs()),
        })
    }

    /// How long it takes to `head` at this rate.
    pub fn eta(&self, now: Instant, head: i64) -> Option<Duration> {
        let rate = self.rate(now)?.blocks_per_s;
        let left = (head - self.steps.back()?.block).max(0).unsigned_abs();
        Duration::try_from_secs_f64(figure(left) / rate).ok()
    }
}

/// For showing only, so precision lost above 2^53 is none.
#[expect(clippy::cast_precision_loss, reason = "a figure to show")]
fn figure(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let began = Instant::now();
        let second = |n: u64| began + Duration::from_secs(n);
        let mut progress = Progress::default();
        assert_eq!(progress.rate(began), None);
        for n in 0..=100 {
            // Slow at first, then ten times as fast.
            let block = if n <= 50 { n } else { 50 + (n - 50) * 10 };
            progress.note(second(n), block.cast_signed(), block * 3);
        }
        let rate = progress.rate(second(100)).expect("a rate");
        assert!((rate.blocks_per_s - 10.0).abs() < 0.01, "{rate:?}");
        assert!((rate.events_per_s - 30.0).abs() < 0.01, "{rate:?}");
        assert_eq!(progress.from(), Some(0));
        assert_eq!(
            progress.eta(second(100), 650),
            Some(Duration::from_secs(10))
        );
        assert_eq!(progress.eta(second(100), 0), Some(Duration::ZERO));
    }

    #[test]
    fn what_stands_still_has_no_rate_and_no_end() {
        let began = Instant::now();
        let mut progress = Progress::default();
        progress.note(began, 5, 1);
        assert_eq!(progress.rate(began), None, "one step says nothing");
        progress.note(began + Duration::from_secs(1), 5, 1);
        let now = began + Duration::from_secs(2);
        assert_eq!(progress.eta(now, 10), None);
        assert_eq!(progress.rate(began + Duration::from_mins(1)), None);
    }

    #[test]
    fn a_reorg_begins_anew() {
        let began = Instant::now();
        let mut progress = Progress::default();
        progress.note(began, 5, 1);
        progress.note(began + Duration::from_secs(1), 9, 2);
        progress.note(began + Duration::from_secs(2), 7, 2);
        let rate = progress.rate(began + Duration::from_secs(3));
        assert_eq!(rate.map(|rate| rate.blocks_per_s), Some(0.0));
    }
}
