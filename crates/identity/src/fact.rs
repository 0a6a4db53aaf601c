//! Facts about one agent and the order in which they stand (`model.md` §2).

use std::{collections::BTreeMap, fmt};

use chrono::{DateTime, Utc};
use kernel::Address;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::statement::Action;

/// Where a fact stands among all facts of its agent: by time, then logs before off-chain facts,
/// then by block and log index, or by serial.
///
/// The derived order is the rule; do not reorder the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "PlaceParts", from = "PlaceParts")]
pub struct Place {
    /// Microseconds since 1970. Of a log: its block's time, never before that of an earlier block.
    pub time: i64,
    /// Whether the fact did not come from the chain.
    pub off_chain: bool,
    /// Block number of a log, serial of an off-chain fact.
    pub major: i64,
    /// Log index of a log, 0 otherwise.
    pub minor: i32,
    /// 0 for the fact itself; 1 for a document that stands at the log that named it.
    pub after: u8,
}

/// A place in a saved state.
type PlaceParts = (i64, bool, i64, i32, u8);

impl From<Place> for PlaceParts {
    fn from(place: Place) -> Self {
        let Place {
            time,
            off_chain,
            major,
            minor,
            after,
        } = place;
        (time, off_chain, major, minor, after)
    }
}

impl From<PlaceParts> for Place {
    fn from((time, off_chain, major, minor, after): PlaceParts) -> Self {
        Self {
            time,
            off_chain,
            major,
            minor,
            after,
        }
    }
}

impl Place {
    /// Time of the fact.
    pub fn time(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.time).unwrap_or_default()
    }
}

/// One fact, with everything that the fold wants to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Where it stands.
    pub place: Place,
    /// Names the log, document version or act, the same in every history of the same events.
    pub cause: String,
    /// Whose doing it was.
    pub who: Who,
    /// What it says.
    pub what: What,
}

/// Whose doing a fact was. Its text stands in the rows of histories alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A person, or a part of ours.
    Named(String),
    /// An account of the chain.
    Account(Address),
    /// A contract that does not tell on whose behalf it spoke.
    Contract(Address),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Account(account) => write!(f, "{account:#x}"),
            Self::Contract(contract) => write!(f, "contract:{contract:#x}"),
        }
    }
}

/// What a fact says.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A log.
    Chain(ChainFact),
    /// A version of the document at a URI.
    Document(DocumentVersion),
    /// An operator's act.
    Act(Act),
    /// What an owner or a key signed.
    Statement(StatementFact),
}

/// What a log says, and what is known of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainFact {
    /// The log's transaction.
    pub tx_hash: kernel::B256,
    /// Whether no better event could contradict it.
    pub confirmed: bool,
    /// The word itself.
    pub said: ChainWord,
}

/// The words of a chain about one token, in the fold's terms.
#[derive(Debug, Clone, PartialEq)]
pub enum ChainWord {
    /// Minted: everything starts anew. The wallet is a word of its own.
    Founded {
        /// First owner.
        owner: Address,
    },
    /// Moved to another owner, or to the same one.
    OwnerMoved {
        /// The new owner.
        to: Address,
    },
    /// Burned: nothing but a new mint lifts it.
    Burned,
    /// The agent wallet, `None` when cleared.
    WalletSet(Option<Address>),
    /// Approved to act for this token, `None` when cleared.
    Approved(Option<Address>),
    /// The agent URI, and its raw bytes.
    UriSet(UriRef, kernel::Bytes),
    /// An entry of the on-chain metadata; key and value made fit for rows.
    MetadataSet {
        /// Cleaned key.
        key: String,
        /// Lower-case hex of the value.
        value: String,
    },
    /// `AgentStatus.StatusSet`.
    StatusSet {
        /// What was set.
        status: RuntimeStatus,
        /// The speaker's reason, cleaned.
        reason: String,
    },
    /// `AgentStatus.Heartbeat`.
    Heartbeat,
    /// A word of one of VEXEL's contracts.
    Vexel(VexelWord),
}

/// What a contract of VEXEL's says of a DID.
#[derive(Debug, Clone, PartialEq)]
pub struct VexelWord {
    /// The contract.
    pub contract: Address,
    /// The word itself.
    pub said: VexelSaid,
}

/// The words of VEXEL's contracts, in the fold's terms.
#[derive(Debug, Clone, PartialEq)]
pub enum VexelSaid {
    /// Somebody registered an address to beat.
    Enrolled {
        /// The address.
        account: Address,
        /// Whether the agent's own DID is of that address.
        is_named: bool,
    },
    /// A beat.
    Beat,
    /// None came in time.
    Inactive,
    /// It never beats again.
    Deactivated {
        /// Its address.
        account: Address,
    },
    /// A threshold was set.
    Threshold,
    /// Registered under its DID.
    Registered {
        /// Whose it is.
        owner: Address,
        /// Cleaned.
        name: String,
        /// Cleaned.
        description: String,
    },
    /// Name and file were set.
    Updated {
        /// Cleaned.
        name: String,
        /// Cleaned; VEXEL's column holds 64 characters.
        ipfs_hash: String,
    },
    /// A status was set; `None` where its code is none.
    Status(Option<RuntimeStatus>),
    /// A capability was set.
    Capability {
        /// Cleaned.
        name: String,
        /// Cleaned.
        value: String,
    },
}

/// A URI by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UriRef {
    /// sha2-256 of the raw bytes.
    #[serde(with = "hex_digest")]
    pub hash: [u8; 32],
    /// Whether it has no bytes at all: then there is no document, and nothing to wait for.
    pub empty: bool,
    /// The text as the journal shows it: the URI where it is short text, else its digest.
    pub shown: String,
}

/// A digest as text in a saved state, instead of a list of numbers.
pub(crate) mod hex_digest {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(digest: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(digest))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let mut digest = [0; 32];
        hex::decode_to_slice(<&str>::deserialize(deserializer)?, &mut digest)
            .map_err(D::Error::custom)?;
        Ok(digest)
    }
}

/// One judged version of the document at a URI.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentVersion {
    /// The URI.
    pub uri: [u8; 32],
    /// 1, 2, ...
    pub version: i32,
    /// Whether this is the version that stands at the log that named the URI; it says everything.
    pub standing: bool,
    /// Fields by our names: all of them when standing, else those that changed, removed ones null.
    pub fields: BTreeMap<String, Value>,
    /// sha2-256 of the bytes; `None` where there are none.
    pub sha256: Option<[u8; 32]>,
    /// CID of the stored bytes, where it fits VEXEL's column.
    pub cid: Option<String>,
    /// The document itself.
    pub raw: Option<Value>,
}

/// What an operator, or a worker of ours in his name, did.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// Which sort of act.
    pub kind: ActKind,
    /// Columns and their new values; of a capability its name, with value and version, or null.
    pub changes: BTreeMap<String, Value>,
    /// Why.
    pub reason: Option<String>,
    /// The founding that it speaks about: it sleeps unless that one is in force.
    pub founding: Option<String>,
}

/// What an owner or a key signed, once its authority was found (`statement`).
#[derive(Debug, Clone, PartialEq)]
pub struct StatementFact {
    /// What it does.
    pub action: Action,
    /// Columns and their new values, with what stands beside them.
    pub changes: BTreeMap<String, Value>,
    /// The statement and its signatures, as the journal says them: whoever reads the entry verifies
    /// the author by it.
    pub evidence: Value,
    /// The founding that it speaks about: it sleeps unless that one is in force.
    pub founding: Option<String>,
    /// The transfer that made its signer the token's owner: it sleeps unless that is the last one.
    pub transfer: Option<String>,
}

/// Sorts of acts, as `identity.acts.kind` spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActKind {
    /// Columns of `agents` were set.
    Update,
    /// An agent was INSERTed: everything starts anew.
    Insert,
    /// The rows were deleted.
    Delete,
    /// Deleted rows were brought back.
    Restore,
    /// Capabilities were set or removed.
    Capability,
}

impl ActKind {
    /// Reads the column.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "update" => Self::Update,
            "insert" => Self::Insert,
            "delete" => Self::Delete,
            "restore" => Self::Restore,
            "capability" => Self::Capability,
            _ => return None,
        })
    }
}

/// Words of `admin_status`: what the operator says of an agent.
pub const ADMIN_STATUSES: [&str; 3] = ["ACTIVE", "INACTIVE", SUSPENDED];

/// Whom the operator suspended.
pub const SUSPENDED: &str = "SUSPENDED";

/// Words of `liveness`: whether an agent beats.
pub const LIVENESSES: [&str; 3] = ["unknown", "active", "inactive"];

/// Words of `load`: whether an agent takes work.
pub const LOADS: [&str; 2] = ["AVAILABLE", "BUSY"];

/// VEXEL's enum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "identity.runtime_status", rename_all = "UPPERCASE")]
pub enum RuntimeStatus {
    /// Operational.
    Active,
    /// Paused; may return.
    Sleep,
    /// Ended.
    Terminated,
}

impl RuntimeStatus {
    /// Its spelling in rows, JSON and the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Sleep => "SLEEP",
            Self::Terminated => "TERMINATED",
        }
    }

    /// Reads its spelling; case does not matter to people.
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_uppercase().as_str() {
            "ACTIVE" => Some(Self::Active),
            "SLEEP" => Some(Self::Sleep),
            "TERMINATED" => Some(Self::Terminated),
            _ => None,
        }
    }

    /// The code of `AgentStatus.sol` (`model.md` §4).
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Active),
            1 => Some(Self::Sleep),
            2 => Some(Self::Terminated),
            _ => None,
        }
    }
}
