//! One file per DID method.

pub mod key;
pub mod nft;
pub mod pkh;
pub mod vexel;
pub mod web;
