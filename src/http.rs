//! The HTTP door: it translates requests into the calls of the rooms, and their answers back.
//!
//! A new resource is one file `http/x.rs` with `routes()` and one line in [`api`]. Handlers return
//! `Result<_, Problem>`; statuses are chosen in `problem.rs` alone.

mod agents;
mod anchor;
mod audit;
mod audit_logs;
mod changes;
mod demo;
mod docs;
mod entries;
mod etag;
mod extract;
mod grants;
mod guard;
mod head;
mod health;
mod heartbeats;
mod history;
mod identifiers;
mod ipfs;
mod ipns;
mod keys;
mod layers;
mod lookups;
mod metrics;
mod page;
mod paging;
mod problem;
mod proof;
mod registration_files;
mod schema;
mod sessions;
mod statements;
mod sync;
mod transactions;
mod vexel;
mod watches;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, serve::ListenerExt as _};
use kernel::Kind;
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

pub use changes::Streams;
pub use etag::{FOR_EVER, conditional};
pub use extract::{Json, Path, Query};
pub use grants::{GRANTS, Grant, Who, scopes};
pub use guard::Caller;
pub use head::{Head, Heads};
pub use heartbeats::Seats;
pub use lookups::Lookups;
pub use metrics::Metrics;
pub use problem::{Code, Problem};
pub use proof::{AT_ONCE as PROOFS_AT_ONCE, OPERATORS as OPERATORS_PROOFS};
pub use statements::Statements;

use crate::app::App;

/// What a handler may take as its state.
pub type Shared = Arc<App>;

/// A token that somebody configured is at least this long.
pub const SHORTEST_TOKEN: usize = 16;

/// How long open answers may take when we stop.
const DRAIN: Duration = Duration::from_secs(10);

/// The section `http`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Largest request body.
    pub body_limit_bytes: usize,
    /// Longest time for one answer, and for a WebSocket's client to take one.
    pub timeout_seconds: u64,
    /// How long a client may take nothing of its answer; 0: for ever.
    pub stalled_seconds: u64,
    /// Most streams of changes that are open at once.
    pub max_streams: usize,
    /// Most WebSockets that are open at once.
    pub max_sockets: usize,
    /// Most of them that one address may have.
    pub max_sockets_per_address: usize,
    /// How long a WebSocket may go without a beat that counts.
    pub socket_silence_seconds: u64,
    /// The operator's token.
    pub token: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8004)),
            body_limit_bytes: 2 << 20,
            timeout_seconds: 30,
            stalled_seconds: 60,
            max_streams: 1_000,
            max_sockets: 10_000,
            max_sockets_per_address: 256,
            socket_silence_seconds: 360,
            token: None,
        }
    }
}

/// Why the door does not open, or fell shut.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {0}: the address is taken; choose another with --listen {ip}:PORT (port 0 \
         takes any free one)",
        ip = .0.ip()
    )]
    Taken(SocketAddr),
    /// The system does not allow it.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// It stopped by itself.
    #[error("the HTTP server stopped: {0}")]
    Serve(#[source] io::Error),
}

impl Error {
    /// The class of this failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Taken(_) => Kind::Conflict,
            Self::Bind { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Invalid,
            },
            Self::Serve(_) => Kind::Internal,
        }
    }
}

/// Takes the address; connections wait until [`serve`].
pub async fn bind(config: &Config) -> Result<TcpListener, Error> {
    let address = config.listen;
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => Error::Taken(address),
            _ => Error::Bind { address, source },
        })
}

/// Answers until `stop`, then finishes the answers that have begun.
pub async fn serve(
    app: Shared,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), Error> {
    if let Ok(address) = listener.local_addr() {
        app.listens_on(address);
    }
    let stalled = Duration::from_secs(app.config.http.stalled_seconds);
    let listener = listener.tap_io(move |client| give_up_after(client, stalled));
    let drained = stop.clone();
    let streaming = Arc::clone(&app);
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move {
        stop.cancelled().await;
        streaming.streams.close();
    });
    tokio::select! {
        outcome = server => outcome.map_err(Error::Serve),
        () = async { drained.cancelled().await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("some answers were not finished in {} s", DRAIN.as_secs());
            Ok(())
        }
    }
}

/// Has the system end a connection whose client takes nothing that is sent for so long: else whoever opens streams
/// and never reads them would keep their seats, for nothing here runs while a connection cannot be written to.
fn give_up_after(client: &TcpStream, stalled: Duration) {
    if stalled.is_zero() {
        return;
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(client).set_tcp_user_timeout(Some(stalled)) {
        tracing::warn!("clients that do not read are not given up: {error}");
    }
    // Elsewhere the system looks whether the other side is there at all.
    #[cfg(not(target_os = "linux"))]
    if let Err(error) = SockRef::from(client).set_keepalive(true) {
        tracing::warn!("clients that are gone are not given up: {error}");
    }
}

/// Everything that is answered.
pub fn router(app: Shared) -> Router {
    let (router, mut openapi) = api().split_for_parts();
    docs::complete(&mut openapi);
    let router = router
        .merge(docs::routes(&openapi))
        .merge(demo::routes())
        .merge(page::routes());
    layers::apply(router, &app).with_state(app)
}

/// The routes that `/openapi.json` describes: one line per resource.
fn api() -> OpenApiRouter<Shared> {
    docs::described()
        .merge(agents::routes())
        .merge(history::routes())
        .merge(entries::routes())
        .merge(proof::routes())
        .merge(changes::routes())
        .merge(heartbeats::routes())
        .merge(watches::routes())
        .merge(vexel::routes())
        .merge(registration_files::routes())
        .merge(transactions::routes())
        .merge(statements::routes())
        .merge(ipfs::routes())
        .merge(ipns::routes())
        .merge(identifiers::routes())
        .merge(audit::routes())
        .merge(anchor::routes())
        .merge(sync::routes())
        .merge(sessions::routes())
        .merge(keys::routes())
        .merge(audit_logs::routes())
        .merge(health::routes())
        .merge(metrics::routes())
}
