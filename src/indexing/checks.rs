//! What is checked behind the follower, until it ends: blocks are proven, rows are held against the
//! registries' state.

use std::time::Duration;

use indexer::{Census, Error, Prove, Prover};
use store::Outcome;
use tokio_util::sync::CancellationToken;

use super::{AFTER_ERROR, AFTER_WRONG, SOON, board::Slot};
use crate::app::App;

/// How often it is looked for what was not checked yet.
const AGAIN: Duration = Duration::from_secs(1);

/// Proves behind the backfill. Around what nobody can prove it goes on, and the chain shows it.
pub async fn prove(app: &App, slot: &Slot, mut prover: Prover, stop: &CancellationToken) {
    if app.config.indexer.prove == Prove::Off {
        return;
    }
    while !stop.is_cancelled() {
        let before = prover.postponed();
        // A node may hang; what a round was about to store is rolled back.
        let Some(round) = stop.run_until_cancelled(prover.round()).await else {
            return;
        };
        let postponed = prover.postponed();
        if postponed == 0 {
            slot.unproven(None);
        }
        let pause = match round {
            Ok(Outcome::Busy) => continue,
            Ok(Outcome::Idle) => AGAIN,
            Err(error) => {
                if matches!(error, Error::Unproven { .. }) {
                    slot.unproven(Some(error.to_string()));
                } else {
                    tracing::warn!(chain = slot.chain(), "proving: {error}");
                }
                if postponed > before {
                    tracing::warn!(
                        chain = slot.chain(),
                        postponed,
                        "proving: {error}: what is stored of it is one provider's word"
                    );
                    continue;
                }
                AFTER_WRONG
            }
        };
        rest(pause, stop).await;
    }
}

/// Takes the census once the backfill is done, and of whom something happens to from then on.
pub async fn census(census: Option<Census>, stop: &CancellationToken) {
    let Some(mut census) = census else { return };
    let mut fails = false;
    while !stop.is_cancelled() {
        let Some(round) = stop.run_until_cancelled(census.round()).await else {
            return;
        };
        let pause = match round {
            Ok(outcome) => {
                fails = false;
                if outcome == Outcome::Busy {
                    continue;
                }
                AGAIN
            }
            // The chain went on meanwhile: what it has now is compared.
            Err(Error::Moved { .. }) => SOON,
            Err(error) => {
                if !fails {
                    tracing::warn!("comparing rows with the registries' state: {error}");
                }
                fails = true;
                AFTER_ERROR
            }
        };
        rest(pause, stop).await;
    }
}

async fn rest(pause: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(pause) => {}
    }
}
