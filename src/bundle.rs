//! Bundles: one file with all that shows an agent's record, from block header to signed checkpoint.
//!
//! The format is `docs/proofs.md`. [`make()`] writes a bundle from what is stored here and what a node proves;
//! [`check`] reads one anywhere, without database, network or clock, and trusts nothing in it. What it cannot show
//! by itself (that a header is the chain's, that a key is the log's) it names.

mod basis;
mod check;
mod file;
mod journaled;
mod make;
mod parts;

pub use self::{
    basis::Basis,
    check::{Anchored, Block, Field, Missing, Report, Signed, Step, check},
    file::{File, MOST_BYTES, Wrong},
    make::{Error, make},
};

/// A bundle is to be no larger than this. One that is says by its parts' sizes why.
pub const TARGET_BYTES: usize = 20 << 10;
