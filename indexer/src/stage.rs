//! How long the parts of indexing take, and how much they do, for `/metrics` (`docs/operations.md`).

use std::time::Instant;

/// A part of indexing that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Asking providers for a range of a backfill.
    Fetch,
    /// Finding whom logs speak of.
    Sort,
    /// Storing blocks and logs ahead of their projection.
    Ground,
    /// Projecting what was stored ahead.
    Project,
    /// Building indexes and foreign keys at the end of a backfill from nothing.
    Index,
    /// A step at the head: stored, projected and journaled at once.
    Step,
    /// Asking for the headers and receipts of a part, and checking them, behind the backfill.
    Prove,
}

impl Stage {
    fn word(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Sort => "sort",
            Self::Ground => "ground",
            Self::Project => "project",
            Self::Index => "index",
            Self::Step => "step",
            Self::Prove => "prove",
        }
    }
}

/// Does the work and says how long it took, also where it failed.
pub async fn timed<T>(chain: u64, stage: Stage, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    let labels = [
        ("chain", chain.to_string()),
        ("stage", stage.word().to_owned()),
    ];
    metrics::histogram!("chancery_stage_seconds", &labels).record(began.elapsed().as_secs_f64());
    done
}

/// Counts a step that was stored.
#[expect(clippy::cast_precision_loss, reason = "the buckets are wider")]
pub fn stepped(chain: u64, logs: usize, rewound: u64) {
    let labels = [("chain", chain.to_string())];
    metrics::counter!("chancery_steps_total", &labels).increment(1);
    if rewound > 0 {
        metrics::counter!("chancery_reorgs_total", &labels).increment(1);
        metrics::histogram!("chancery_reorg_depth_blocks", &labels).record(rewound as f64);
    } else {
        metrics::counter!("chancery_logs_total", &labels).increment(logs as u64);
        metrics::histogram!("chancery_batch_logs", &labels).record(logs as f64);
    }
}

/// Shows how much waits in memory for its projection.
#[expect(clippy::cast_precision_loss, reason = "a figure to show")]
pub fn waiting(chain: u64, bytes: usize) {
    metrics::gauge!("chancery_window_bytes", "chain" => chain.to_string()).set(bytes as f64);
}

/// Shows whether this process leads the chain.
pub fn leads(chain: u64, leads: bool) {
    metrics::gauge!("chancery_leader", "chain" => chain.to_string())
        .set(f64::from(u8::from(leads)));
}
