//! A loop around one piece of recurring work: woken by a signal or by its period, stopped by a
//! token, and never dead: an error is logged and the work is tried again after a pause.

use std::{fmt::Display, future::Future, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
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
    /// Shortest time between the beginnings of two rounds while there is more.
    pub between: Duration,
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
            let began = Instant::now();
            let pause = match round().await {
                Ok(Outcome::Busy) => self.pace.between.saturating_sub(began.elapsed()),
                Ok(Outcome::Idle) => self.pace.period,
                Err(error) => {
                    tracing::warn!(worker = self.name, %error, "worker {} failed: {error}", self.name);
                    self.pace.after_error
                }
            };
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Mutex};

    use super::*;

    #[tokio::test]
    async fn rounds_begin_no_sooner_than_agreed_while_there_is_more() {
        let pace = Pace {
            period: Duration::from_hours(1),
            between: Duration::from_millis(20),
            after_error: Duration::from_hours(1),
        };
        let (stop, begun) = (CancellationToken::new(), Mutex::new(Vec::new()));
        let round = || async {
            let mut begun = begun.lock().expect("not poisoned");
            begun.push(Instant::now());
            if begun.len() == 3 {
                stop.cancel();
            }
            Ok::<_, Infallible>(Outcome::Busy)
        };
        Worker::new("test", pace, Arc::default())
            .run(stop.clone(), round)
            .await;
        let begun = begun.into_inner().expect("not poisoned");
        assert_eq!(begun.len(), 3);
        assert!(begun.is_sorted_by(|one, next| *next >= *one + pace.between));
    }
}
