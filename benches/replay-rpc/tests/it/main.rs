//! The node from outside: over its sockets, and against a real client's answers.

mod anvil;
mod consensus;
mod kit;
mod methods;
