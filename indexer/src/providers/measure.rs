//! The providers in numbers, for whoever operates them.

use std::time::{Duration, Instant};

use chain::Counters;

use super::{Opinion, Providers};

/// A provider as it is now.
#[derive(Debug, Clone)]
pub struct ProviderState {
    /// Scheme, host and port.
    pub place: String,
    /// Where it stands to the others.
    pub opinion: Opinion,
    /// Whether it is asked last: it disagrees with most of the others, is far behind them, or told lately what is not
    /// so.
    pub doubtful: bool,
    /// Share of failures lately, 0 to 1.
    pub error_rate: f64,
    /// How long answers took lately.
    pub latency: Duration,
    /// How long it is not asked; zero: it may be.
    pub rests: Duration,
    /// Its last failure.
    pub last_error: Option<String>,
    /// Blocks of the next question for logs.
    pub range_blocks: u64,
    /// Calls that it takes in one batch; `None` while it is not connected.
    pub batch: Option<usize>,
    /// What it was asked so far.
    pub counters: Counters,
}

impl Providers {
    /// Every provider, in the order of the configuration.
    pub fn states(&self) -> Vec<ProviderState> {
        let now = Instant::now();
        let state = |slot: &super::slot::Slot| {
            let health = slot.health().clone();
            let closed = health.closed(now);
            let rpc = slot.rpc();
            ProviderState {
                place: slot.place.clone(),
                opinion: slot.opinion(),
                doubtful: slot.is_doubtful(now),
                error_rate: health.error_rate(now),
                latency: Duration::try_from_secs_f64(health.latency()).unwrap_or_default(),
                rests: closed.map_or(Duration::ZERO, |until| until - now),
                last_error: health.last_error().map(ToString::to_string),
                range_blocks: slot.width().blocks(),
                batch: rpc.as_ref().map(chain::Rpc::batch_size),
                counters: rpc.map(|rpc| rpc.counters()).unwrap_or_default(),
            }
        };
        self.pool.slots.iter().map(state).collect()
    }
}
