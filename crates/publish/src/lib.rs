//! Mirrors the sealed journal to IPFS and anchors it on chain: followers that may lag and never block.
//!
//! For each checkpoint: every entry under its own CID, the tiles and bundles that it implies, the
//! checkpoint's note, and a manifest that links them. What is in the blockstore is `stored`; once
//! Kubo confirms the manifest's pin, it is `pinned`. Of several processes one mirrors at a time. [`mod@anchor`] brings the newest checkpoint into a contract.
//! [`Scrubber`] puts right what a disk changed, here and in the database. [`mod@layout`] is the same journal as directories of agents, under a name of IPNS.
//! [`mod@witness`] asks what was published, whether the database has it all.

pub mod anchor;
mod error;
pub mod layout;
mod manifest;
mod mirror;
mod publisher;
mod scrub;
pub mod witness;

pub use error::{Error, Result};
pub use manifest::Manifest;
pub use mirror::{confirm, mirror};
pub use scrub::Scrubber;
