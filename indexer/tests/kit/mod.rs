//! A scripted chain, a world that indexes it, what people sign in it, and the comparison with a fresh index.

mod fresh;
mod ground;
mod script;
mod signed;
mod world;

pub use fresh::{Fresh, Way};
pub use script::{
    ACTIVE, ALICE, BOB, CAROL, NOBODY, REGISTRY, SLEEP, Script, TERMINATED, VEXEL, Writer,
};
pub use signed::{By, ORIGIN, did, key, owner, say, wallet_of};
pub use world::{World, list, start};
