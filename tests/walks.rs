//! Everybody who uses an office walks through it once, from the first command to the journal's proof of what it did: at
//! prompts, over HTTP and on a chain, all of them real.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;
mod kit;
#[path = "cli/prompt.rs"]
mod prompt;

#[path = "walks/journal.rs"]
mod journal;
#[path = "walks/key_alone.rs"]
mod key_alone;
#[path = "walks/on_chain.rs"]
mod on_chain;
#[path = "walks/operator.rs"]
mod operator;
#[path = "walks/watching.rs"]
mod watching;
#[path = "walks/without_gas.rs"]
mod without_gas;
