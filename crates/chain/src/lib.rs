//! Ethereum words: logs and what they say of a token, bindings, presets, JSON-RPC, transactions.
//!
//! Nothing here knows a database, a clock or a configuration file. [`decode`] is pure and holds the
//! rules by which a row equals the chain's state also where events lie; [`mod@examine`] holds what a
//! node told of a block against the block's header, and [`state`] what it told of a contract's
//! storage; [`rpc`] asks a node and says exactly why it did not answer; [`sender`] is the one way in
//! which a transaction leaves.

pub mod anchor;
pub mod bloom;
pub mod contract_signature;
pub mod contracts;
pub mod decode;
pub mod deploy;
pub mod examine;
pub mod key;
pub mod layout;
pub mod log;
pub mod preset;
pub mod receipts;
pub mod recording;
pub mod registry;
pub mod revert;
pub mod rpc;
pub mod sender;
pub mod state;
pub mod trie;
pub mod typed;
pub mod vexel;
pub mod witness;

mod abi;
mod quantity;

pub use alloy::signers::local::PrivateKeySigner;
pub use bloom::Sieve;
pub use decode::{
    Malformed, OperatorSet, Registries, Said, SeenTopics, Upgraded, decode_token, operator, rule,
    subject, upgraded,
};
pub use examine::{Evidence, Finding, FindingKind, Level, Verdict, examine};
pub use log::{Block, Log};
pub use preset::Preset;
pub use receipts::{BlockReceipts, ReceiptFormat, ReceiptProof};
pub use recording::{Recording, RecordingError};
pub use revert::Revert;
pub use rpc::{
    At, Call, Counters, Fees, Hashing, Header, Heads, Limits, LogFilter, NewHead, Receipt, Rpc,
    RpcError, heads,
};
pub use sender::{Prepared, SendError, Sender, SenderConfig, Sent};
