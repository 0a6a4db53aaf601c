//! Outbound HTTP and WebSockets, the only crate that knows a client of either. No database.
//!
//! Two ways out, told apart by who chose the address:
//! - [`Fetcher`]: a stranger did (a URI on a chain). The address is guarded and the
//!   answer is hostile.
//! - [`Service`] and [`Socket`]: the operator did (Kubo, a gateway, an Ethereum node). The address is
//!   trusted, the answer is hostile.
//!
//! Where the network lets nothing out but through a gateway, `net.egress` names it, and a [`Fetcher`]
//! leaves through that. Neither uses a proxy from the environment, keeps cookies or reads more than its limit.

mod address;
mod body;
mod config;
mod egress;
mod error;
mod events;
mod fetcher;
mod guard;
mod service;
mod socket;

pub use address::is_public;
pub use config::{Config, HARD_MAX_BYTES};
pub use error::{Error, Result};
pub use events::{Event, Events, Opened};
pub use fetcher::{Fetcher, Get, Response};
pub use guard::Why;
pub use service::{Call, Limits, Reply, Service};
pub use socket::{Socket, SocketLimits};
