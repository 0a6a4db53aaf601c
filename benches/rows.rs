//! Measures whole processes and writes `docs/benchmarks.md` and `docs/benchmarks.json`.
//! `scripts/bench` runs it; a new row is a measurement here and its name in `ALL`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a measurement may stop"
)]

#[path = "rows/agents.rs"]
mod agents;
#[path = "rows/anchor.rs"]
mod anchor;
#[path = "rows/backfill.rs"]
mod backfill;
#[path = "rows/blocks.rs"]
mod blocks;
#[path = "rows/bundle.rs"]
mod bundle;
#[path = "rows/chancery.rs"]
mod chancery;
#[path = "rows/contender.rs"]
mod contender;
#[path = "rows/database.rs"]
mod database;
#[path = "rows/heartbeats.rs"]
mod heartbeats;
#[path = "rows/huge_pages.rs"]
mod huge_pages;
#[path = "rows/journal.rs"]
mod journal;
#[path = "rows/journal_proof.rs"]
mod journal_proof;
#[path = "rows/live.rs"]
mod live;
#[path = "rows/million.rs"]
mod million;
#[path = "rows/node.rs"]
mod node;
#[path = "rows/office.rs"]
mod office;
#[path = "rows/page.rs"]
mod page;
#[path = "rows/peers.rs"]
mod peers;
#[path = "rows/process.rs"]
mod process;
#[path = "rows/replay.rs"]
mod replay;
#[path = "rows/report.rs"]
mod report;
#[path = "rows/restart.rs"]
mod restart;
#[path = "rows/socket.rs"]
mod socket;
#[path = "rows/statements.rs"]
mod statements;
#[path = "rows/tree.rs"]
mod tree;
#[path = "rows/workload.rs"]
mod workload;

use anyhow::{Result, ensure};
use report::Figure;

/// A measurement, and the rows that it fills.
type Measurement = (&'static [&'static str], fn() -> Result<Vec<Figure>>);

const ALL: &[Measurement] = &[
    (&[replay::EVENTS_PER_S, replay::PEAK_RSS], replay::measure),
    (
        &[backfill::EVENTS_PER_S, backfill::PEAK_RSS],
        backfill::measure,
    ),
    (&[backfill::VS_CEILING], backfill::ceiling),
    (&[backfill::PROVEN], backfill::proven),
    (&[backfill::LATENCY], backfill::latency),
    (&[backfill::SPARSE], backfill::sparse),
    (&[peers::VS_PONDER, peers::VS_SUBSQUID], peers::measure),
    (&[live::WS_LATENCY], live::ws),
    (&[live::POLL_LATENCY], live::poll),
    (&[live::REORG], live::reorg),
    (&[live::TAKEOVER], live::takeover),
    (&[live::RESTART], live::restart),
    (&[restart::READY], restart::measure),
    (&[journal::ENTRIES_PER_S], journal::bulk),
    (&[journal::P50, journal::P99], journal::steady),
    (&[journal::LONE], journal::lone),
    (&[journal_proof::PROOF], journal_proof::measure),
    (&[anchor::GAS], anchor::measure),
    (&[bundle::BYTES], bundle::measure),
    (&[page::BYTES], page::measure),
    (
        &[statements::PER_S, statements::AT_MILLION, statements::READY],
        statements::measure,
    ),
    (
        &[
            heartbeats::PER_S,
            heartbeats::SOCKET_PER_S,
            heartbeats::SEEN,
            heartbeats::LOST,
            heartbeats::LOST_BY_POSTGRES,
            heartbeats::POSTGRES,
        ],
        heartbeats::measure,
    ),
    (&[blocks::BLOCKS], blocks::durable),
    (&[blocks::KUBO], blocks::kubo),
    (&[agents::PER_S, agents::P99], agents::measure),
];

fn main() -> Result<()> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let known: Vec<&str> = ALL.iter().flat_map(|(rows, _)| *rows).copied().collect();
    for name in &named {
        let rows = known.join(", ");
        ensure!(
            known.contains(&name.as_str()),
            "no row `{name}`; there are {rows}"
        );
    }
    let wanted = |row: &str| named.is_empty() || named.iter().any(|name| name == row);
    let mut figures = Vec::new();
    for (rows, measure) in ALL {
        if rows.iter().any(|row| wanted(row)) {
            println!("{}", rows.join(", "));
            // All that it gave, for these rows belong together; whatever the next one meets, this one is kept.
            figures.extend(measure()?);
            report::write(&figures, &known)?;
        }
    }
    for figure in &figures {
        println!("{}", figure.line());
    }
    println!("written: docs/benchmarks.md, docs/benchmarks.json");
    Ok(())
}
