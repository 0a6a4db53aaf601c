//! Who asks, how he proves it, and how often he may.
//!
//! A *principal* is the operator, an Ethereum account, or a key. What proves one (an API key, a session, a signed
//! request) authorises a request and is no fact of an agent. What a principal may do stands in the door's table of grants, not here.

pub mod address;
pub mod audit_log;
mod config;
mod error;
pub mod freshness;
pub mod key;
mod keyring;
pub mod limit;
pub mod message_signature;
pub mod nonce;
pub mod origin;
pub mod outgoing;
pub mod principal;
mod secret;
pub mod session;
pub mod siwe;
pub mod typed_request;
pub mod usage;

pub use config::Config;
pub use error::{Error, Result};
pub use keyring::{Keyring, Known};
pub use limit::{Limiter, Quotas, Verdict};
pub use secret::{API_KEY, SESSION};
pub use usage::Usage;
