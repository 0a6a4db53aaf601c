//! The role `work`: what goes on behind the answers. One line per worker.

use std::{fmt::Display, future::Future, sync::Arc, time::Duration};

use chrono::TimeDelta;
use publish::{Scrubber, layout};
use store::{Cause, Outcome, Pace, Worker};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::app::App;

/// How many pins one round takes; its lease lasts minutes.
const PINS: i64 = 32;

/// How long the head feed is kept.
const FEED_KEPT: TimeDelta = TimeDelta::days(7);

/// Starts every worker.
pub fn start(app: &Arc<App>, workers: &mut JoinSet<()>, stop: &CancellationToken) {
    let mut run = Starter { app, workers, stop };
    run.every("sweep", 250, |app| async move { sweep(&app).await });
    run.every("liveness", 500, |app| async move { transit(&app).await });
    run.every("beats", 5_000, |app| async move {
        identity::heartbeat::show(&app.db).await
    });
    if app.config.content.fetch {
        run.every("fetch", 500, |app| async move { fetch(&app).await });
    }
    run.every("pin later", 60_000, |app| async move {
        content::pin::catch_up(&app.db, &app.content, i64::from(i16::MAX)).await
    });
    let committed = Arc::clone(&app.committed);
    run.woken("seal", 250, committed, |app| async move {
        if app.unsealed().is_some() {
            return Ok(Outcome::Idle);
        }
        app.sealer.round(&app.db, app.process).await
    });
    run.every("order", 100, |app| async move {
        identity::head::order(&app.db).await
    });
    run.every("publish", 1_000, |app| async move {
        publish::mirror(&app.db, &app.content, app.process).await
    });
    run.every("confirm", 2_000, |app| async move {
        publish::confirm(&app.db).await
    });
    let builder = Arc::new(layout::Builder::default());
    run.every("layout", 5_000, move |app| {
        let builder = Arc::clone(&builder);
        async move {
            let (db, content, key) = (&app.db, &app.content, &app.name_key);
            builder.round(db, content, key, app.process).await
        }
    });
    run.every("name", 5_000, |app| async move {
        layout::tell(&app.db, &app.content, &app.name_key, app.process).await
    });
    if app.config.journal.scrub_bundles > 0 {
        let bundles = app.config.journal.scrub_bundles;
        let scrubber = Arc::new(Scrubber::new(app.sealer.vkey().clone(), bundles));
        run.every("scrub", 10_000, move |app| {
            let scrubber = Arc::clone(&scrubber);
            async move { scrubber.round(&app.db, &app.content, app.process).await }
        });
    }
    run.every("expire", 3_600_000, |app| async move {
        let mut tx = app.db.begin(Cause::Job("expire")).await?;
        identity::head::expire(&mut tx, FEED_KEPT).await?;
        tx.commit().await?;
        identity::request::expire(&app.db).await
    });
    run.every("tombstones", 3_600_000, |app| async move {
        let ended_before = app.db.clock().now() - app.config.identity.tombstone();
        identity::heartbeat::collect(&app.db, ended_before).await
    });
    run.every("forget", 600_000, |app| async move { forget(&app).await });
}

/// Forgets what was seen of people, old counts, and keys that are long over.
async fn forget(app: &App) -> access::Result<Outcome> {
    let days = |days: u32| TimeDelta::days(i64::from(days));
    let kept = &app.config.access;
    let mut tx = app.db.begin(Cause::Job("forget")).await?;
    access::audit_log::expire(&mut tx, days(kept.ip_days), days(kept.audit_days)).await?;
    access::usage::expire(&mut tx).await?;
    access::session::expire(&mut tx).await?;
    access::nonce::expire(&mut tx).await?;
    // Last, for nobody else changes keys until this is committed.
    access::key::expire(&mut tx).await?;
    tx.commit().await?;
    Ok(Outcome::Idle)
}

/// What every process that answers does: it writes down who asked.
pub fn start_noting(app: &Arc<App>, workers: &mut JoinSet<()>, stop: &CancellationToken) {
    let mut run = Starter { app, workers, stop };
    run.every("audit log", 1_000, |app| async move {
        app.audit_log.flush(&app.db).await.map(|()| Outcome::Idle)
    });
    run.every("usage", 5_000, |app| async move {
        app.usage.flush(&app.db).await.map(|()| Outcome::Idle)
    });
}

/// What every process does, whatever its roles: it gives Kubo what it has in its own blockstore.
pub fn start_pinning(app: &Arc<App>, workers: &mut JoinSet<()>, stop: &CancellationToken) {
    Starter { app, workers, stop }.every("pin", 2_000, |app| async move {
        content::pin::pin_due(&app.db, &app.content, PINS).await
    });
}

/// Projects who is dirty, unless the journal is full.
pub async fn sweep(app: &App) -> identity::Result<Outcome> {
    if app.full().await.is_some() {
        return Ok(Outcome::Idle);
    }
    identity::dirty::sweep(&app.db).await
}

/// Tells who is alive and who is not any more, unless the journal is full.
pub async fn transit(app: &App) -> identity::Result<Outcome> {
    if app.full().await.is_some() {
        return Ok(Outcome::Idle);
    }
    identity::heartbeat::transit(&app.db).await
}

/// Fetches documents that are due, unless the journal is full: each judged one makes agents dirty.
pub async fn fetch(app: &App) -> identity::Result<Outcome> {
    if app.full().await.is_some() {
        return Ok(Outcome::Idle);
    }
    identity::document::fetch_due(&app.db, &app.content).await
}

struct Starter<'a> {
    app: &'a Arc<App>,
    workers: &'a mut JoinSet<()>,
    stop: &'a CancellationToken,
}

impl Starter<'_> {
    /// A worker that looks at least every `millis`, and again at once while there is more.
    fn every<F, R, E>(&mut self, name: &'static str, millis: u64, round: F)
    where
        F: Fn(Arc<App>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Outcome, E>> + Send,
        E: Display,
    {
        self.woken(name, millis, Arc::default(), round);
    }

    /// The same, which `wake` starts at once.
    fn woken<F, R, E>(&mut self, name: &'static str, millis: u64, wake: Arc<Notify>, round: F)
    where
        F: Fn(Arc<App>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Outcome, E>> + Send,
        E: Display,
    {
        let pace = Pace {
            period: Duration::from_millis(millis),
            after_error: Duration::from_secs(2),
        };
        let (app, stop) = (Arc::clone(self.app), self.stop.clone());
        self.workers.spawn(async move {
            Worker::new(name, pace, wake)
                .run(stop, || round(Arc::clone(&app)))
                .await;
        });
    }
}
