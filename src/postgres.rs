//! The private Postgres of `up`: a cluster of the installed server, in the data directory, reached
//! over a Unix socket that only its owner can open, and kept alive.

mod binaries;
mod error;
mod folder;
mod pid_file;
mod roles;
mod socket;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use nix::sys::signal::Signal;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;

pub use binaries::{Binaries, find, find_psql};
pub use error::Error;
pub use folder::account;
pub use pid_file::PidFile;
pub use roles::{APP, DATABASE, OWNER};

use crate::{
    child::{Spec, Supervised},
    config::Environment,
    data_dir::DataDir,
};
use folder::Folder;

/// The port in the socket's name; each cluster has a socket folder of its own.
pub const PORT: u16 = 5432;

/// The section `postgres`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where initdb and postgres are, where they shall not be searched.
    pub bin_dir: Option<PathBuf>,
    /// The user that it runs as when we are root.
    pub user: Option<String>,
    /// Server settings.
    pub settings: BTreeMap<String, String>,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    socket: PathBuf,
    child: Supervised,
}

impl Cluster {
    /// Starts the cluster of a data directory whose lock the caller holds, and makes it, its roles
    /// and its database where they are missing.
    pub async fn start(
        data_dir: &DataDir,
        config: &Config,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let folder = Folder::prepare(data_dir, config)?;
        let binaries = find(config, environment, folder.version()?).await?;
        pid_file::clear(&folder).await?;
        if folder.version()?.is_none() {
            folder.init(&binaries).await?;
        }
        let socket = socket::directory(&folder, environment)?;
        let spec = spec(&folder, &binaries, &socket, config);
        let (child, mut conn) = start(&spec, &socket).await?;
        roles::ensure(&mut conn).await?;
        conn.close().await.map_err(Error::Sql)?;
        tracing::info!(
            version = binaries.version,
            "Postgres {} runs in {}",
            binaries.version,
            folder.data.display()
        );
        Ok(Self {
            socket,
            child: spec.supervise(child),
        })
    }

    /// The URL of a role's connection.
    pub fn url(&self, role: &str) -> String {
        url(&self.socket, role)
    }

    /// Stops it: sessions are ended, everything is written.
    pub async fn stop(self) {
        self.child.stop().await;
    }

    /// What makes a running stop impatient.
    pub fn killer(&self) -> CancellationToken {
        self.child.killer()
    }
}

/// The URL of a role's connection to the cluster of `data_dir`, if one runs and is ready.
pub fn running_url(data_dir: &DataDir, role: &str) -> Option<String> {
    let pid_file = PidFile::read(&data_dir.join("postgres/data/postmaster.pid"))?;
    pid_file.ready.then(|| url(&pid_file.socket, role))
}

fn url(socket: &std::path::Path, role: &str) -> String {
    let host = utf8_percent_encode(&socket.to_string_lossy(), NON_ALPHANUMERIC).to_string();
    format!("postgres://{role}@localhost:{PORT}/{DATABASE}?host={host}&sslmode=disable")
}

fn spec(folder: &Folder, binaries: &Binaries, socket: &std::path::Path, config: &Config) -> Spec {
    let mut args: Vec<OsString> = vec!["-D".into(), folder.data.clone().into()];
    let mut set = |name: &str, value: &str| {
        args.extend(["-c".into(), format!("{name}={value}").into()]);
    };
    for (name, value) in &config.settings {
        set(name, value);
    }
    set("listen_addresses", "");
    set("port", &PORT.to_string());
    set("unix_socket_directories", &socket.to_string_lossy());
    set("unix_socket_permissions", "0700");
    Spec {
        name: "postgres",
        program: binaries.directory.join("postgres"),
        args,
        directory: folder.root.clone(),
        account: folder.account.clone(),
        log: folder.log.clone(),
        pid_file: None,
        // Fast shutdown first, immediate shutdown after that.
        stop: (Signal::SIGINT, Duration::from_mins(1)),
        kill: Signal::SIGQUIT,
    }
}

/// Starts it and waits until it answers. A server that was killed can leave backends that hold the
/// shared memory for a moment: then it is tried again.
async fn start(
    spec: &Spec,
    socket: &std::path::Path,
) -> Result<(tokio::process::Child, PgConnection), Error> {
    let mut attempts = 0;
    loop {
        let log_before = std::fs::metadata(&spec.log).map_or(0, |meta| meta.len());
        let mut child = spec
            .spawn()
            .map_err(|source| Error::io(&spec.program, source))?;
        match ready(&mut child, socket).await {
            Ok(conn) => return Ok((child, conn)),
            Err(status) => {
                let log = spec.log_tail(log_before);
                let passing = [
                    "shared memory block",
                    "is another postmaster",
                    "is another postgres",
                ];
                attempts += 1;
                if attempts > 40 || !passing.iter().any(|text| log.contains(text)) {
                    return Err(Error::Start {
                        status,
                        log_file: spec.log.clone(),
                        log,
                    });
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
        }
    }
}

/// Waits for a first connection; the error is how the process ended.
async fn ready(
    child: &mut tokio::process::Child,
    socket: &std::path::Path,
) -> Result<PgConnection, String> {
    let options = PgConnectOptions::new_without_pgpass()
        .socket(socket)
        .port(PORT)
        .username(roles::SUPERUSER)
        .database("postgres");
    let began = tokio::time::Instant::now();
    let mut said = 0;
    loop {
        tokio::select! {
            status = child.wait() => {
                return Err(status.map_or_else(|error| error.to_string(), |status| status.to_string()));
            }
            conn = PgConnection::connect_with(&options) => match conn {
                Ok(conn) => return Ok(conn),
                Err(error) => tracing::trace!(%error, "Postgres is not ready: {error}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        if began.elapsed().as_secs() / 10 > said {
            said += 1;
            tracing::info!("Postgres is still starting ({} s)", said * 10);
        }
    }
}
