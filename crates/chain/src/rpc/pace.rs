//! How fast a node is asked: so many requests at once, so many calls per second.

use std::{
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, SemaphorePermit};

#[derive(Debug)]
pub(super) struct Pace {
    at_once: Semaphore,
    bucket: Option<Mutex<Bucket>>,
    waiting: AtomicUsize,
}

/// Somebody who waits for his turn, until he has it or gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Pace {
    pub(super) fn new(at_once: usize, per_second: Option<NonZeroU32>) -> Self {
        let bucket = |rate| Mutex::new(Bucket::full(rate, Instant::now()));
        Self {
            at_once: Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS)),
            bucket: per_second.map(bucket),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for its turn; the request is under way until the permit is dropped.
    pub(super) async fn enter(&self, calls: usize) -> Option<SemaphorePermit<'_>> {
        self.waiting.fetch_add(1, Relaxed);
        let _waiting = Waiting(&self.waiting);
        // Nobody closes the semaphore, so there always is a permit.
        let permit = self.at_once.acquire().await.ok();
        if let Some(bucket) = &self.bucket {
            let wait = bucket
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(calls, Instant::now());
            tokio::time::sleep(wait).await;
        }
        permit
    }

    /// How many requests wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }
}

/// A token bucket that holds what one second brings. It may be overdrawn, by a batch of more calls
/// than a second allows, say; whoever comes next waits the longer.
#[derive(Debug)]
struct Bucket {
    /// Tokens per second.
    rate: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(rate: NonZeroU32, now: Instant) -> Self {
        let rate = f64::from(rate.get());
        Self {
            rate,
            tokens: rate,
            at: now,
        }
    }

    /// Takes the tokens, and says how long to wait before they count.
    fn take(&mut self, calls: usize, now: Instant) -> Duration {
        let new = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + new).min(self.rate);
        self.at = now;
        self.tokens -= f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
        let missing = (-self.tokens).max(0.0);
        Duration::try_from_secs_f64(missing / self.rate).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_brings_what_it_brings_and_a_pause_no_more() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut bucket = Bucket::full(NonZeroU32::new(10).expect("positive"), start);
        for (millis, calls, wait) in [
            (0, 10, 0),
            (0, 1, 100),
            (100, 1, 100),
            (10_000, 10, 0),
            (10_000, 100, 10_000),
            (20_000, 1, 100),
        ] {
            let waits = bucket.take(calls, at(millis)).as_millis();
            assert_eq!(waits, wait, "{calls} calls at {millis} ms");
        }
    }
}
