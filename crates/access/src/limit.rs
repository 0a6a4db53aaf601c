//! How often somebody may ask: so many requests in a minute, and so many in an hour.
//!
//! The rule is GCRA (the generic cell rate algorithm): a bucket is one time per window, up to which its quota is used
//! up. It is full at first, fills evenly, and has no border between two windows at which twice the quota goes through
//! at once. Buckets live in this process; several processes keep one exact limit by a Redis ([`Shared`]).

mod shared;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

pub use shared::{PATIENCE, Shared};

/// The windows, by the names that answers give them.
pub const WINDOWS: [(&str, Duration); 2] = [
    ("minute", Duration::from_mins(1)),
    ("hour", Duration::from_hours(1)),
];

const SHARDS: usize = 64;
/// Buckets of one shard. Beyond, those that are full again go, and if none is, every second one: who has so many
/// addresses is not held up by one bucket each.
const MOST_BUCKETS: usize = 16_384;
/// A bucket that refuses is noted once in so long.
const NOTED_EACH: Duration = Duration::from_mins(1);

/// Requests in a minute and in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// In a minute; at least 1.
    pub minute: u32,
    /// In an hour; at least 1.
    pub hour: u32,
}

/// What is left of one window's quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// `minute` or `hour`.
    pub window: &'static str,
    /// Its length in seconds.
    pub seconds: u64,
    /// Requests in it.
    pub quota: u32,
    /// Requests that may follow at once.
    pub remaining: u32,
    /// Seconds until the whole quota is there again.
    pub reset_seconds: u64,
    /// How long it refuses; none: it does not.
    pub wait: Option<Duration>,
}

/// What a bucket says to one more request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// By window.
    pub left: [Left; 2],
    /// Whether this refusal is to be noted: the first in a while.
    pub is_news: bool,
}

impl Verdict {
    /// Seconds to wait, where the request is refused: at least one.
    pub fn retry_after(&self) -> Option<u64> {
        let wait = self.left.iter().filter_map(|left| left.wait).max()?;
        Some(ceil(wait).max(1))
    }
}

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charge {
    /// One of each quota, unless it is refused.
    Taken,
    /// Nothing: somebody only looks.
    Nothing,
}

/// Buckets of this process, and of others where a Redis is named.
#[derive(Debug)]
pub struct Limiter {
    began: Instant,
    hashing: RandomState,
    shards: Vec<Mutex<HashMap<String, Bucket>>>,
    shared: Option<Shared>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Up to when each window's quota is used up, counted from the limiter's beginning.
    used_until: [Duration; 2],
    noted: Option<Duration>,
}

impl Limiter {
    /// Empty; with a Redis, buckets are there.
    pub fn new(shared: Option<Shared>) -> Self {
        Self {
            began: Instant::now(),
            hashing: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shared,
        }
    }

    /// One more request on a bucket. Refused ones cost nothing.
    pub async fn take(&self, bucket: &str, quotas: Quotas) -> Verdict {
        self.ask(bucket, quotas, Charge::Taken).await
    }

    /// What one more request would be told, before it is known whether it counts; it costs nothing.
    pub async fn look(&self, bucket: &str, quotas: Quotas) -> Verdict {
        self.ask(bucket, quotas, Charge::Nothing).await
    }

    async fn ask(&self, bucket: &str, quotas: Quotas, charge: Charge) -> Verdict {
        let now = self.began.elapsed();
        let asked = match &self.shared {
            Some(shared) => shared.ask(bucket, quotas, charge).await,
            None => None,
        };
        match (asked, charge) {
            (Some(left), _) => self.noting(bucket, now, left),
            (None, Charge::Taken) => self.take_here(bucket, now, quotas),
            (None, Charge::Nothing) => self.look_here(bucket, now, quotas),
        }
    }

    fn look_here(&self, name: &str, now: Duration, quotas: Quotas) -> Verdict {
        let shard = self.shard(name).lock();
        let shard = shard.unwrap_or_else(PoisonError::into_inner);
        let used = used(shard.get(name), now);
        drop(shard);
        self.noting(name, now, decide(used, quotas))
    }

    fn take_here(&self, name: &str, now: Duration, quotas: Quotas) -> Verdict {
        let mut shard = self
            .shard(name)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let used = used(shard.get(name), now);
        let left = decide(used, quotas);
        if left.iter().any(|left| left.wait.is_some()) {
            drop(shard);
            return self.noting(name, now, left);
        }
        if shard.len() >= MOST_BUCKETS && !shard.contains_key(name) {
            make_room(&mut shard, now);
        }
        let bucket = shard.entry(name.to_owned()).or_default();
        bucket.used_until = after(used, quotas).map(|used| now + used);
        Verdict {
            left,
            is_news: false,
        }
    }

    /// The verdict, and whether it is a refusal that was not noted just now.
    fn noting(&self, name: &str, now: Duration, left: [Left; 2]) -> Verdict {
        let mut is_news = false;
        if left.iter().any(|left| left.wait.is_some()) {
            let mut shard = self
                .shard(name)
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if shard.len() >= MOST_BUCKETS && !shard.contains_key(name) {
                make_room(&mut shard, now);
            }
            let bucket = shard.entry(name.to_owned()).or_default();
            is_news = bucket.noted.is_none_or(|noted| now >= noted + NOTED_EACH);
            if is_news {
                bucket.noted = Some(now);
            }
        }
        Verdict { left, is_news }
    }

    fn shard(&self, name: &str) -> &Mutex<HashMap<String, Bucket>> {
        let hash = self.hashing.hash_one(name);
        let at = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        &self.shards[at]
    }
}

/// How much of each window a bucket has used up; one that is not there is full.
fn used(bucket: Option<&Bucket>, now: Duration) -> [Duration; 2] {
    let used_until = bucket.map_or([Duration::ZERO; 2], |bucket| bucket.used_until);
    used_until.map(|until| until.saturating_sub(now))
}

fn make_room(shard: &mut HashMap<String, Bucket>, now: Duration) {
    shard.retain(|_, bucket| bucket.used_until.iter().any(|until| *until > now));
    if shard.len() >= MOST_BUCKETS {
        let mut keep = false;
        shard.retain(|_, _| {
            keep = !keep;
            keep
        });
    }
}

/// The time that one request uses up of a window, in whole microseconds, as [`Shared`] counts.
fn share(window: Duration, quota: u32) -> Duration {
    let micros = window.as_micros() / u128::from(quota.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX).max(1))
}

/// How much is used up after one more request.
fn after(used: [Duration; 2], quotas: Quotas) -> [Duration; 2] {
    let shares = [
        share(WINDOWS[0].1, quotas.minute),
        share(WINDOWS[1].1, quotas.hour),
    ];
    [used[0] + shares[0], used[1] + shares[1]]
}

/// What is said of one more request where so much of each window is used up. Either both windows take it or none.
fn decide(used: [Duration; 2], quotas: Quotas) -> [Left; 2] {
    let quota = [quotas.minute.max(1), quotas.hour.max(1)];
    let after = after(used, quotas);
    let wait = [0, 1].map(|i| {
        after[i]
            .checked_sub(WINDOWS[i].1)
            .filter(|wait| !wait.is_zero())
    });
    let is_taken = wait.iter().all(Option::is_none);
    [0, 1].map(|i| {
        let (window, length) = WINDOWS[i];
        let used = if is_taken { after[i] } else { used[i] };
        let free =
            length.saturating_sub(used).as_nanos() / share(length, quota[i]).as_nanos().max(1);
        Left {
            window,
            seconds: length.as_secs(),
            quota: quota[i],
            remaining: u32::try_from(free).unwrap_or(u32::MAX).min(quota[i]),
            reset_seconds: ceil(used),
            wait: wait[i],
        }
    })
}

fn ceil(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTAS: Quotas = Quotas {
        minute: 60,
        hour: 100,
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn is_taken(verdict: &Verdict) -> bool {
        verdict.retry_after().is_none()
    }

    #[test]
    fn a_minutes_quota_may_be_used_at_once_and_fills_evenly() {
        let limiter = Limiter::new(None);
        for left in (0..60).rev() {
            let verdict = limiter.take_here("a", seconds(5), QUOTAS);
            assert!(is_taken(&verdict));
            assert_eq!(verdict.left[0].remaining, left);
        }
        let refused = limiter.take_here("a", seconds(5), QUOTAS);
        assert_eq!(refused.retry_after(), Some(1));
        assert_eq!(refused.left[0].reset_seconds, 60);
        assert_eq!(refused.left[1].remaining, 40, "the hour is not charged");
        assert!(
            is_taken(&limiter.take_here("b", seconds(5), QUOTAS)),
            "another bucket"
        );
        assert!(is_taken(&limiter.take_here("a", seconds(6), QUOTAS)));
        assert!(!is_taken(&limiter.take_here("a", seconds(6), QUOTAS)));
    }

    #[test]
    fn the_hour_refuses_where_the_minute_would_not() {
        let limiter = Limiter::new(None);
        for i in 0..100 {
            assert!(is_taken(&limiter.take_here("a", seconds(i), QUOTAS)), "{i}");
        }
        // 100 in an hour: one each 36 s, and 99 s are over.
        let mut taken = 0;
        for i in 100..136 {
            taken += u32::from(is_taken(&limiter.take_here("a", seconds(i), QUOTAS)));
        }
        assert_eq!(
            taken, 3,
            "at 100 s two were there again, at 108 s the third"
        );
        let refused = limiter.take_here("a", seconds(136), QUOTAS);
        assert_eq!(refused.left[0].wait, None);
        assert!(refused.left[1].wait.is_some());
    }

    #[test]
    fn who_looks_is_told_the_same_and_pays_nothing() {
        let limiter = Limiter::new(None);
        let quotas = Quotas { minute: 2, hour: 2 };
        for _ in 0..9 {
            let looked = limiter.look_here("a", seconds(1), quotas);
            assert!(is_taken(&looked));
            assert_eq!(looked.left[0].remaining, 1, "after one more");
        }
        assert!(is_taken(&limiter.take_here("a", seconds(1), quotas)));
        assert_eq!(
            limiter.look_here("a", seconds(1), quotas).left[0].remaining,
            0
        );
        assert!(is_taken(&limiter.take_here("a", seconds(1), quotas)));
        let refused = limiter.look_here("a", seconds(1), quotas);
        assert!(!is_taken(&refused) && refused.is_news);
        assert_eq!(
            limiter.take_here("a", seconds(1), quotas).left,
            refused.left
        );
    }

    #[test]
    fn a_refusal_is_noted_once_a_minute() {
        let limiter = Limiter::new(None);
        let quotas = Quotas { minute: 1, hour: 1 };
        assert!(is_taken(&limiter.take_here("a", seconds(0), quotas)));
        let news = [1, 2, 60, 61, 62].map(|at| limiter.take_here("a", seconds(at), quotas).is_news);
        assert_eq!(news, [true, false, false, true, false]);
    }

    #[test]
    fn buckets_are_bounded() {
        let limiter = Limiter::new(None);
        for i in 0..SHARDS * MOST_BUCKETS + 200_000 {
            limiter.take_here(&i.to_string(), Duration::ZERO, QUOTAS);
        }
        for shard in &limiter.shards {
            assert!(shard.lock().unwrap().len() <= MOST_BUCKETS);
        }
    }

    #[test]
    fn no_quota_divides_by_nothing() {
        let none = Quotas { minute: 0, hour: 0 };
        let left = decide([Duration::ZERO; 2], none);
        assert_eq!(left.map(|left| left.quota), [1, 1]);
        let much = Quotas {
            minute: u32::MAX,
            hour: u32::MAX,
        };
        assert!(decide([Duration::ZERO; 2], much)[0].wait.is_none());
    }
}
