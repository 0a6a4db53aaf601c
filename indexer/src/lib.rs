//! The door to the chains: follows them, stores their logs as ground, and has them projected.
//!
//! A [`Source`] yields [`Step`]s; [`apply`] takes one in one transaction: ground, facts, rows, journal
//! and cursor together. [`Follower`] is the loop around both.

mod apply;
mod backfill;
pub mod census;
mod chain_row;
mod config;
pub mod digest;
mod discover;
mod error;
mod estimate;
mod evidence;
mod follow;
mod ground;
mod incident;
mod lead;
mod level;
pub mod news;
mod progress;
mod prove;
mod providers;
mod range;
mod replay;
mod rpc;
mod scope;
mod sorted;
mod source;
mod stage;
mod trail;
pub mod view;

pub use apply::{Applied, apply};
pub use census::Census;
pub use chain_row::{
    Anchor, Chain, Origin, Standing, Stored, open, open_scope, standing, stored, stored_contracts,
};
pub use config::{ChainConfig, Config, Prove, ProviderConfig, Wrong};
pub use discover::{Discovered, discover};
pub use error::{Error, Result};
pub use estimate::{Cost, Estimate, estimate};
pub use evidence::{Evidence, Witness};
pub use follow::{Follower, State, Status};
pub use ground::{Kept, kept_block};
pub use incident::Incident;
pub use level::Level;
pub use progress::{Progress, Rate};
pub use prove::{Proven, Prover, Verifier};
pub use providers::{Opinion, ProviderState, Providers, Told};
pub use range::Range;
pub use replay::Replay;
pub use rpc::{RpcSource, Settling, filter};
pub use scope::{Scope, SyncConfig, Watch};
pub use sorted::Sorted;
pub use source::{BlockReceipts, Cursor, Enter, Extend, Proof, Source, Step};
pub use trail::Trail;
