//! The door to the chains: follows them, stores their logs as ground, and has them projected.
//!
//! A [`Source`] yields [`Step`]s; [`apply`] takes one in one transaction: ground, facts, rows, journal
//! and cursor together. [`Follower`] is the loop around both.

mod apply;
mod chain_row;
mod config;
mod discover;
mod error;
mod follow;
mod ground;
mod replay;
mod rpc;
mod source;
pub mod view;

pub use apply::{Applied, apply};
pub use chain_row::{Anchor, Chain, Origin, cursor, open, stored_contracts};
pub use config::{ChainConfig, Config};
pub use discover::{Discovered, discover};
pub use error::{Error, Result};
pub use follow::{Follower, State, Status};
pub use replay::Replay;
pub use rpc::{RpcSource, Settling};
pub use source::{BlockReceipts, Cursor, Extend, Source, Step};
