//! What a chain's nodes were asked, and what reading it was expected to take.

use chain::Rpc;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A node that a chain is read from, since this process connected to it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Provider {
    /// Scheme, host and port: the rest of its address may be a secret.
    place: String,
    /// HTTP requests; a batch is one.
    requests: u64,
    /// JSON-RPC calls; each item of a batch is one.
    calls: u64,
    /// Bytes of its answers, unpacked.
    bytes: u64,
    /// How long its last request took.
    latency_ms: u64,
    /// Calls that failed, by sort: `range`, `limited`, `unavailable`, ...
    errors: BTreeMap<&'static str, u64>,
}

impl Provider {
    /// What was asked of a node.
    pub fn of(rpc: &Rpc) -> Self {
        let counters = rpc.counters();
        Self {
            place: rpc.place(),
            requests: counters.requests,
            calls: counters.calls,
            bytes: counters.bytes,
            latency_ms: u64::try_from(counters.latency.as_millis()).unwrap_or(u64::MAX),
            errors: counters.errors,
        }
    }
}

/// What a first backfill was expected to take, from a few samples of the chain.
#[derive(Debug, Serialize, ToSchema)]
pub struct Estimate {
    /// First block.
    from: u64,
    /// Last block.
    to: u64,
    /// Logs in them.
    logs: u64,
    /// Reading and storing them.
    read: Cost,
    /// Proving every block.
    prove: Cost,
    /// Bytes of the database.
    disk_bytes: u64,
    /// Blocks that this was learned from.
    sampled_blocks: u64,
    /// Logs in them.
    sampled_logs: u64,
}

/// What a part of it takes.
#[derive(Debug, Serialize, ToSchema)]
struct Cost {
    /// JSON-RPC calls.
    calls: u64,
    /// Bytes of the answers, unpacked.
    bytes: u64,
    /// Time, if nothing else happens.
    seconds: u64,
}

impl From<indexer::Estimate> for Estimate {
    fn from(found: indexer::Estimate) -> Self {
        let cost = |cost: indexer::Cost| Cost {
            calls: cost.calls,
            bytes: cost.bytes,
            seconds: cost.seconds,
        };
        Self {
            from: found.from,
            to: found.to,
            logs: found.logs,
            read: cost(found.read),
            prove: cost(found.prove),
            disk_bytes: found.disk_bytes,
            sampled_blocks: found.sampled_blocks,
            sampled_logs: found.sampled_logs,
        }
    }
}
