//! What a chain's nodes were asked, and what reading it was expected to take.

use std::{collections::BTreeMap, time::Duration};

use indexer::ProviderState;
use serde::Serialize;
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
    /// How long its answers took lately.
    latency_ms: u64,
    /// The share of its answers that failed lately, 0 to 1.
    error_rate: f64,
    /// How long it is not asked, because it failed or wants us to wait.
    rests_ms: u64,
    /// Where it stands to the block that most of them know: `agrees`, `behind`, `disagrees` or `silent`.
    standing: &'static str,
    /// The same for people.
    opinion: String,
    /// Its own newest block, where it told it.
    #[schema(required)]
    head: Option<u64>,
    /// Its last failure.
    #[schema(required)]
    last_error: Option<String>,
    /// Blocks of the next question for logs.
    range_blocks: u64,
    /// Calls in one batch that it takes; null while it is not connected.
    #[schema(required)]
    batch_calls: Option<usize>,
    /// Calls that failed, by sort: `range`, `limited`, `unavailable`, ...
    errors: BTreeMap<&'static str, u64>,
}

impl Provider {
    /// What was asked of a node.
    pub fn of(state: ProviderState) -> Self {
        let ProviderState { counters, .. } = state;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            place: state.place,
            requests: counters.requests,
            calls: counters.calls,
            bytes: counters.bytes,
            latency_ms: millis(state.latency),
            error_rate: state.error_rate,
            rests_ms: millis(state.rests),
            standing: state.opinion.word(),
            opinion: state.opinion.to_string(),
            head: state.opinion.head(),
            last_error: state.last_error,
            range_blocks: state.range_blocks,
            batch_calls: state.batch,
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
