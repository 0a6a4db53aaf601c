//! Providers of a chain.
//!
//! A [`Network`] is the chain that everybody sees; a [`Provider`] serves it at an address of loopback
//! and has faults of its own. So several providers that disagree are several providers of one network.

mod admin;
mod answer;
mod chain;
mod faults;
mod filter;
mod http;
mod lies;
mod logs;
mod methods;
mod network;
mod provider;
mod refusal;
mod stats;
mod view;
mod ws;

pub use chain::{Chain, Finality};
pub use faults::{Batch, Faults, Lose, Refusing, Stale};
pub use network::{Change, Network};
pub use provider::Provider;
pub use stats::{Calls, LogId, Stats};
