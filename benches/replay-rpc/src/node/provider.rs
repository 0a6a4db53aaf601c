//! One provider: an address, faults, counters.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::{
    answer::{Asked, answer},
    faults::{Faults, every},
    network::Network,
    refusal::Refusal,
    stats::Stats,
};

/// A provider that serves until it is dropped. It has threads of its own, so that a test without a
/// runtime can have one, and one with a single-threaded runtime is not held up.
#[derive(Debug)]
pub struct Provider {
    core: Arc<Core>,
    address: SocketAddr,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

impl Provider {
    /// Serves a network at an address; port 0 takes a free one.
    ///
    /// # Errors
    /// Where no socket or thread is to be had.
    pub fn start(network: Network, address: SocketAddr, faults: Faults) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let core = Arc::new(Core::new(network, faults));
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("replay-rpc")
            .enable_all()
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        runtime.spawn(super::http::serve(Arc::clone(&core), listener));
        Ok(Self {
            core,
            address,
            runtime: Some(runtime),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address for HTTP.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its address for WebSockets.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// The chain that it serves.
    pub fn network(&self) -> &Network {
        &self.core.network
    }

    /// Its faults now.
    pub fn faults(&self) -> Faults {
        self.core.faults().as_ref().clone()
    }

    /// Changes its faults, from the next request on.
    pub fn set_faults(&self, faults: Faults) {
        self.core.set_faults(faults);
    }

    /// What it was asked so far, and what it did wrong.
    pub fn stats(&self) -> Stats {
        self.core.stats().clone()
    }

    /// Counts from nothing.
    pub fn reset_stats(&self) {
        *self.core.stats() = Stats::default();
    }

    /// Does something just before the `count`-th request from now on is looked at (1: the next one): a
    /// reorg between two requests of one client.
    pub fn before_request(&self, count: u64, act: impl FnOnce(&Network) + Send + 'static) {
        let number = self.core.requests.load(Ordering::Relaxed) + count;
        self.core.planned().push((number, Box::new(act)));
    }

    /// Forgets what [`Provider::before_request`] planned; gives how many of them there were.
    pub fn forget_plans(&self) -> usize {
        std::mem::take(&mut *self.core.planned()).len()
    }

    /// Answers a JSON-RPC request without a socket, and without the faults of transport.
    pub fn answer(&self, body: &[u8]) -> Vec<u8> {
        let number = self.core.next();
        let faults = self.core.faults();
        answer(&self.core, &Asked::read(body), &faults, number)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Dropping a runtime waits for its tasks, which is not allowed inside another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What is done before the request of a number.
type Plan = (u64, Box<dyn FnOnce(&Network) + Send>);

/// What a provider's connections share.
pub(super) struct Core {
    pub network: Network,
    faults: RwLock<Arc<Faults>>,
    stats: Mutex<Stats>,
    requests: AtomicU64,
    planned: Mutex<Vec<Plan>>,
    /// Since when, and how many calls since.
    window: Mutex<(Instant, u64)>,
    /// The bomb that was built last, by its size.
    pub bomb: Mutex<Option<(u32, Arc<[u8]>)>>,
}

/// What happens to a request instead of, or to, its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    None,
    Limited,
    Unavailable,
    Dropped,
    Hung,
    Cut,
    Bomb,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("faults", &self.faults)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl Core {
    fn new(network: Network, faults: Faults) -> Self {
        Self {
            network,
            faults: RwLock::new(Arc::new(faults)),
            stats: Mutex::default(),
            requests: AtomicU64::new(0),
            planned: Mutex::default(),
            window: Mutex::new((Instant::now(), 0)),
            bomb: Mutex::default(),
        }
    }

    pub fn faults(&self) -> Arc<Faults> {
        let faults = self.faults.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&faults)
    }

    pub fn set_faults(&self, faults: Faults) {
        let mut held = self.faults.write().unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(faults);
    }

    pub fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the request that has just come, from 1.
    pub fn next(&self) -> u64 {
        self.stats().requests += 1;
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let due: Vec<Plan> = {
            let mut planned = self.planned();
            planned.extract_if(.., |(at, _)| *at <= number).collect()
        };
        for (_, act) in due {
            act(&self.network);
        }
        number
    }

    fn planned(&self) -> MutexGuard<'_, Vec<Plan>> {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to the `number`-th request. The experimenter's own methods are spared.
    pub fn mishap(&self, faults: &Faults, asked: &Asked<'_>, number: u64) -> Mishap {
        let calls = asked.calls();
        if calls.iter().any(|call| call.method.starts_with("lab_")) {
            return Mishap::None;
        }
        let is_meant = |name: &str| faults.only.iter().any(|only| only == name);
        if !faults.only.is_empty() && !calls.iter().any(|call| is_meant(&call.method)) {
            return Mishap::None;
        }
        let (mishap, name) = if self.is_over(faults.rps, calls.len() as u64) {
            (Mishap::Limited, "rps")
        } else if every(faults.limit_every, number) {
            (Mishap::Limited, "limit")
        } else if every(faults.fail_every, number) {
            (Mishap::Unavailable, "fail")
        } else if every(faults.drop_every, number) {
            (Mishap::Dropped, "drop")
        } else if every(faults.hang_every, number) {
            (Mishap::Hung, "hang")
        } else if every(faults.cut_every, number) {
            (Mishap::Cut, "cut")
        } else if every(faults.bomb_every, number) {
            (Mishap::Bomb, "bomb")
        } else {
            return Mishap::None;
        };
        self.stats().count(name);
        mishap
    }

    /// Whether these calls are more than a second may have. A first request is never too much.
    fn is_over(&self, rps: u32, calls: u64) -> bool {
        if rps == 0 {
            return false;
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.0.elapsed() >= Duration::from_secs(1) {
            *window = (Instant::now(), 0);
        }
        if window.1 > 0 && window.1 + calls > u64::from(rps) {
            return true;
        }
        window.1 += calls;
        false
    }
}

impl Faults {
    /// These, with the fields that `given` names changed.
    pub(super) fn with(&self, given: &Value) -> Result<Self, Refusal> {
        let refuse = |why: serde_json::Error| Refusal::params(why.to_string());
        let mut all = serde_json::to_value(self).map_err(refuse)?;
        let fields = given
            .as_object()
            .ok_or_else(|| Refusal::params("an object of faults is wanted"))?;
        for (name, value) in fields {
            all[name] = value.clone();
        }
        serde_json::from_value(all).map_err(refuse)
    }
}
