//! A loop around one piece of recurring work: woken by a signal or by its period, stopped by a
//! token, and never dead: an error is logged and the work is tried again after a pause.

use std::{fmt::Display, future::Future, sync::Arc, time::Duration};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// What one round of work found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There may be more at once.
    Busy,
    /// Nothing to do until the next signal or period.
    Idle,
}

/// How often a worker looks.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Longest time between two rounds.
    pub period: Duration,
    /// Pause after a failed round.
    pub after_error: Duration,
}

/// A named recurring work.
#[derive(Debug, Clone)]
pub struct Worker {
    name: &'static str,
    pace: Pace,
    wake: Arc<Notify>,
}

impl Worker {
    /// A worker that runs at least once per `pace.period`, and at once whenever `wake` says so.
    pub fn new(name: &'static str, pace: Pace, wake: Arc<Notify>) -> Self {
        Self { name, pace, wake }
    }

    /// Runs `round` until `stop`. A round that has begun is finished first.
    pub async fn run<F, R, E>(&self, stop: CancellationToken, mut round: F)
    where
        F: FnMut() -> R,
        R: Future<Output = Result<Outcome, E>>,
        E: Display,
    {
        while !stop.is_cancelled() {
            let pause = match round().await {
                Ok(Outcome::Busy) => continue,
                Ok(Outcome::Idle) => self.pace.period,
                Err(error) => {
                    tracing::warn!(worker = self.name, %error, "worker {} failed: {error}", self.name);
                    self.pace.after_error
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
