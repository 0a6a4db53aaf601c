//! What is measured of the anchoring of checkpoints when somebody looks.

use journal::{log, publication};
use publish::anchor::{self, State};
use tokio::sync::watch;

use super::chains::{figure, set};
use crate::app::App;

/// Measures. Where the database does not answer, or nothing is anchored, nothing else changes than what keeps this
/// process from sealing.
pub async fn measure(app: &App) {
    let unread = |why: &watch::Sender<Option<String>>| f64::from(u8::from(why.borrow().is_some()));
    set("chancery_anchor_unread", &[], unread(&app.anchor_unread));
    set("chancery_kubo_unread", &[], unread(&app.kubo_unread));
    let Ok(Some(standing)) = anchor::standing(&app.db).await else {
        return;
    };
    for state in State::ALL {
        let labels = [("state", state.as_str().to_owned())];
        let is_it = f64::from(u8::from(standing.state == state));
        set("chancery_anchor_state", &labels, is_it);
    }
    set(
        "chancery_anchor_spent_gwei",
        &[],
        figure(standing.spent_gwei),
    );
    if let Some(head) = standing.head {
        set("chancery_anchor_time_seconds", &[], figure(head.time));
    }
    let anchored = publication::latest(&app.db, publication::State::Anchored).await;
    if let (Ok(anchored), Ok(Some(head))) = (anchored, log::head(&app.db).await) {
        let anchored = anchored.map_or(0, |anchored| anchored.size);
        set(
            "chancery_unanchored_entries",
            &[],
            figure(head.size.saturating_sub(anchored)),
        );
    }
}
