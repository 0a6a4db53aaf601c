//! The indexer on a real chain: anvil, with real transactions, reorganisations and unclean deaths.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;
mod kit;

#[path = "anvil/anchor.rs"]
mod anchor;
#[path = "anvil/census.rs"]
mod census;
#[path = "anvil/death.rs"]
mod death;
#[path = "anvil/drawn.rs"]
mod drawn;
#[path = "anvil/reorg.rs"]
mod reorg;
#[path = "anvil/said.rs"]
mod said;
#[path = "anvil/state.rs"]
mod state;
#[path = "anvil/vexel.rs"]
mod vexel;
#[path = "anvil/watched.rs"]
mod watched;
#[path = "anvil/watches.rs"]
mod watches;
