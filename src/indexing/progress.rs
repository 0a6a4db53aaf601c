//! How far a backfill is: bars on a terminal, else a line of the log every some seconds.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use indexer::{State, Status};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::board::{Board, ChainState};
use crate::logging;

/// How often bars move.
const REDRAW: Duration = Duration::from_millis(500);

/// How often a line is logged.
const TELL: Duration = Duration::from_secs(10);

/// A chain that is being read from far behind its head.
struct Backfill {
    chain: u64,
    place: String,
    from: i64,
    ground: i64,
    head: i64,
    events_per_s: f64,
    blocks_per_s: f64,
    eta: Option<Duration>,
}

/// Shows every backfill until we stop.
pub async fn show(board: Board, stop: CancellationToken) {
    let bars = logging::bars();
    let pause = if bars.is_some() { REDRAW } else { TELL };
    let mut shown: HashMap<u64, ProgressBar> = HashMap::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
        let now = Instant::now();
        let running: Vec<Backfill> = board
            .list()
            .iter()
            .filter_map(|chain| backfill(chain, now))
            .collect();
        let Some(bars) = bars else {
            running.iter().for_each(tell);
            continue;
        };
        shown.retain(|chain, bar| {
            let goes_on = running.iter().any(|one| one.chain == *chain);
            if !goes_on {
                bar.finish_and_clear();
            }
            goes_on
        });
        for one in &running {
            let bar = shown.entry(one.chain).or_insert_with(|| bars.add(bar(one)));
            bar.set_length((one.head - one.from).max(0).unsigned_abs());
            bar.set_position((one.ground - one.from).max(0).unsigned_abs());
            bar.set_message(speed(one));
        }
    }
    shown.values().for_each(ProgressBar::finish_and_clear);
}

fn backfill(chain: &ChainState, now: Instant) -> Option<Backfill> {
    let status: &Status = chain.status.as_ref()?;
    if status.state != State::Backfilling {
        return None;
    }
    let (head, ground) = (status.head?, status.ground?);
    let rate = status.progress.rate(now)?;
    Some(Backfill {
        chain: status.chain,
        place: chain
            .providers
            .as_ref()
            .map_or_else(|| chain.place.clone(), indexer::Providers::places),
        from: status.progress.from().unwrap_or(ground),
        ground,
        head,
        events_per_s: rate.events_per_s,
        blocks_per_s: rate.blocks_per_s,
        eta: status.progress.eta(now, head),
    })
}

fn bar(of: &Backfill) -> ProgressBar {
    let bar = ProgressBar::new(0).with_prefix(format!("chain {}", of.chain));
    match ProgressStyle::with_template("{prefix} {wide_bar} {percent}% {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// `812 events/s, 40 s`.
fn speed(of: &Backfill) -> String {
    let eta = of
        .eta
        .map(|eta| format!(", {}", indicatif::HumanDuration(eta)));
    format!("{:.0} events/s{}", of.events_per_s, eta.unwrap_or_default())
}

fn tell(of: &Backfill) {
    let eta_s = of.eta.map(|eta| eta.as_secs());
    tracing::info!(
        chain = of.chain,
        from = of.ground + 1,
        to = of.head,
        provider = of.place,
        events_per_s = of.events_per_s.round(),
        blocks_per_s = of.blocks_per_s.round(),
        eta_s,
        "chain {}: read up to block {} of {}, {:.0} blocks/s, {}",
        of.chain,
        of.ground,
        of.head,
        of.blocks_per_s,
        speed(of)
    );
}
