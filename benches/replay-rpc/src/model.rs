//! Blocks as a chain has them: what is given, and what follows from it.
//!
//! A [`Draft`] says what happens in a block; [`Block::seal`] gives it everything that consensus
//! derives: transaction hashes, receipts with their blooms, roots, and the header's hash over its
//! parent's. Nothing in here is invented but signatures: `from` is declared, not recovered.

mod block;
mod json;
mod state;
mod tx;

pub use alloy_primitives::{Address, B256, Bloom, Bytes, Log, U256, keccak256};
pub use block::{Block, Draft, Fork, Sealed, Spec};
pub use json::{LogPlace, header, log, receipts, tx_json};
pub(crate) use json::{full_block, head_notice, quantity, receipt};
pub use state::{Account, Storage, World};
pub use tx::{Kind, Tx};
