//! How well a provider does: what it failed lately, how fast it is, and when it may be asked again.
//!
//! Nothing here reads a clock; what time it is, is an argument.

use std::time::{Duration, Instant};

use chain::RpcError;
use kernel::Kind;

/// A failure or a slow answer counts half after this.
const HALF_LIFE: Duration = Duration::from_mins(1);

/// The weight of the newest answer in the averages.
const NEWEST: f64 = 0.1;

/// A provider that fails always is this many times as bad as a fast one that never does.
const PRICE_OF_ERRORS: f64 = 20.0;

/// Who told what is not so is asked last for so long.
const DOUBTED: Duration = Duration::from_mins(5);

/// Which pause a failure brings: the first one's, and the longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pause(Duration, Duration);

/// It may work again in a moment.
const SOFT: Pause = Pause(Duration::from_millis(100), Duration::from_secs(30));
/// It wants less, and did not say when.
const LIMITED: Pause = Pause(Duration::from_millis(500), Duration::from_mins(1));
/// It is not what we need, and somebody has to change that.
const HARD: Pause = Pause(Duration::from_secs(5), Duration::from_mins(1));

/// A provider's record.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Share of failures, 0 to 1.
    errors: f64,
    /// Share of questions that it could not answer, and others might, 0 to 1.
    lacks: f64,
    /// Seconds.
    latency: f64,
    touched: Option<Instant>,
    /// Failures on end; those of questions that were under way together count once.
    failures: u32,
    failed_at: Option<Instant>,
    closed_until: Option<Instant>,
    doubted_until: Option<Instant>,
    last: Option<RpcError>,
}

impl Health {
    /// An answer, also one that says no for a reason that lies in the question.
    pub fn answered(&mut self, began: Instant, now: Instant) {
        self.note([0.0, 0.0], began, now);
        self.works(began);
    }

    /// An answer that says that it lacks what others may have: it does not rest, but comes after them.
    pub fn lacked(&mut self, began: Instant, now: Instant) {
        self.note([0.0, 1.0], began, now);
        self.works(began);
    }

    fn works(&mut self, began: Instant) {
        // Who was asked before it failed proves nothing about now.
        if self.failed_at.is_none_or(|failed| began >= failed) {
            self.failures = 0;
            self.closed_until = None;
        }
    }

    /// A failure that is the provider's.
    pub fn failed(&mut self, error: &RpcError, began: Instant, now: Instant) {
        self.note([1.0, 0.0], began, now);
        if self.failed_at.is_none_or(|failed| began >= failed) {
            self.failures = self.failures.saturating_add(1);
        }
        self.failed_at = Some(now);
        let asked = error.retry_after().filter(|wait| !wait.is_zero());
        let wait = asked.unwrap_or_else(|| pause(error).after(self.failures));
        self.closed_until = self.closed_until.max(Some(now + wait));
        self.last = Some(error.clone());
    }

    /// Others show that what it told is not so. It does not rest: who answers is better than nobody.
    pub fn refuted(&mut self, error: RpcError, now: Instant) {
        let as_before = Duration::try_from_secs_f64(self.latency).unwrap_or_default();
        let began = now.checked_sub(as_before).unwrap_or(now);
        self.note([1.0, 0.0], began, now);
        self.doubted_until = Some(now + DOUBTED);
        self.last = Some(error);
    }

    /// Whether it told lately what is not so.
    pub fn is_doubted(&self, now: Instant) -> bool {
        self.doubted_until.is_some_and(|until| until > now)
    }

    /// When it may be asked again; `None`: now.
    pub fn closed(&self, now: Instant) -> Option<Instant> {
        self.closed_until.filter(|until| *until > now)
    }

    /// It failed last: one question at a time, until one is answered.
    pub fn on_trial(&self) -> bool {
        self.failures > 0
    }

    /// The last failure.
    pub fn last_error(&self) -> Option<&RpcError> {
        self.last.as_ref()
    }

    /// Share of failures lately, 0 to 1.
    pub fn error_rate(&self, now: Instant) -> f64 {
        self.errors * self.freshness(now)
    }

    /// How long answers took lately, in seconds.
    pub fn latency(&self) -> f64 {
        self.latency
    }

    /// What asking it costs: lower is better. Who was not asked for long gets another chance.
    pub fn cost(&self, under_way: usize, now: Instant) -> f64 {
        let fresh = self.freshness(now);
        let slow = (self.latency * fresh).max(0.001);
        let useless = (self.errors + self.lacks) * fresh;
        let busy = 1.0 + f64::from(u32::try_from(under_way).unwrap_or(u32::MAX)) / 4.0;
        slow * (1.0 + PRICE_OF_ERRORS * useless) * busy
    }

    fn note(&mut self, [error, lack]: [f64; 2], began: Instant, now: Instant) {
        let took = now.saturating_duration_since(began).as_secs_f64();
        let weight = if self.touched.is_some() { NEWEST } else { 1.0 };
        let fresh = self.freshness(now);
        self.errors = self.errors * fresh * (1.0 - NEWEST) + error * NEWEST;
        self.lacks = self.lacks * fresh * (1.0 - NEWEST) + lack * NEWEST;
        self.latency = self.latency * (1.0 - weight) + took * weight;
        self.touched = Some(now);
    }

    /// 1 for a record of now, half of that after each [`HALF_LIFE`].
    fn freshness(&self, now: Instant) -> f64 {
        self.touched.map_or(1.0, |touched| {
            let age = now.saturating_duration_since(touched).as_secs_f64();
            0.5_f64.powf(age / HALF_LIFE.as_secs_f64())
        })
    }
}

impl Pause {
    /// The first failure's pause, doubled with each further one.
    fn after(self, failures: u32) -> Duration {
        let Self(first, most) = self;
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1).min(31));
        first.saturating_mul(doubled.unwrap_or(u32::MAX)).min(most)
    }
}

/// Whether a failure says something bad of the provider, and not only of the question.
pub fn is_the_providers(error: &RpcError) -> bool {
    match error {
        RpcError::Limited { .. }
        | RpcError::Unavailable { .. }
        | RpcError::NotAnRpc { .. }
        | RpcError::Contradictory { .. }
        | RpcError::False { .. } => true,
        RpcError::RangeTooLarge { .. }
        | RpcError::BeyondHead { .. }
        | RpcError::Unhashed { .. }
        | RpcError::Pruned { .. }
        | RpcError::NoMethod { .. }
        | RpcError::Revert { .. } => false,
        RpcError::Other { kind, .. } => !matches!(kind, Kind::Invalid | Kind::NotFound),
    }
}

/// Whether another provider may have what this one has not: a method, a part of history, the newest block, headers
/// that hash.
pub fn is_a_lack(error: &RpcError) -> bool {
    matches!(
        error,
        RpcError::NoMethod { .. }
            | RpcError::Pruned { .. }
            | RpcError::BeyondHead { .. }
            | RpcError::Unhashed { .. }
    )
}

fn pause(error: &RpcError) -> Pause {
    match error.kind() {
        Kind::Limited => LIMITED,
        // `NotAnRpc`, keys that are refused, another chain.
        Kind::Invalid | Kind::Denied | Kind::Conflict => HARD,
        _ => SOFT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down() -> RpcError {
        RpcError::Unavailable {
            message: "down".to_owned(),
        }
    }

    fn limited(seconds: Option<u64>) -> RpcError {
        RpcError::Limited {
            retry_after: seconds.map(Duration::from_secs),
            message: "slower".to_owned(),
        }
    }

    /// Milliseconds until it may be asked.
    fn wait(health: &Health, now: Instant) -> u128 {
        health
            .closed(now)
            .map_or(0, |until| (until - now).as_millis())
    }

    #[test]
    fn pauses_double_from_failure_to_failure_up_to_a_limit_and_end_with_an_answer() {
        let mut now = Instant::now();
        let mut health = Health::default();
        for expected in [
            100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000,
        ] {
            health.failed(&down(), now, now);
            assert!(health.on_trial());
            assert_eq!(wait(&health, now), expected);
            now += Duration::from_millis(u64::try_from(expected).expect("small"));
            assert_eq!(health.closed(now), None);
        }
        health.answered(now, now);
        assert!(!health.on_trial());
        health.failed(&down(), now, now);
        assert_eq!(wait(&health, now), 100);
    }

    #[test]
    fn questions_that_fail_together_count_once() {
        let began = Instant::now();
        let now = began + Duration::from_secs(1);
        let mut health = Health::default();
        for _ in 0..8 {
            health.failed(&down(), began, now);
        }
        assert_eq!(wait(&health, now), 100);
        // An answer to a question of before the failure does not open it.
        health.answered(began, now);
        assert_eq!(wait(&health, now), 100);
    }

    #[test]
    fn a_wish_to_wait_is_obeyed() {
        let now = Instant::now();
        let mut health = Health::default();
        health.failed(&limited(Some(7)), now, now);
        assert_eq!(wait(&health, now), 7_000);
        health.failed(&down(), now, now);
        assert_eq!(
            wait(&health, now),
            7_000,
            "another failure does not shorten it"
        );
        let mut health = Health::default();
        health.failed(&limited(None), now, now);
        assert_eq!(wait(&health, now), 500);
    }

    #[test]
    fn who_is_slow_busy_or_fails_costs_more_until_that_is_long_ago() {
        let start = Instant::now();
        let [began, now] = [90, 100].map(|millis| start + Duration::from_millis(millis));
        let mut fast = Health::default();
        fast.answered(began, now);
        let mut slow = Health::default();
        slow.answered(start, now);
        let mut failing = fast.clone();
        failing.failed(&down(), now, now);
        let cost = |health: &Health| health.cost(0, now);
        assert!(cost(&fast) < cost(&failing) && cost(&failing) < cost(&slow));
        let mut lacking = fast.clone();
        lacking.lacked(now, now);
        assert!(cost(&fast) < cost(&lacking) && !lacking.on_trial());
        assert!(lacking.error_rate(now) < 0.001, "which is no failure");
        assert!(fast.cost(8, now) > cost(&fast) * 2.0);
        assert!(
            cost(&Health::default()) < cost(&fast),
            "who is new is tried"
        );
        let later = now + HALF_LIFE * 10;
        assert!(slow.cost(0, later) < cost(&fast));
    }

    #[test]
    fn who_told_what_is_not_so_is_doubted_for_a_while_and_does_not_rest() {
        let start = Instant::now();
        let now = start + Duration::from_millis(10);
        let mut health = Health::default();
        health.answered(start, now);
        let (latency, cost) = (health.latency(), health.cost(0, now));
        let lie = RpcError::False {
            message: "a lie".to_owned(),
        };
        health.refuted(lie.clone(), now);
        assert_eq!((health.closed(now), health.on_trial()), (None, false));
        assert!((health.latency() - latency).abs() < 1e-9);
        assert!(health.cost(0, now) > cost && health.error_rate(now) > 0.05);
        assert_eq!(health.last_error(), Some(&lie));
        health.answered(now, now);
        assert!(health.is_doubted(now), "an answer makes up for nothing");
        assert!(!health.is_doubted(now + DOUBTED));
    }

    #[test]
    fn a_provider_that_answers_another_chain_rests_long() {
        let other = RpcError::Other {
            kind: Kind::Conflict,
            code: None,
            message: "another chain".to_owned(),
        };
        let now = Instant::now();
        let mut health = Health::default();
        assert!(is_the_providers(&other));
        health.failed(&other, now, now);
        assert_eq!(wait(&health, now), 5_000);
    }
}
