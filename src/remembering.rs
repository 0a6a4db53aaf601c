//! Keeping the newest head that was shown in the data directory, so that a database that was set back is noticed:
//! at the next start, and while we run.

use std::{sync::Arc, time::Duration};

use journal::{log, witness};
use tokio_util::sync::CancellationToken;

use crate::{Error, app::App};

/// Pause between two looks. What is sealed in the meantime may be shown and not kept: so much of a journal can
/// be set back unnoticed.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps heads until `stop`. Ends with an error only where nothing must go on.
pub async fn run(app: Arc<App>, stop: CancellationToken) -> Result<(), Error> {
    while !stop.is_cancelled() {
        match keep(&app).await {
            Err(Error::Journal(
                error @ (journal::Error::Behind { .. } | journal::Error::Forked { .. }),
            )) => return Err(error.into()),
            Err(error) => tracing::warn!("the journal's newest head is not kept: {error}"),
            Ok(()) => {}
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    Ok(())
}

async fn keep(app: &App) -> Result<(), Error> {
    let Some(head) = log::head(&app.db).await? else {
        return Ok(());
    };
    let kept = app.data_dir.checkpoint()?;
    if kept.as_ref() == Some(&head.note) {
        return Ok(());
    }
    if let Some(kept) = kept {
        witness::check(&app.db, app.sealer.vkey(), &kept).await?;
    }
    Ok(app.data_dir.set_checkpoint(&head.note)?)
}
