//! The node from outside: over its sockets, and against a real client's answers.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod anvil;
mod consensus;
mod faults;
mod kit;
mod methods;
mod news;
mod workload;
