//! What logs say. Pure: bytes in, words out; nothing here can fail but with [`Malformed`], which is
//! data too.
//!
//! - [`subject()`] names the token that a log speaks of,
//! - [`decode_token`] says what each log of one token says, with the re-entrancy rules,
//! - [`rule()`] names the rule that made a log say so,
//! - [`operator`] and [`upgraded`] read the logs that speak of no token.

mod event;
mod rule;
mod said;
mod subject;
mod token;

#[cfg(test)]
mod corpus;

pub use event::{OperatorSet, Upgraded, operator, upgraded};
pub use rule::rule;
pub use said::{Malformed, Said};
pub use subject::{Registries, subject};
pub use token::{SeenTopics, decode_token};
