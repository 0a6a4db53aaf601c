//! The sequences of `model.md` §7 that break weaker models, and what else must hold of steps.

#[allow(dead_code, unused_imports)] // The other tests use what this one does not.
#[path = "../kit/mod.rs"]
mod kit;

mod concurrency;
mod documents;
mod feed;
mod heartbeats;
mod names;
mod random;
mod reorg;
mod settled;
mod signed;
mod sql;
mod statements;
mod steps;
mod vexel;
mod windows;
