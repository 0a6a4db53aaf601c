//! Content: bytes that are named by their hash, wherever they come from.
//!
//! [`Content`] is the way in. It keeps blocks in its own [`Blockstore`], looks for others at
//! [`Kubo`] and at gateways, believes only what hashes to its CID, and turns the URIs that agents
//! write into documents ([`Content::fetch`]). What should be kept for good is said with
//! [`pin::want`].

pub mod block;
mod blockstore;
pub mod car;
mod config;
mod content;
mod dag_pb;
pub mod data_uri;
pub mod directory;
mod error;
mod fetch;
pub mod ipns;
mod kubo;
mod layout;
mod lookup;
mod murmur;
pub mod pin;
mod source;
mod unixfs;
mod uri;

pub use block::{Block, parse_cid, verify};
pub use blockstore::{Blockstore, Damage, Examined, OpenReport};
pub use config::Config;
pub use content::{Content, Giver};
pub use error::{Error, Result};
pub use fetch::{Fetched, State, Verification};
pub use kubo::{Imported, Kubo};
pub use layout::{Dag, Layout, build};
pub use unixfs::{File, Limits, Step, read};
pub use uri::{Uri, classify};
