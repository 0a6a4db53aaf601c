//! The store remembers: connections, transactions with a cause and a time, jobs, leases, cursors.
//!
//! Only this crate begins and commits. A domain function takes `&mut Tx` to write and `&Db` to
//! read, and so cannot write without an author and a time.

mod archive;
mod cause;
mod clock;
pub mod copy;
pub mod cursor;
mod db;
pub mod deferred;
mod error;
pub mod job;
pub mod lease;
pub mod migrate;
mod snapshot;
mod tx;
mod worker;

pub use archive::{Archive, Reach};
pub use cause::Cause;
pub use clock::Clock;
pub use db::{Db, PoolConfig, SslMode};
pub use error::{Error, Result};
pub use snapshot::{Digests, Snapshot, TableDigest};
pub use tx::Tx;
pub use worker::{Outcome, Pace, Worker};
