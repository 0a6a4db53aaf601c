//! `chancery up`: everything in one process tree, on defaults that need nothing installed but
//! Postgres and anvil, and found again at the next start.

use std::sync::Arc;

use store::migrate;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    anchoring::{self, Place},
    app::{App, sole_process},
    config::{Config, Environment},
    data_dir::DataDir,
    demo,
    devchain::DevChain,
    http,
    indexing::Feed,
    postgres::{self, Cluster},
    serve::{self, Role, Running},
    signals::Signals,
    witnessing,
};

/// What flags say beyond the configuration.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Chains besides the configured ones.
    pub feeds: Vec<Feed>,
    /// Whether the demo's agents are registered on the dev chain.
    pub demo: bool,
}

/// What is told once everything runs.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Ready {
    /// Where the API answers.
    pub url: String,
    /// The folder of the token and everything else.
    pub data_dir: std::path::PathBuf,
    /// The dev chain's JSON-RPC, where there is one.
    pub rpc: Option<String>,
    /// Whether the demo's agents are there.
    pub demo: bool,
}

/// The children, in the order of their start. They are kept outside the start itself, so that a
/// start that fails or is interrupted half way leaves none behind.
#[derive(Default)]
struct Children {
    postgres: Option<Cluster>,
    devchain: Option<DevChain>,
}

impl Children {
    /// Stops them, last started first. `kill` makes it impatient.
    async fn stop(self, kill: CancellationToken) {
        let killers: Vec<_> = [
            self.devchain.as_ref().map(DevChain::killer),
            self.postgres.as_ref().map(Cluster::killer),
        ]
        .into_iter()
        .flatten()
        .collect();
        let impatience = tokio::spawn(async move {
            kill.cancelled().await;
            killers.iter().for_each(CancellationToken::cancel);
        });
        if let Some(devchain) = self.devchain {
            devchain.stop().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
        impatience.abort();
    }
}

/// Runs until a signal. `ready` is called once, when requests are answered.
pub async fn run(
    config: Config,
    environment: &Environment,
    options: Options,
    ready: impl FnOnce(&Ready),
) -> Result<(), Error> {
    let mut signals = Signals::listen()?;
    let data_dir = DataDir::open(&config, environment)?;
    let _lock = data_dir.lock()?;
    let listener = http::bind(&config.http).await?;
    let mut children = Children::default();
    let started = tokio::select! {
        started = start(config, environment, options, data_dir.clone(), listener, &mut children) => started.map(Some),
        signal = signals.next() => { tracing::info!("{signal} during the start: stopping"); Ok(None) }
    };
    let (outcome, running) = match started {
        Ok(Some(mut up)) => {
            ready(&up.ready);
            let outcome = tokio::select! {
                signal = signals.next() => { tracing::info!("{signal}: stopping"); Ok(()) }
                error = up.running.failed() => Err(error),
            };
            (outcome, Some(up))
        }
        Ok(None) => (Ok(()), None),
        Err(error) => (Err(error), None),
    };
    data_dir.clear_address();
    stop(running, children, &mut signals).await;
    outcome
}

/// What a start leads to.
struct Up {
    app: Arc<App>,
    running: Running,
    ready: Ready,
}

async fn start(
    mut config: Config,
    environment: &Environment,
    options: Options,
    data_dir: DataDir,
    listener: TcpListener,
    children: &mut Children,
) -> Result<Up, Error> {
    let url = database(&config, environment, &data_dir, children).await?;
    let mut feeds = options.feeds;
    feeds.extend(config.indexer.chains.iter().cloned().map(Feed::Node));
    let rpc = if feeds.is_empty() {
        let chain = DevChain::start(&data_dir, &config.devchain, environment).await?;
        let url = children.devchain.insert(chain).url();
        feeds.push(Feed::Started(url.clone()));
        Some(url)
    } else {
        None
    };
    let address = listener
        .local_addr()
        .map_err(|error| Error::io("the HTTP address", error))?;
    let demo = options.demo && rpc.is_some();
    if demo {
        // Some of the demo's registration files are served by this instance itself.
        config.net.allow.push(address_text(address));
    }
    let process = sole_process(&data_dir)?;
    let app = App::open(config, data_dir.clone(), &url, process).await?;
    if children.postgres.is_some() {
        // We hold the data directory's lock: whoever had these jobs is dead.
        store::job::abandon(&app.db).await?;
    }
    let ready = Ready {
        url: reachable(address),
        data_dir: data_dir.path().to_path_buf(),
        rpc,
        demo,
    };
    let anchor = match &ready.rpc {
        Some(url) => Place::dev(&app.config, url)?,
        None => Place::configured(&app.config)?,
    };
    witnessing::check(&app, true).await?;
    if let Some(place) = &anchor {
        anchoring::check(&app, place).await?;
    }
    let mut running = serve::start(&app, &Role::ALL, Some(listener), &feeds, anchor.as_ref());
    if let Some(error) = running.wrong().await {
        running.stop().await;
        return Err(error.into());
    }
    if let (true, Some(rpc)) = (demo, &ready.rpc) {
        demo::play(&app, rpc, &ready.url).await?;
    }
    data_dir.set_address(&ready.url)?;
    Ok(Up {
        app,
        running,
        ready,
    })
}

/// The configured database or the private one, migrated; gives the application's URL.
async fn database(
    config: &Config,
    environment: &Environment,
    data_dir: &DataDir,
    children: &mut Children,
) -> Result<String, Error> {
    if let (Some(url), Some(owner)) = (&config.database.url, config.database.owner_url()) {
        migrate::up(owner, &config.database.app_role).await?;
        return Ok(url.clone());
    }
    let cluster = children
        .postgres
        .insert(Cluster::start(data_dir, &config.postgres, environment).await?);
    migrate::up(&cluster.url(postgres::OWNER), postgres::APP).await?;
    Ok(cluster.url(postgres::APP))
}

/// An address that listens everywhere is reached on loopback.
fn reachable(address: std::net::SocketAddr) -> String {
    format!("http://{}", address_text(address))
}

fn address_text(address: std::net::SocketAddr) -> String {
    let port = address.port();
    match address.ip() {
        ip if !ip.is_unspecified() => address.to_string(),
        std::net::IpAddr::V4(_) => format!("127.0.0.1:{port}"),
        std::net::IpAddr::V6(_) => format!("[::1]:{port}"),
    }
}

/// Workers, then the door, the database's pool, anvil, Postgres. A second signal ends it at once.
async fn stop(up: Option<Up>, children: Children, signals: &mut Signals) {
    let kill = CancellationToken::new();
    let polite = async {
        if let Some(up) = up {
            up.running.stop().await;
            up.app.db.close().await;
        }
    };
    tokio::select! {
        () = polite => {}
        signal = signals.next() => {
            tracing::warn!("{signal} again: stopping at once");
            kill.cancel();
        }
    }
    let mut rest = std::pin::pin!(children.stop(kill.clone()));
    loop {
        tokio::select! {
            () = &mut rest => return,
            signal = signals.next() => {
                tracing::warn!("{signal} again: stopping at once");
                kill.cancel();
            }
        }
    }
}
