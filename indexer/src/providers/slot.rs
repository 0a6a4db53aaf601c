//! One provider: its connection, its record, and whether it still serves the right chain.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use chain::{Hashing, Limits, ReceiptFormat, Rpc, RpcError};
use kernel::Kind;
use tokio::sync::Notify;
use url::Url;

use super::{
    health::{Health, is_a_lack, is_the_providers},
    quorum::Opinion,
    width::Width,
};

/// A provider is asked for its chain again after this, also where nothing looks odd.
const CHECK_EVERY: Duration = Duration::from_mins(1);

/// A provider, connected or not.
#[derive(Debug)]
pub struct Slot {
    url: Url,
    limits: Limits,
    /// What the chain's headers are, as far as any of its providers told some.
    hashing: Arc<Hashing>,
    /// Scheme, host and port.
    pub place: String,
    link: Mutex<Link>,
    health: Mutex<Health>,
    width: Mutex<Width>,
    opinion: Mutex<Opinion>,
    /// Of how many blocks it told the logs.
    told: AtomicU64,
    under_way: AtomicUsize,
}

#[derive(Debug, Default)]
struct Link {
    rpc: Option<Rpc>,
    /// When its chain was asked for last; `None`: it has to be asked for before anything else.
    checked: Option<Instant>,
}

/// A question that is under way. Who waits for a turn is told when it ends, however it does.
struct UnderWay<'a>(&'a Slot, &'a Notify);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
        self.1.notify_waiters();
    }
}

impl Slot {
    pub fn new(url: Url, limits: Limits, range_blocks: u64, hashing: Arc<Hashing>) -> Self {
        Self {
            hashing,
            place: url.origin().ascii_serialization(),
            url,
            limits,
            link: Mutex::default(),
            health: Mutex::default(),
            width: Mutex::new(Width::new(range_blocks)),
            opinion: Mutex::default(),
            told: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
        }
    }

    /// Notes that it told the logs of so many blocks.
    pub fn note_told(&self, blocks: u64) {
        self.told.fetch_add(blocks, Relaxed);
    }

    /// Of how many blocks it told the logs, and how much it was asked at all.
    pub fn told(&self) -> (u64, u64) {
        let calls = self.rpc().map_or(0, |rpc| rpc.counters().calls);
        (self.told.load(Relaxed), calls)
    }

    /// Asks, and keeps the record. `chain` is what all providers serve, once it is known.
    pub async fn ask<T, F>(
        &self,
        chain: &OnceLock<u64>,
        changed: &Notify,
        question: impl FnOnce(Rpc) -> F,
    ) -> Result<T, RpcError>
    where
        F: Future<Output = Result<T, RpcError>>,
    {
        self.under_way.fetch_add(1, Relaxed);
        let _under_way = UnderWay(self, changed);
        let began = Instant::now();
        let answer = match self.node(chain).await {
            Ok(rpc) => question(rpc).await,
            Err(error) => Err(error),
        };
        self.note(answer.as_ref().err(), began);
        answer
    }

    /// Puts down how a question went that began at `began`.
    pub fn note(&self, error: Option<&RpcError>, began: Instant) {
        let now = Instant::now();
        let error = match error {
            Some(error) if is_the_providers(error) => error,
            Some(error) if is_a_lack(error) => return self.health().lacked(began, now),
            _ => return self.health().answered(began, now),
        };
        self.health().failed(error, began, now);
        if error.kind() != Kind::Limited {
            // After a failure another node may answer at the same address.
            self.suspect();
        }
    }

    /// Puts down that others show that what it told is not so.
    pub fn refuted(&self, error: RpcError) {
        let error = match self.rpc() {
            Some(rpc) => rpc.failed(error),
            None => error,
        };
        self.health().refuted(error, Instant::now());
        self.suspect();
    }

    /// Whether others are asked first, however slow they are.
    pub fn is_doubtful(&self, now: Instant) -> bool {
        self.opinion().is_doubtful() || self.health().is_doubted(now)
    }

    /// Its chain is asked for before the next question.
    pub fn suspect(&self) {
        lock(&self.link).checked = None;
    }

    /// The connection, once it is known to lead to the right chain.
    async fn node(&self, chain: &OnceLock<u64>) -> Result<Rpc, RpcError> {
        let (known, checked) = {
            let link = lock(&self.link);
            (link.rpc.clone(), link.checked)
        };
        let is_fresh = checked.is_some_and(|checked| checked.elapsed() < CHECK_EVERY);
        let (rpc, found) = match known {
            Some(rpc) if is_fresh => return Ok(rpc),
            Some(rpc) => {
                let found = rpc.chain_id().await?;
                (rpc, found)
            }
            None => {
                let rpc = Rpc::connect(self.url.clone(), self.limits).await?;
                let found = rpc.chain();
                // Where blooms mean nothing, headers are no Ethereum ones.
                if ReceiptFormat::of_chain(found).has_bloom() {
                    (rpc.held_to(Arc::clone(&self.hashing)), found)
                } else {
                    (rpc, found)
                }
            }
        };
        let expected = *chain.get_or_init(|| found);
        if found != expected {
            let place = &self.place;
            let message =
                format!("{place} serves chain {found}, not chain {expected}: it is not believed");
            tracing::error!(place, found, expected, "{message}");
            return Err(RpcError::Other {
                kind: Kind::Conflict,
                code: None,
                message,
            });
        }
        *lock(&self.link) = Link {
            rpc: Some(rpc.clone()),
            checked: Some(Instant::now()),
        };
        Ok(rpc)
    }

    /// The connection, where there is one.
    pub fn rpc(&self) -> Option<Rpc> {
        lock(&self.link).rpc.clone()
    }

    /// When it may be asked: `Ok` with what that costs (lower is better), `Err` with the time until
    /// which it rests; `Err(None)`: as soon as the question ends that finds out whether it is well again.
    pub fn readiness(&self, now: Instant) -> Result<f64, Option<Instant>> {
        let health = self.health();
        let under_way = self.under_way.load(Relaxed);
        if let Some(until) = health.closed(now) {
            return Err(Some(until));
        }
        if health.on_trial() && under_way > 0 {
            return Err(None);
        }
        Ok(health.cost(under_way, now))
    }

    pub fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }

    pub fn width(&self) -> MutexGuard<'_, Width> {
        lock(&self.width)
    }

    pub fn opinion(&self) -> Opinion {
        lock(&self.opinion).clone()
    }

    /// Where it stands to the others. One that disagrees looks odd.
    pub fn stands(&self, opinion: Opinion) {
        let mut known = lock(&self.opinion);
        if opinion.is_worse_than(&known) {
            tracing::warn!(place = self.place, "{}: {opinion}", self.place);
        }
        if matches!(opinion, Opinion::Disagrees { .. }) {
            self.suspect();
        }
        *known = opinion;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
