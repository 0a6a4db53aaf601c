//! The HTTP door against a real router, on databases of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

#[path = "http/access.rs"]
mod access;
#[path = "http/agents.rs"]
mod agents;
#[path = "http/archive.rs"]
mod archive;
#[path = "http/changes.rs"]
mod changes;
#[path = "http/contract_wallets.rs"]
mod contract_wallets;
#[path = "http/dids.rs"]
mod dids;
#[path = "http/heartbeats.rs"]
mod heartbeats;
#[path = "http/input.rs"]
mod input;
#[path = "http/journal.rs"]
mod journal;
#[path = "http/kit.rs"]
mod kit;
#[path = "http/layout.rs"]
mod layout;
#[path = "http/limits.rs"]
mod limits;
#[path = "http/openapi.rs"]
mod openapi;
#[path = "http/page.rs"]
mod page;
#[path = "http/proofs.rs"]
mod proofs;
#[path = "http/publishing.rs"]
mod publishing;
#[path = "http/refusals.rs"]
mod refusals;
#[path = "http/registration_files.rs"]
mod registration_files;
#[path = "http/scrub.rs"]
mod scrub;
#[path = "http/seeds.rs"]
mod seeds;
#[path = "http/sockets.rs"]
mod sockets;
#[path = "http/statements.rs"]
mod statements;
#[path = "http/sync.rs"]
mod sync;
#[path = "http/watches.rs"]
mod watches;
#[path = "kit/mod.rs"]
mod world;
#[path = "http/writes.rs"]
mod writes;
