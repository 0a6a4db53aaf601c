//! The HTTP door against a real router, on databases of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

#[path = "http/agents.rs"]
mod agents;
#[path = "http/archive.rs"]
mod archive;
#[path = "http/changes.rs"]
mod changes;
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
#[path = "http/openapi.rs"]
mod openapi;
#[path = "http/publishing.rs"]
mod publishing;
#[path = "http/scrub.rs"]
mod scrub;
#[path = "http/sync.rs"]
mod sync;
#[path = "http/watches.rs"]
mod watches;
#[path = "http/writes.rs"]
mod writes;
