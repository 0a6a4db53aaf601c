//! The dev chain of `up`: anvil on loopback, its state kept in the data directory, so that the next
//! start finds the same chain.

mod state;

use std::{ffi::OsString, net::Ipv4Addr, path::PathBuf, sync::Arc, time::Duration};

use kernel::Kind;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

use crate::{
    child::{Spec, Supervised, stop_orphan},
    config::{Environment, is_executable},
    data_dir::{self, DataDir, private_dir},
};
use state::State;

/// The section `devchain`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The anvil program, where it shall not be searched.
    pub anvil: Option<PathBuf>,
    /// The chain's id.
    pub chain_id: u64,
    /// Its port; 0 takes a free one.
    pub port: u16,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            anvil: None,
            chain_id: 31_337,
            port: 0,
        }
    }
}

/// Why the dev chain does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// anvil is not installed.
    #[error(
        "anvil was not found, neither in contracts/node_modules nor on PATH: run scripts/setup, set \
         devchain.anvil, or give --rpc or --replay instead of a dev chain"
    )]
    NotInstalled,
    /// The port that it should have is taken.
    #[error(
        "port {port} of the dev chain is taken: {source}; set devchain.port = 0 for a free one"
    )]
    Port {
        /// The port.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended instead of starting.
    #[error("anvil does not start ({status}); {} ends with:\n{log}", log_file.display())]
    Start {
        /// How it ended.
        status: String,
        /// Where its log is.
        log_file: PathBuf,
        /// Its last lines.
        log: String,
    },
    /// That of an earlier run does not stop.
    #[error("process {0}, the anvil of an earlier run on the same data, does not stop")]
    Orphan(i32),
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] data_dir::Error),
    /// The operating system refused something else.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or program.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotInstalled => Kind::Invalid,
            Self::Port { .. } => Kind::Conflict,
            Self::Start { .. } | Self::Orphan(_) => Kind::Unavailable,
            Self::DataDir(error) => error.kind(),
            Self::Io { .. } => Kind::Internal,
        }
    }
}

/// A running dev chain.
#[derive(Debug)]
pub struct DevChain {
    chain_id: u64,
    port: u16,
    child: Supervised,
    keeper: CancellationToken,
}

impl DevChain {
    /// Starts it on a data directory whose lock the caller holds.
    pub async fn start(
        data_dir: &DataDir,
        config: &Config,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let program = find(config, environment).ok_or(Error::NotInstalled)?;
        let folder = data_dir.join("anvil");
        private_dir(&folder)?;
        let state = State::in_folder(&folder);
        stop_left_behind(&folder, &state).await?;
        state.repair().map_err(|source| Error::Io {
            path: state.file.clone(),
            source,
        })?;
        let port = choose_port(config, &folder).await?;
        let genesis = genesis_time(&folder)?;
        let spec = spec(
            program,
            config.chain_id,
            (port, genesis),
            &state,
            &folder,
            data_dir,
        );
        let log_before = std::fs::metadata(&spec.log).map_or(0, |meta| meta.len());
        let mut child = spec.spawn().map_err(|source| Error::Io {
            path: spec.program.clone(),
            source,
        })?;
        if let Err(status) = ready(&mut child, port, &state).await {
            let log = spec.log_tail(log_before);
            return Err(Error::Start {
                status,
                log_file: spec.log.clone(),
                log,
            });
        }
        tracing::info!(
            chain_id = config.chain_id,
            "the dev chain answers at http://127.0.0.1:{port}"
        );
        let keeper = CancellationToken::new();
        tokio::spawn(state.keep(keeper.clone()));
        let child = spec.supervise(child);
        let chain = Self {
            chain_id: config.chain_id,
            port,
            child,
            keeper,
        };
        set_clock(chain.url()).await;
        tokio::spawn(keep_clock(
            chain.url(),
            chain.child.restarted(),
            chain.keeper.clone(),
        ));
        Ok(chain)
    }

    /// Where it answers JSON-RPC.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its chain id.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Stops it; it writes its state.
    pub async fn stop(self) {
        self.keeper.cancel();
        self.child.stop().await;
    }

    /// What makes a running stop impatient.
    pub fn killer(&self) -> CancellationToken {
        self.child.killer()
    }
}

/// The anvil program: configured, from a checkout's `contracts/node_modules`, or on PATH. The npm
/// package's own `anvil` is a Node script; the binary lies in its platform package.
pub fn find(config: &Config, environment: &Environment) -> Option<PathBuf> {
    if let Some(anvil) = &config.anvil {
        return Some(anvil.clone());
    }
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let package = format!("contracts/node_modules/@foundry-rs/anvil-{system}-{machine}/bin/anvil");
    let mut checkouts = environment
        .checkouts()
        .into_iter()
        .map(|dir| dir.join(&package));
    checkouts
        .find(|file| is_executable(file))
        .or_else(|| environment.find_program("anvil"))
}

fn spec(
    program: PathBuf,
    chain_id: u64,
    (port, genesis): (u16, u64),
    state: &State,
    folder: &std::path::Path,
    data_dir: &DataDir,
) -> Spec {
    let mut args: Vec<OsString> = Vec::new();
    for (name, value) in [
        ("--host", "127.0.0.1".to_owned()),
        ("--port", port.to_string()),
        ("--chain-id", chain_id.to_string()),
        ("--state-interval", "1".to_owned()),
        ("--timestamp", genesis.to_string()),
    ] {
        args.extend([name.into(), value.into()]);
    }
    args.extend([
        "--quiet".into(),
        "--state".into(),
        state.file.clone().into(),
    ]);
    Spec {
        name: "anvil",
        program,
        args,
        directory: folder.to_path_buf(),
        account: None,
        log: data_dir.join("anvil.log"),
        pid_file: Some(folder.join("pid")),
        stop: (Signal::SIGINT, Duration::from_secs(30)),
        kill: Signal::SIGKILL,
    }
}

/// The time of the first block, in seconds: that of the first start, for ever. anvil makes its first
/// block anew at each start, so another time would make another chain of it.
fn genesis_time(folder: &std::path::Path) -> Result<u64, Error> {
    let file = folder.join("genesis");
    let stored = std::fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if let Some(time) = stored {
        return Ok(time);
    }
    let now = store::Clock::System.now().timestamp().unsigned_abs();
    std::fs::write(&file, now.to_string()).map_err(|source| Error::Io { path: file, source })?;
    Ok(now)
}

/// anvil begins each run at the time of its first block: this brings it to the present. It is tried
/// until anvil answers.
async fn set_clock(url: String) {
    let Ok(url) = url.parse::<url::Url>() else {
        return;
    };
    loop {
        let now = store::Clock::System.now().timestamp();
        if let Ok(rpc) = chain::Rpc::connect(url.clone(), chain::Limits::default()).await {
            let set = rpc
                .ask::<serde_json::Value>("evm_setTime", serde_json::json!([now]))
                .await;
            match set {
                Ok(_) => return,
                Err(error) => tracing::warn!("the dev chain's clock cannot be set: {error}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Sets the clock again after each start again, until `stop`.
async fn keep_clock(url: String, restarted: Arc<Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = restarted.notified() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = set_clock(url.clone()) => {}
        }
    }
}

async fn stop_left_behind(folder: &std::path::Path, state: &State) -> Result<(), Error> {
    let pid = std::fs::read_to_string(folder.join("pid"))
        .ok()
        .and_then(|pid| pid.trim().parse().ok());
    let Some(pid) = pid else { return Ok(()) };
    let signals = [
        (Signal::SIGINT, Duration::from_secs(30)),
        (Signal::SIGKILL, Duration::from_secs(5)),
    ];
    if stop_orphan(pid, &state.file.to_string_lossy(), &signals).await {
        return Ok(());
    }
    Err(Error::Orphan(pid))
}

/// The configured port, else the one of last time if it is free, else any free one.
async fn choose_port(config: &Config, folder: &std::path::Path) -> Result<u16, Error> {
    let file = folder.join("port");
    let last = std::fs::read_to_string(&file)
        .ok()
        .and_then(|port| port.trim().parse().ok());
    let free = |port: u16| async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        listener.local_addr().map(|address| address.port())
    };
    let port = match (config.port, last) {
        (0, Some(last)) => match free(last).await {
            Ok(port) => Ok(port),
            Err(_) => free(0).await,
        },
        (port, _) => free(port).await,
    };
    let port = port.map_err(|source| Error::Port {
        port: config.port,
        source,
    })?;
    std::fs::write(&file, port.to_string()).map_err(|source| Error::Io { path: file, source })?;
    Ok(port)
}

/// Waits until it listens and has written its first state: from then on the chain can be found
/// again. The error is how the process ended.
async fn ready(child: &mut tokio::process::Child, port: u16, state: &State) -> Result<(), String> {
    let up = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .is_err()
            || !state.is_whole()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = up => Ok(()),
        status = child.wait() => {
            Err(status.map_or_else(|error| error.to_string(), |status| status.to_string()))
        }
    }
}
