//! A scripted chain, a world that indexes it, and the comparison with a fresh index.

mod fresh;
mod ground;
mod script;
mod world;

pub use fresh::{Fresh, Way};
pub use script::{ACTIVE, ALICE, BOB, CAROL, NOBODY, REGISTRY, SLEEP, Script, TERMINATED, Writer};
pub use world::{World, list, start};
