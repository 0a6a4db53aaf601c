//! Values that every room shares: identifiers, digests, canonical encodings, pages, error kinds.
//!
//! Nothing here does I/O, reads a clock or knows a database; everything is a pure function of its
//! arguments.

mod address;
mod agent_id;
mod cbor;
mod digest;
mod kind;
mod page;
mod principal;
mod text;
mod token;

pub use address::{AddressError, written_address};
pub use agent_id::{AgentId, DerivedTable};
pub use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
pub use cbor::{CborError, cid_of_dag_cbor, cid_of_raw, from_dag_cbor, to_dag_cbor};
pub use cid::Cid;
pub use digest::{sha256, sha256_pair};
pub use kind::Kind;
pub use page::{Found, Limit, LimitError, Page, Span};
pub use principal::Principal;
pub use text::{Clean, clean_json, clean_text, hex_0x, push_hex_0x, shell_path};
pub use token::{Token, TokenError};
