//! The role `index`: opens the chains that flags and configuration name, and follows each until we
//! stop. A chain whose nodes do not answer is tried again; the others go on.

mod board;
mod checks;
mod dev;
mod expect;
mod open;
mod progress;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use indexer::{ChainConfig, Error, Follower, Source};
use store::Outcome;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use board::{Board, ChainState};
pub use dev::{connect as dev_connect, sender as dev_sender};

use crate::{app::App, http::Head};
use board::Slot;
use open::{Opened, open};

/// Pause after a failed round.
const AFTER_ERROR: Duration = Duration::from_secs(2);

/// Pause where a database is away, and of a process that waits to lead.
const SOON: Duration = Duration::from_millis(500);

/// Pause where a person has to do something first.
const AFTER_WRONG: Duration = Duration::from_secs(30);

/// After so many failed rounds on end the chain is opened anew: a dev chain may have lost our contracts.
const PATIENCE: u32 = 5;

/// Where one chain comes from.
#[derive(Debug, Clone)]
pub enum Feed {
    /// Somebody's node.
    Node(ChainConfig),
    /// The dev chain that we started, by its URL; our contracts are deployed there.
    Started(String),
    /// A recorded file, and the registries to believe where it holds several.
    Replay {
        /// The file.
        file: PathBuf,
        /// Identity registries; those that the file has events of where empty.
        registries: Vec<String>,
    },
}

impl Feed {
    /// For people, without secrets.
    fn place(&self) -> String {
        match self {
            Self::Node(config) => config.chain.clone().unwrap_or_else(|| "a node".to_owned()),
            Self::Started(url) => url.clone(),
            Self::Replay { file, .. } => file.display().to_string(),
        }
    }
}

/// What went wrong when chains were opened for the first time and will not heal by itself (another chain's node, no
/// registry, a broken file), so that whoever typed it is told; a server goes on with its other chains. It ends when
/// each was tried.
pub type Wrong = mpsc::UnboundedReceiver<Error>;

/// Opens every chain and follows it in `workers`, each for itself: one that does not answer holds up none. One that
/// cannot be opened is tried again.
pub fn start(
    app: &Arc<App>,
    feeds: &[Feed],
    workers: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Wrong {
    workers.spawn(progress::show(app.chains.clone(), stop.clone()));
    let (told, wrong) = mpsc::unbounded_channel();
    for feed in feeds {
        let slot = app.chains.add(feed.place());
        let feed = feed.clone();
        workers.spawn(run(Arc::clone(app), feed, slot, told.clone(), stop.clone()));
    }
    wrong
}

/// Logs an error and shows it; the same one again is not logged.
fn tell(slot: &Slot, error: &Error) {
    if slot.fail(error) {
        tracing::warn!("{error}: it is tried again");
    }
}

/// Why following a chain ended.
enum End {
    /// We stop, or a recorded file has ended.
    Done,
    /// A person has to do something; the status says what.
    Halted,
    /// The node does not answer any more.
    Unreachable,
}

async fn run(
    app: Arc<App>,
    feed: Feed,
    slot: Slot,
    told: mpsc::UnboundedSender<Error>,
    stop: CancellationToken,
) {
    // The first try alone is told.
    let mut told = Some(told);
    loop {
        let began = Instant::now();
        let opening = stop.run_until_cancelled(open(&app, &feed, &slot));
        let Some(opened) = opening.await else { return };
        let told = told.take();
        let pause = match opened {
            Ok(chain) => {
                drop(told);
                // Large, because everything that goes on beside following lies in it.
                match Box::pin(follow_opened(&app, &feed, chain, &slot, began, &stop)).await {
                    End::Done | End::Halted => return,
                    End::Unreachable => AFTER_ERROR,
                }
            }
            Err(error) => {
                tell(&slot, &error);
                if let Some(told) = told.filter(|_| !error.kind().is_transient()) {
                    // Nobody waits for it in a server.
                    let _ = told.send(error);
                }
                slot.pause()
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Follows a chain that was opened at `began`, with everything that goes on beside that.
async fn follow_opened(
    app: &App,
    feed: &Feed,
    chain: Opened,
    slot: &Slot,
    began: Instant,
    stop: &CancellationToken,
) -> End {
    let node = match chain {
        Opened::Node(node) => *node,
        Opened::Replay(mut follower) => {
            let quiet = Notify::new();
            let end = follow(app, &mut follower, slot, stop, &quiet, Some(began)).await;
            follower.resign().await;
            return end;
        }
    };
    let open::Node {
        mut follower,
        prover,
        census,
        verifier,
        providers,
        fresh,
        contracts,
    } = node;
    let done = stop.child_token();
    let expecting = expect::backfill(slot, providers, fresh, contracts);
    let expecting = done.run_until_cancelled(expecting);
    slot.verified_by(verifier);
    let news = Arc::new(Notify::new());
    let listening = listen(feed, &news, &done);
    let proving = checks::prove(app, slot, prover, &done);
    let comparing = checks::census(census, &done);
    let following = async {
        let end = follow(app, &mut follower, slot, stop, &news, None).await;
        done.cancel();
        end
    };
    let (end, ..) = tokio::join!(following, proving, comparing, listening, expecting);
    // Those beside it, who lead with it, have ended, too.
    if stop.is_cancelled() {
        follower.resign().await;
    }
    end
}

/// Rounds until something ends it. A recorded file ends by itself; `replay` is when it was opened.
async fn follow<S: Source>(
    app: &App,
    follower: &mut Follower<S>,
    slot: &Slot,
    stop: &CancellationToken,
    news: &Notify,
    replay: Option<Instant>,
) -> End {
    slot.follow(follower.status());
    follower.wake(Arc::clone(&app.committed));
    follower.stop_with(stop.clone());
    let poll = Duration::from_millis(app.config.indexer.poll_ms);
    let mut last = replay;
    let (mut failures, mut waits) = (0, false);
    while !stop.is_cancelled() {
        if let Some(full) = app.full().await {
            if !waits {
                tracing::warn!("chain {}: {full}", slot.chain().unwrap_or_default());
            }
            waits = true;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(SOON) => {}
            }
            continue;
        }
        waits = false;
        let pause = match follower.round().await {
            Ok(Outcome::Busy) => {
                failures = 0;
                last = last.map(|_| Instant::now());
                show_head(app, slot).await;
                continue;
            }
            Ok(Outcome::Idle) => {
                failures = 0;
                show_head(app, slot).await;
                if let (Some(began), Some(last)) = (replay, last) {
                    tell_end(app, slot, last - began).await;
                    return End::Done;
                }
                poll
            }
            Err(error) if error.halts() => return End::Halted,
            // Until it is given up a node may have had a bad moment.
            Err(Error::Unproven { .. }) if slot.is_halted() => {
                failures = 0;
                AFTER_WRONG
            }
            Err(Error::Led(_)) => SOON,
            Err(error) => {
                failures += 1;
                if failures == 1 {
                    tracing::warn!("{error}: it is tried again");
                }
                match error {
                    Error::Store(_) => SOON,
                    _ if failures >= PATIENCE => return End::Unreachable,
                    _ => AFTER_ERROR,
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = news.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    End::Done
}

/// Hears of new heads where the chain has a WebSocket, until the follower ends.
async fn listen(feed: &Feed, news: &Arc<Notify>, stop: &CancellationToken) {
    let url = match feed {
        Feed::Node(config) => config.ws.clone(),
        // anvil speaks both at one port.
        Feed::Started(url) => Some(url.replacen("http", "ws", 1)),
        Feed::Replay { .. } => None,
    };
    match url.as_deref().map(str::parse) {
        Some(Ok(url)) => indexer::news::listen(url, Arc::clone(news), stop.clone()).await,
        Some(Err(error)) => tracing::warn!("indexer.chains.ws is no URL: {error}"),
        None => {}
    }
}

/// Says what a recorded file came to, from its opening to the last commit.
async fn tell_end(app: &App, slot: &Slot, took: Duration) {
    let logs = slot.logs();
    let seconds = took.as_secs_f64();
    // Only a figure to show, so precision lost above 2^53 logs is none.
    #[expect(clippy::cast_precision_loss)]
    let per_second = (logs as f64 / seconds.max(1e-6)).round();
    let agents = identity::agent::count(&app.db).await.unwrap_or_default();
    tracing::info!(
        logs,
        agents,
        seconds,
        logs_per_s = per_second,
        "the recorded file has ended: {logs} new logs in {seconds:.2} s ({per_second}/s), {agents} agents are known",
    );
}

/// Tells the HTTP door how far the chain is read.
async fn show_head(app: &App, slot: &Slot) {
    let Some(chain) = slot.chain() else { return };
    let row = sqlx::query!(
        r#"SELECT head_number AS "number!", settled_number AS "settled!"
             FROM chain.v_chains WHERE chain_id = $1"#,
        chain.cast_signed()
    )
    .fetch_one(app.db.pool())
    .await;
    // A failure here is the next round's, which tells it.
    let Ok(row) = row else { return };
    let head = Head {
        number: row.number.max(0).unsigned_abs(),
        settled: row.settled.max(0).unsigned_abs(),
    };
    app.heads
        .send_if_modified(|heads| heads.insert(chain, head) != Some(head));
}
