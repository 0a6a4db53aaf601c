//! What a provider was asked and what it did wrong, for tests to compare with.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use serde::Serialize;

/// How often, and how many bytes were answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// Calls, one of a batch counted as one.
    pub calls: u64,
    /// Bytes of answers, refusals too.
    pub bytes: u64,
    /// Refusals among them.
    pub refused: u64,
}

/// One log of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct LogId {
    /// Height.
    pub block: u64,
    /// The block.
    pub block_hash: B256,
    /// The log's index in it.
    pub log_index: u64,
}

/// Counters of one provider since its start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// HTTP requests, and messages of WebSockets.
    pub requests: u64,
    /// Connections accepted.
    pub connections: u64,
    /// By method.
    pub methods: BTreeMap<String, Calls>,
    /// Faults of transport and batches, by name, as often as they happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// Logs that were lost at least once.
    pub lost: BTreeSet<LogId>,
    /// Logs whose data was altered at least once.
    pub altered: BTreeSet<LogId>,
    /// Logs that were made up, under the index that they claimed.
    pub forged: BTreeSet<LogId>,
    /// Logs that came under another block's hash.
    pub wrong_hash: BTreeSet<LogId>,
    /// Logs that said they were removed.
    pub removed: BTreeSet<LogId>,
    /// Blocks whose receipts were null or that were emptied.
    pub without_receipts: BTreeSet<u64>,
}

impl Stats {
    /// Calls of one method.
    pub fn of(&self, method: &str) -> Calls {
        self.methods.get(method).copied().unwrap_or_default()
    }

    /// How often a fault of transport happened: its name is its field's without `_every`.
    pub fn fault(&self, name: &str) -> u64 {
        self.faults.get(name).copied().unwrap_or_default()
    }

    pub(super) fn count(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    pub(super) fn call(&mut self, method: &str, bytes: usize, is_refused: bool) {
        let calls = Calls {
            calls: 1,
            bytes: bytes as u64,
            refused: u64::from(is_refused),
        };
        self.add_calls(method.to_owned(), calls);
    }

    /// Counts what another counted.
    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.connections += other.connections;
        for (method, calls) in other.methods {
            self.add_calls(method, calls);
        }
        for (name, count) in other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        self.lost.extend(other.lost);
        self.altered.extend(other.altered);
        self.forged.extend(other.forged);
        self.wrong_hash.extend(other.wrong_hash);
        self.removed.extend(other.removed);
        self.without_receipts.extend(other.without_receipts);
    }

    fn add_calls(&mut self, method: String, more: Calls) {
        // An unknown name is the client's, and must not grow this without end.
        let known = self.methods.len() < 100 || self.methods.contains_key(&method);
        let name = if known { method } else { "other".to_owned() };
        let calls = self.methods.entry(name).or_default();
        calls.calls += more.calls;
        calls.bytes += more.bytes;
        calls.refused += more.refused;
    }
}
