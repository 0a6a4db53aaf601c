//! The journal can prove it: every settled change as an entry, appended in the transaction of its rows,
//! sealed into one Merkle tree, signed, and provable to a stranger without asking us.
//!
//! An entry's way: [`append()`] (queued) → [`Sealer`] (a leaf under a signed [`checkpoint`]) → `publish`, which is
//! a [`follow`]er (stored, pinned, anchored: [`publication`]). [`settle()`] finds what there is to append or
//! to retract after a rewind. [`bundle::prove`] writes a proof file, [`bundle::verify`] reads it anywhere.
//!
//! Formats: RFC 6962 / RFC 9162 tree, and C2SP's tlog-tiles, tlog-checkpoint, signed-note and tlog-proof.

mod append;
pub mod audit;
pub mod backlog;
mod body;
pub mod bundle;
mod cbor;
mod change;
pub mod checkpoint;
mod config;
mod draft;
mod edge;
pub mod entry;
mod error;
pub mod feed;
pub mod follow;
mod head;
pub mod identity;
pub mod key;
pub mod log;
pub mod note;
pub mod proof;
pub mod publication;
pub mod read;
pub mod said;
pub mod scrub;
mod seal;
mod settle;
pub mod tile;
pub mod tree;
pub mod vkey;
pub mod witness;

pub use append::{Appended, First, NewEntry, among, any, append, appended_now};
pub use body::archive;
pub use change::Change;
pub use config::{AnchorConfig, Config};
pub use entry::{Entry, EntryKind};
pub use error::{Error, Result};
pub use key::LogKey;
pub use seal::{BATCH, Sealed, Sealer};
pub use settle::{Owed, Settling, settle};

#[cfg(test)]
mod testing;
