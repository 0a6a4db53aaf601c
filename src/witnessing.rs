//! Kubo as a witness of the journal: at start, before anything is sealed, it is asked whether it knows of more than the
//! database has; while we run, it is told of each newer head.

use std::{sync::Arc, time::Duration};

use content::Kubo;
use publish::witness;
use tokio_util::sync::CancellationToken;

use crate::{Error, app::App};

/// Pause between two looks for a newer head. What is sealed in the meantime may be shown, and Kubo not told.
const LOOK: Duration = Duration::from_secs(5);

/// Pause after a failed look.
const AFTER_ERROR: Duration = Duration::from_secs(2);

/// Before anything is sealed or answered: errors where Kubo has a head that the database does not have. One that does
/// not answer now is asked later, and a process that `seals` seals nothing until then: database and data directory may
/// both have been restored from older copies. One that answers and does not let us read is no witness.
pub async fn check(app: &App, seals: bool) -> Result<(), Error> {
    let Some(kubo) = app.content.kubo() else {
        return Ok(());
    };
    match witness::ask(&app.db, kubo, app.sealer.vkey()).await {
        Ok(_) => {}
        Err(error) if error.is_refusal() => return Err(error.into()),
        Err(error) if error.is_kubos_no() => silent(kubo, &error),
        Err(error) if seals => {
            app.kubo_unread.send_replace(Some(error.to_string()));
            tracing::warn!("{}", app.unsealed().unwrap_or_default());
        }
        Err(error) => {
            tracing::warn!(%error, "Kubo was not asked whether it has more of the journal: {error}");
        }
    }
    Ok(())
}

/// Tells Kubo of newer heads until `stop`. Ends with an error only where nothing must go on.
pub async fn run(app: Arc<App>, stop: CancellationToken) -> Result<(), Error> {
    let Some(kubo) = app.content.kubo() else {
        stop.cancelled().await;
        return Ok(());
    };
    let (mut known, mut is_silent) = (0, false);
    loop {
        let looked = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            looked = look(&app, kubo, known) => looked,
        };
        let pause = match looked {
            Ok(size) => {
                (known, is_silent) = (size, false);
                LOOK
            }
            Err(error) if error.is_refusal() => return Err(error.into()),
            Err(error) if error.is_kubos_no() => {
                if !is_silent {
                    silent(kubo, &error);
                }
                is_silent = true;
                app.kubo_unread.send_replace(None);
                LOOK
            }
            Err(error) => {
                tracing::warn!(%error, "Kubo is not told of the newest head: {error}: it is tried again");
                app.kubo_unread.send_if_modified(|unread| {
                    unread.as_mut().is_some_and(|why| {
                        *why = error.to_string();
                        true
                    })
                });
                AFTER_ERROR
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Asks what is still to be asked, and tells what is newer than `known`; gives the size of what Kubo keeps.
async fn look(app: &App, kubo: &Kubo, known: u64) -> publish::Result<u64> {
    let (db, key) = (&app.db, app.sealer.vkey());
    if app.kubo_unread.borrow().is_some() {
        witness::ask(db, kubo, key).await?;
        app.kubo_unread.send_replace(None);
        tracing::info!("the journal has all that Kubo knows of");
    }
    witness::tell(db, kubo, key, app.process, known).await
}

fn silent(kubo: &Kubo, error: &publish::Error) {
    let name = kubo.name();
    tracing::warn!(
        %error,
        "{name} does not tell whether it has more of the journal than the database, which may be an older one (the \
         paths /api/v0/files/read and /api/v0/files/write must be allowed): {error}"
    );
}
