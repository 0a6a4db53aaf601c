//! What was asked of a node, in numbers.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::RpcError;

/// What a node was asked since it was connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// HTTP requests; a batch is one.
    pub requests: u64,
    /// JSON-RPC calls; each item of a batch is one.
    pub calls: u64,
    /// Bytes of the answers, unpacked.
    pub bytes: u64,
    /// Calls that failed, by [`RpcError::name`].
    pub errors: BTreeMap<&'static str, u64>,
    /// How long the last request took, also where it failed.
    pub latency: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Meter {
    requests: AtomicU64,
    calls: AtomicU64,
    bytes: AtomicU64,
    /// Microseconds.
    latency: AtomicU64,
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

impl Meter {
    pub(super) fn request(&self, calls: usize, began: Instant, bytes: usize) {
        self.requests.fetch_add(1, Relaxed);
        self.calls.fetch_add(calls as u64, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latency.store(took, Relaxed);
    }

    /// Counts an error and passes it on.
    pub(super) fn failed(&self, error: RpcError) -> RpcError {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        *errors.entry(error.name()).or_default() += 1;
        error
    }

    pub(super) fn read(&self) -> Counters {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        Counters {
            requests: self.requests.load(Relaxed),
            calls: self.calls.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            errors: errors.clone(),
            latency: Duration::from_micros(self.latency.load(Relaxed)),
        }
    }
}
