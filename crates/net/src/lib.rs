//! Outbound HTTP, the only crate that knows an HTTP client. No database.
//!
//! Two ways out, told apart by who chose the address:
//! - [`Fetcher`]: a stranger did (a URI on a chain, a `did:web`). The address is guarded and the
//!   answer is hostile.
//! - [`Service`]: the operator did (Kubo, a gateway). The address is trusted, the answer is hostile.
//!
//! Where the network lets nothing out but through a gateway, `net.egress` names it, and a [`Fetcher`]
//! leaves through that. Neither uses a proxy from the environment, keeps cookies or reads more than its limit.

mod address;
mod body;
mod config;
mod egress;
mod error;
mod fetcher;
mod guard;
mod service;

pub use address::is_public;
pub use config::{Config, HARD_MAX_BYTES};
pub use error::{Error, Result};
pub use fetcher::{Fetcher, Get, Response};
pub use guard::Why;
pub use service::{Call, Reply, Service};
