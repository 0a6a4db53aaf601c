//! The roles of a process, and running them until it is told to stop.

use std::{str::FromStr, sync::Arc};

use store::lease;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    Error, anchoring,
    anchoring::Place,
    app::{App, new_process},
    config::{self, Config, Environment},
    data_dir::DataDir,
    http,
    indexing::{self, Feed, Wrong},
    remembering,
    signals::Signals,
    witnessing, working,
};

/// What a process does. `up` does all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Answers HTTP.
    Api,
    /// Reads chains and projects.
    Index,
    /// Fetches, pins, seals, publishes.
    Work,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Api, Self::Index, Self::Work];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Index => "index",
            Self::Work => "work",
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or_else(|| format!("`{text}` is no role: the roles are api, index and work"))
    }
}

/// What runs in this process.
pub struct Running {
    app: Arc<App>,
    workers: JoinSet<()>,
    stop_workers: CancellationToken,
    http: JoinSet<Result<(), http::Error>>,
    stop_http: CancellationToken,
    wrong: Option<Wrong>,
    /// What anchors, what remembers heads and what tells Kubo of them; they end only where nothing must go on.
    guards: JoinSet<Result<(), Error>>,
}

/// Starts the roles: [`Role::Api`] on `listener`, [`Role::Index`] on `feeds`; [`Role::Work`] anchors at `anchor`.
pub fn start(
    app: &Arc<App>,
    roles: &[Role],
    listener: Option<TcpListener>,
    feeds: &[Feed],
    anchor: Option<&Place>,
) -> Running {
    let mut running = Running {
        app: Arc::clone(app),
        workers: JoinSet::new(),
        stop_workers: CancellationToken::new(),
        http: JoinSet::new(),
        stop_http: CancellationToken::new(),
        wrong: None,
        guards: JoinSet::new(),
    };
    let stop = running.stop_workers.clone();
    running.guards.spawn(remembering::run(app.clone(), stop));
    if let Some(listener) = listener {
        running.http.spawn(http::serve(
            app.clone(),
            listener,
            running.stop_http.clone(),
        ));
    }
    working::start_pinning(app, &mut running.workers, &running.stop_workers);
    for role in roles {
        match role {
            Role::Index => {
                let (workers, stop) = (&mut running.workers, &running.stop_workers);
                running.wrong = Some(indexing::start(app, feeds, workers, stop));
            }
            Role::Work => {
                working::start(app, &mut running.workers, &running.stop_workers);
                let stop = running.stop_workers.clone();
                running.guards.spawn(witnessing::run(app.clone(), stop));
                if let Some(place) = anchor {
                    let stop = running.stop_workers.clone();
                    running
                        .guards
                        .spawn(anchoring::run(app.clone(), place.clone(), stop));
                }
            }
            // It has its listener.
            Role::Api => {
                working::start_noting(app, &mut running.workers, &running.stop_workers);
            }
        }
    }
    running
}

impl Running {
    /// Waits until each chain was tried once. Gives the first thing that a person has to put right before one is
    /// followed.
    pub async fn wrong(&mut self) -> Option<indexer::Error> {
        self.wrong.as_mut()?.recv().await
    }

    /// Waits until something ends by itself, which nothing should.
    pub async fn failed(&mut self) -> Error {
        tokio::select! {
            Some(outcome) = self.http.join_next() => match outcome {
                Ok(Err(error)) => error.into(),
                Ok(Ok(())) => Error::io("the HTTP server", std::io::Error::other("ended")),
                Err(panic) => Error::io("the HTTP server", panic.into()),
            },
            Some(outcome) = self.guards.join_next() => match outcome {
                Ok(Err(error)) => error,
                Ok(Ok(())) => Error::io("a guard of the journal", std::io::Error::other("ended")),
                Err(panic) => Error::io("a guard of the journal", panic.into()),
            },
            error = panic_of(&mut self.workers) => error,
        }
    }

    /// Stops the workers, then the door, each after what it has begun. Other processes go on at once with what this one
    /// led: nobody waits for the worker that waits for Kubo, and what one still wants to write is fenced.
    pub async fn stop(mut self) {
        self.stop_workers.cancel();
        let mut resigned = self.resign().await;
        while self.workers.join_next().await.is_some() || self.guards.join_next().await.is_some() {
            // It may have taken or kept a lease when it was told to stop.
            resigned = resigned && self.resign().await;
        }
        self.stop_http.cancel();
        while self.http.join_next().await.is_some() {}
        self.note_the_last().await;
    }

    /// Writes down who asked until the end.
    async fn note_the_last(&self) {
        let app = &self.app;
        for written in [
            app.audit_log.flush(&app.db).await,
            app.usage.flush(&app.db).await,
        ] {
            if let Err(error) = written {
                tracing::warn!(%error, "what was seen last of those who ask is lost: {error}");
            }
        }
    }

    /// Gives all leases back; whether the database took it.
    async fn resign(&self) -> bool {
        let resigned = lease::resign(&self.app.db, self.app.process).await;
        if let Err(error) = &resigned {
            tracing::warn!(%error, "leases are held until they end: {error}");
        }
        resigned.is_ok()
    }
}

/// Waits for a worker that panicked; one that has nothing more to do is no failure.
async fn panic_of(workers: &mut JoinSet<()>) -> Error {
    loop {
        match workers.join_next().await {
            Some(Ok(())) => {}
            Some(Err(panic)) => return Error::io("a worker", panic.into()),
            None => std::future::pending().await,
        }
    }
}

/// `chancery serve`: roles on a database that somebody else runs and migrates. `replay` is what flags
/// name besides the configured chains.
pub async fn run(
    config: Config,
    environment: &Environment,
    roles: &[Role],
    replay: Option<Feed>,
    listening: impl FnOnce(&str),
) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let Some(url) = config.database.url.clone() else {
        return Err(config::Error::Value {
            key: "database.url".to_owned(),
            why: "serve needs a database; `chancery up` brings its own".to_owned(),
        }
        .into());
    };
    let data_dir = DataDir::open(&config, environment)?;
    let listener = if roles.contains(&Role::Api) {
        Some(http::bind(&config.http).await?)
    } else {
        None
    };
    let address = listener
        .as_ref()
        .and_then(|listener| listener.local_addr().ok());
    let app = App::open(config, data_dir, &url, new_process()).await?;
    let typed = replay.is_some();
    let configured = app.config.indexer.chains.iter().cloned().map(Feed::Node);
    let feeds: Vec<_> = replay.into_iter().chain(configured).collect();
    if feeds.is_empty() && roles.contains(&Role::Index) {
        tracing::warn!("no chain is configured (indexer.chains): the role index has nothing to do");
    }
    witnessing::check(&app, roles.contains(&Role::Work)).await?;
    let anchor = Place::configured(&app.config)?;
    if let Some(place) = &anchor
        && roles.contains(&Role::Work)
    {
        anchoring::check(&app, place).await?;
    }
    let mut running = start(&app, roles, listener, &feeds, anchor.as_ref());
    // Who typed nothing has chains that are tried again.
    if typed {
        let wrong = tokio::select! {
            wrong = running.wrong() => wrong.map(Error::from).map(Err),
            signal = signals.next() => { tracing::info!("{signal}: stopping"); Some(Ok(())) }
        };
        if let Some(outcome) = wrong {
            running.stop().await;
            app.db.close().await;
            return outcome;
        }
    }
    if let Some(address) = address {
        listening(&format!("http://{address}"));
    }
    let outcome = tokio::select! {
        signal = signals.next() => { tracing::info!("{signal}: stopping"); Ok(()) }
        error = running.failed() => Err(error),
    };
    tokio::select! {
        () = running.stop() => {}
        signal = signals.next() => tracing::warn!("{signal} again: stopping at once"),
    }
    app.db.close().await;
    outcome
}
