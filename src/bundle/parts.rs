//! What stands in each part: canonical DAG-CBOR maps, in which nothing is absent and nothing unknown.

use kernel::Bytes;
use serde::{Deserialize, Serialize};

/// Whose record it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The agent's UUID.
    pub agent: String,
    /// `eip155:<chain>:<registry>/<agentId>`; null for an agent without a token.
    pub token: Option<String>,
}

/// The header of a block.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Its hash, which the RLP has.
    pub hash: Bytes,
    /// All its fields, as they are hashed.
    pub rlp: Bytes,
}

/// The receipt of the last log that spoke of the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Place of the transaction in its block.
    pub tx: u32,
    /// Place of the log in the receipt.
    pub log: u32,
    /// Nodes of the receipts' trie, down to the receipt.
    pub nodes: Vec<Bytes>,
}

/// Account and storage of the registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The header under whose `stateRoot` it stands; null: that of the part `header`.
    pub header: Option<Header>,
    /// Whether the whole URI is shown. If not, its first slot is, which has its length.
    pub uri: bool,
    /// Nodes of the state's trie and of the storage's, down to owner, URI and wallet, each once.
    pub nodes: Vec<Bytes>,
}

/// Entries of the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    /// The log's verifier key (c2sp.org/signed-note).
    pub vkey: String,
    /// The signed checkpoint (c2sp.org/tlog-checkpoint).
    pub checkpoint: String,
    /// Entries of the agent, in the order of their leaves.
    pub entries: Vec<EntryProof>,
    /// CID of the manifest by which the newest of them was published to IPFS.
    pub manifest: Option<String>,
}

/// A checkpoint over the entries that a contract took (`contracts/src/AuditAnchor.sol`).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// EIP-155 id of the chain.
    pub chain: u64,
    /// The contract, 20 bytes.
    pub contract: Bytes,
    /// The account that sent it, 20 bytes.
    pub keeper: Bytes,
    /// Hash of the transaction, 32 bytes.
    pub tx: Bytes,
    /// Entries of the log when it was anchored.
    pub size: u64,
    /// Root of the tree over them, 32 bytes.
    pub root: Bytes,
    /// The proof that the journal's checkpoint goes on from there (RFC 9162 §2.1.4), 32 bytes each.
    pub proof: Vec<Bytes>,
}

/// An entry under the checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryProof {
    /// Its leaf.
    pub index: u64,
    /// Its bytes, canonical DAG-CBOR; their CID is the entry's id.
    pub body: Bytes,
    /// The inclusion proof (RFC 9162 §2.1.3), 32 bytes each.
    pub path: Vec<Bytes>,
}

/// The registration file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its bytes as they were found.
    pub bytes: Bytes,
}

/// The record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Columns with their values.
    pub fields: Vec<RowField>,
}

/// A column, its value as text, and what that rests on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RowField(pub String, pub Option<String>, pub Vec<String>);

/// What is not in the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// What, and why.
    pub parts: Vec<Left>,
}

/// What is left out, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Left(pub String, pub String);
