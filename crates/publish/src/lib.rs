//! Mirrors the sealed journal to IPFS: a follower with its own cursor, which may lag and never blocks.
//!
//! For each checkpoint: every entry under its own CID, the tiles and bundles that it implies, the
//! checkpoint's note, and a manifest that links them. What is in the blockstore is `stored`; once
//! Kubo confirms the manifest's pin, it is `pinned`.

mod error;
mod manifest;
mod mirror;

pub use error::{Error, Result};
pub use manifest::Manifest;
pub use mirror::{confirm, mirror};
