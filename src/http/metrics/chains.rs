//! What is measured when somebody looks: how far each chain is, its nodes, the database's pool.
//!
//! Names and what to alert on: `docs/operations.md`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use indexer::{
    ProviderState, State, Status,
    census::StateLevel,
    view::{self, CensusView, ChainView},
};

use crate::{app::App, indexing::ChainState};

/// Counters that others keep: the last value of each that was seen.
#[derive(Debug, Default)]
pub struct Seen {
    last: Mutex<HashMap<String, u64>>,
    /// Whether there ever was a chain of which nobody knew which one it is.
    unknown: AtomicBool,
}

/// The label of chains of which no node said yet which they are.
const UNKNOWN: &str = "unknown";

impl Seen {
    /// By how much a counter grew since it was looked at; one that fell began anew.
    fn growth(&self, counter: String, value: u64) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.insert(counter, value).unwrap_or_default();
        value.checked_sub(before).unwrap_or(value)
    }
}

/// Measures. Where the database does not answer, its part keeps its last values.
pub async fn measure(app: &App, seen: &Seen) {
    let pool = app.db.pool();
    let idle = u64::try_from(pool.num_idle()).unwrap_or_default();
    set("chancery_db_connections", &[], f64::from(pool.size()));
    set("chancery_db_connections_idle", &[], figure(idle));
    let most = app.config.database.pool.max_connections;
    set("chancery_db_connections_most", &[], f64::from(most));
    let streams = u64::try_from(app.streams.open()).unwrap_or_default();
    set("chancery_streams", &[], figure(streams));
    let sockets = u64::try_from(app.seats.taken()).unwrap_or_default();
    set("chancery_sockets", &[], figure(sockets));
    if let Ok(queued) = journal::backlog::queued(&app.db).await {
        let queued = u64::try_from(queued).unwrap_or_default();
        set("chancery_journal_queued", &[], figure(queued));
    }
    if let Ok(chains) = view::chains(&app.db).await {
        chains.iter().for_each(stored);
        if let Ok(census) = view::census(&app.db).await {
            // Of watched agents alone nobody can say that the registry is all there.
            for chain in chains.iter().filter(|chain| chain.watched.is_none()) {
                let synced = u8::from(view::is_synced(chain, &census));
                let labels = [("chain", chain.chain.to_string())];
                set("chancery_synced", &labels, f64::from(synced));
            }
            census.iter().for_each(compared);
        }
    }
    let chains = app.chains.list();
    states(&chains, seen);
    for chain in chains {
        if let Some(status) = &chain.status {
            followed(status);
        }
        let Some(id) = chain.chain else { continue };
        let providers = chain.providers.iter().flat_map(indexer::Providers::states);
        for (nth, state) in providers.enumerate() {
            provider(id, nth, state, seen);
        }
    }
}

/// How far a chain is, as the database has it.
fn stored(chain: &ChainView) {
    let labels = [("chain", chain.chain.to_string())];
    let all = (chain.ground - chain.start_block + 1).max(0);
    for (name, value) in [
        ("chancery_ground_block", chain.ground),
        ("chancery_projected_block", chain.head),
        ("chancery_settled_block", chain.settled),
        ("chancery_finalized_block", chain.finalized.unwrap_or(-1)),
        ("chancery_unproven_blocks", all - chain.checked),
        ("chancery_incidents", chain.incidents),
        ("chancery_complete", i64::from(chain.complete)),
    ] {
        set(name, &labels, signed(value));
    }
    if let Some(time) = chain.head_time {
        set(
            "chancery_projected_time_seconds",
            &labels,
            signed(time.timestamp()),
        );
    }
}

/// How its rows compare with what a registry keeps.
fn compared(census: &CensusView) {
    let labels = [
        ("chain", census.chain.to_string()),
        ("registry", census.registry.clone()),
    ];
    let values = census.values_level.as_deref().map(StateLevel::parse);
    let level = values
        .into_iter()
        .fold(StateLevel::parse(&census.count_level), StateLevel::min);
    let level = match level {
        StateLevel::Unavailable => 0,
        StateLevel::Reported => 1,
        StateLevel::Proven => 2,
    };
    for (name, value) in [
        ("chancery_census_block", census.block.unwrap_or(-1)),
        ("chancery_census_mismatches", census.mismatches),
        ("chancery_census_level", level),
    ] {
        set(name, &labels, signed(value));
    }
}

/// What following a chain is like in this process.
fn followed(status: &Status) {
    let labels = [("chain", status.chain.to_string())];
    if let Some(head) = status.head {
        set("chancery_head_block", &labels, signed(head));
        let ground = status.ground.unwrap_or(head);
        set(
            "chancery_lag_blocks",
            &labels,
            signed((head - ground).max(0)),
        );
    }
    let rate = status.progress.rate(Instant::now());
    let (events, blocks) = rate.map_or((0.0, 0.0), |rate| (rate.events_per_s, rate.blocks_per_s));
    set("chancery_events_per_second", &labels, events);
    set("chancery_blocks_per_second", &labels, blocks);
}

/// What each chain is doing, also one that could not be opened. Those of which no node said yet which they are
/// share one label, and are counted.
fn states(chains: &[ChainState], seen: &Seen) {
    let mut doing: BTreeMap<String, Vec<State>> = BTreeMap::new();
    for chain in chains {
        let id = chain
            .chain
            .map_or_else(|| UNKNOWN.to_owned(), |id| id.to_string());
        doing.entry(id).or_default().push(chain.state);
    }
    if doing.contains_key(UNKNOWN) {
        seen.unknown.store(true, Relaxed);
    } else if seen.unknown.load(Relaxed) {
        // It was told meanwhile.
        doing.entry(UNKNOWN.to_owned()).or_default();
    }
    for (id, its) in doing {
        for state in State::ALL {
            let labels = [("chain", id.clone()), ("state", state.as_str().to_owned())];
            let count = its.iter().filter(|its| **its == state).count();
            let count = u64::try_from(count).unwrap_or_default();
            set("chancery_chain_state", &labels, figure(count));
        }
    }
}

/// What a node was asked. Two of one place are told apart by their place in the configuration.
fn provider(chain: u64, nth: usize, state: ProviderState, seen: &Seen) {
    let counters = state.counters;
    let name = format!("{}#{nth}", state.place);
    let labels = [("chain", chain.to_string()), ("provider", name.clone())];
    for (counter, value) in [
        ("chancery_provider_requests_total", counters.requests),
        ("chancery_provider_calls_total", counters.calls),
        ("chancery_provider_bytes_total", counters.bytes),
    ] {
        let growth = seen.growth(format!("{counter} {chain} {name}"), value);
        metrics::counter!(counter, &labels).increment(growth);
    }
    for (kind, count) in counters.errors {
        let growth = seen.growth(format!("errors {chain} {name} {kind}"), count);
        let [chain, provider] = labels.clone();
        let labels = [chain, provider, ("kind", kind.to_owned())];
        metrics::counter!("chancery_provider_errors_total", &labels).increment(growth);
    }
    for (gauge, value) in [
        (
            "chancery_provider_latency_seconds",
            state.latency.as_secs_f64(),
        ),
        ("chancery_provider_error_ratio", state.error_rate),
        ("chancery_provider_rests_seconds", state.rests.as_secs_f64()),
        ("chancery_provider_range_blocks", figure(state.range_blocks)),
        (
            "chancery_provider_doubtful",
            f64::from(u8::from(state.doubtful)),
        ),
    ] {
        set(gauge, &labels, value);
    }
    if let Some(head) = state.opinion.head() {
        set("chancery_provider_head_block", &labels, figure(head));
    }
    if let Some(batch) = state.batch {
        let batch = u64::try_from(batch).unwrap_or(u64::MAX);
        set("chancery_provider_batch_calls", &labels, figure(batch));
    }
}

/// Sets a gauge.
pub fn set(name: &'static str, labels: &[(&'static str, String)], value: f64) {
    metrics::gauge!(name, labels).set(value);
}

/// A count as gauges take it.
#[expect(clippy::cast_precision_loss, reason = "a figure to show")]
pub fn figure(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "a figure to show")]
fn signed(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_began_anew_goes_on() {
        let seen = Seen::default();
        let growth: Vec<u64> = [5, 5, 9, 2, 3]
            .map(|value| seen.growth("calls".to_owned(), value))
            .into();
        assert_eq!(growth, [5, 0, 4, 2, 1]);
    }
}
