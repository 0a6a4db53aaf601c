//! The sequences of `model.md` §7 that break weaker models, and what else must hold of steps.

#[path = "../kit/mod.rs"]
mod kit;

mod concurrency;
mod documents;
mod random;
mod reorg;
mod settled;
mod sql;
mod steps;
