//! Ethereum words: logs and what they say of a token, bindings, presets, JSON-RPC, transactions.
//!
//! Nothing here knows a database, a clock or a configuration file. [`decode`] is pure and holds the
//! rules by which a row equals the chain's state also where events lie; [`rpc`] asks a node and
//! says exactly why it did not answer; [`sender`] is the one way in which a transaction leaves.

pub mod contracts;
pub mod decode;
pub mod deploy;
pub mod key;
pub mod log;
pub mod preset;
pub mod recording;
pub mod registry;
pub mod revert;
pub mod rpc;
pub mod sender;

mod abi;
mod quantity;

pub use alloy::signers::local::PrivateKeySigner;
pub use decode::{
    Malformed, OperatorSet, Registries, Said, SeenTopics, Upgraded, decode_token, operator,
    subject, upgraded,
};
pub use log::{Block, Log};
pub use preset::Preset;
pub use recording::{Recording, RecordingError};
pub use revert::Revert;
pub use rpc::{At, Call, Fees, Header, LogFilter, Receipt, Rpc, RpcError};
pub use sender::{Prepared, SendError, Sender, SenderConfig};
