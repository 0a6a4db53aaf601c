//! Content: bytes that are named by their hash, wherever they come from.

pub mod block;
mod blockstore;
pub mod car;
mod dag_pb;
mod error;
mod layout;
mod unixfs;

pub use block::{Block, parse_cid, verify};
pub use blockstore::{Blockstore, Damage, OpenReport};
pub use error::{Error, Result};
pub use layout::{Dag, Layout, build};
pub use unixfs::{File, Limits, Step, read};
