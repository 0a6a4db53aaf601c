//! VEXEL's contracts: `AgentHeartbeat`, which knows agents by keccak-256 of their DID, and `AgentRegistry`, of which two
//! sets of events are in use: one names agents by DID, the other (its subgraph's) by address.
//!
//! The signatures are facts about deployed contracts; nothing of their sources stands here.

use kernel::{Address, B256, Bytes, keccak256};
use serde_json::{Value, json};

use crate::{abi, decode::Malformed, log::Log};

/// VEXEL's events by their signatures.
mod events {
    use alloy::sol;

    sol! {
        interface Heartbeat {
            event AgentRegistered(bytes32 indexed did, address indexed agent, uint256 threshold);
            event HeartbeatRecorded(bytes32 indexed did, uint256 time);
            event InactivityDetected(bytes32 indexed did, uint256 last, uint256 time);
            event AgentDeactivated(bytes32 indexed did, address indexed agent);
            event InactivityThresholdUpdated(bytes32 indexed did, uint256 threshold);
            event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);
        }

        interface Registry {
            event AgentRegistered(
                address indexed owner, string did, string name, string description, string indexed ipfsHash
            );
            event AgentUpdated(string did, string name, string ipfsHash);
            event AgentStatusChanged(string did, uint8 previous, uint8 current);
            event CapabilityAdded(string did, string name, string value);
        }

        interface ByAddress {
            event AgentRegistered(address indexed agent, string did, string name, string ipfsHash);
            event AgentUpdated(address indexed agent, string name, string ipfsHash);
            event AgentStatusChanged(address indexed agent, uint8 previous, uint8 current);
            event CapabilityAdded(address indexed agent, string name, string value);
        }
    }
}

/// topic0 of each event.
pub mod topics {
    use alloy::sol_types::SolEvent;
    use kernel::B256;

    use super::events::{ByAddress as A, Heartbeat as H, Registry as R};

    /// `AgentHeartbeat.AgentRegistered`.
    pub const REGISTERED: B256 = H::AgentRegistered::SIGNATURE_HASH;
    /// `HeartbeatRecorded`.
    pub const RECORDED: B256 = H::HeartbeatRecorded::SIGNATURE_HASH;
    /// `InactivityDetected`.
    pub const INACTIVE: B256 = H::InactivityDetected::SIGNATURE_HASH;
    /// `AgentDeactivated`.
    pub const DEACTIVATED: B256 = H::AgentDeactivated::SIGNATURE_HASH;
    /// `InactivityThresholdUpdated`.
    pub const THRESHOLD: B256 = H::InactivityThresholdUpdated::SIGNATURE_HASH;
    /// `OwnershipTransferred`, of the heartbeat contract itself.
    pub const OWNERSHIP: B256 = H::OwnershipTransferred::SIGNATURE_HASH;
    /// `AgentRegistry.AgentRegistered`, by DID.
    pub const DID_REGISTERED: B256 = R::AgentRegistered::SIGNATURE_HASH;
    /// `AgentUpdated`, by DID.
    pub const DID_UPDATED: B256 = R::AgentUpdated::SIGNATURE_HASH;
    /// `AgentStatusChanged`, by DID.
    pub const DID_STATUS: B256 = R::AgentStatusChanged::SIGNATURE_HASH;
    /// `CapabilityAdded`, by DID.
    pub const DID_CAPABILITY: B256 = R::CapabilityAdded::SIGNATURE_HASH;
    /// The same, by address.
    pub const ADDRESS_REGISTERED: B256 = A::AgentRegistered::SIGNATURE_HASH;
    /// The same, by address.
    pub const ADDRESS_UPDATED: B256 = A::AgentUpdated::SIGNATURE_HASH;
    /// The same, by address.
    pub const ADDRESS_STATUS: B256 = A::AgentStatusChanged::SIGNATURE_HASH;
    /// The same, by address.
    pub const ADDRESS_CAPABILITY: B256 = A::CapabilityAdded::SIGNATURE_HASH;
}

/// The longest DID that a row can hold.
const LONGEST_DID: usize = 255;

/// What a log of VEXEL's says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vexel {
    /// Somebody, anybody, registered an address for a DID's hash.
    Enrolled {
        /// keccak-256 of the DID.
        hash: B256,
        /// The address that shall beat.
        account: Address,
    },
    /// The address, or the contract's owner, beat.
    Beat {
        /// keccak-256 of the DID.
        hash: B256,
    },
    /// No beat came within the threshold.
    Inactive {
        /// keccak-256 of the DID.
        hash: B256,
    },
    /// It never beats again.
    Deactivated {
        /// keccak-256 of the DID.
        hash: B256,
        /// The agent's address.
        account: Address,
    },
    /// Another threshold.
    Threshold {
        /// keccak-256 of the DID.
        hash: B256,
    },
    /// An agent was registered under its DID.
    Registered {
        /// Its DID as it was given.
        did: String,
        /// Whose it is.
        owner: Address,
        /// Raw bytes.
        name: Bytes,
        /// Raw bytes.
        description: Bytes,
    },
    /// Its name and file were set.
    Updated {
        /// Its DID as it was given.
        did: String,
        /// Raw bytes.
        name: Bytes,
        /// Raw bytes.
        ipfs_hash: Bytes,
    },
    /// Its status was set.
    Status {
        /// Its DID as it was given.
        did: String,
        /// What it was, by the contract's word.
        previous: u8,
        /// 0 ACTIVE, 1 SLEEP, 2 TERMINATED; unknown ones happen.
        status: u8,
    },
    /// A capability was added, or set anew.
    Capability {
        /// Its DID as it was given.
        did: String,
        /// Raw bytes.
        name: Bytes,
        /// Raw bytes.
        value: Bytes,
    },
    /// An event that names its agent by address.
    Of {
        /// The address.
        account: Address,
        /// What is said of it.
        said: OfAddress,
    },
    /// The contract itself has another owner.
    Ownership {
        /// Who it was.
        previous: Address,
        /// Who it is.
        owner: Address,
    },
}

/// What the events say that name their agents by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfAddress {
    /// An agent was registered.
    Registered {
        /// Its DID as it was given.
        did: String,
        /// Raw bytes.
        name: Bytes,
        /// Raw bytes.
        ipfs_hash: Bytes,
    },
    /// Its name and file were set.
    Updated {
        /// Raw bytes.
        name: Bytes,
        /// Raw bytes.
        ipfs_hash: Bytes,
    },
    /// Its status was set.
    Status {
        /// What it was, by the contract's word.
        previous: u8,
        /// 0 ACTIVE, 1 SLEEP, 2 TERMINATED; unknown ones happen.
        status: u8,
    },
    /// A capability was added, or set anew.
    Capability {
        /// Raw bytes.
        name: Bytes,
        /// Raw bytes.
        value: Bytes,
    },
}

impl Vexel {
    /// keccak-256 of the DID that it is about, where it is about one.
    pub fn hash(&self) -> Option<B256> {
        match self {
            Self::Enrolled { hash, .. }
            | Self::Beat { hash }
            | Self::Inactive { hash }
            | Self::Deactivated { hash, .. }
            | Self::Threshold { hash } => Some(*hash),
            Self::Registered { did, .. }
            | Self::Updated { did, .. }
            | Self::Status { did, .. }
            | Self::Capability { did, .. } => Some(keccak256(did.as_bytes())),
            Self::Of { .. } | Self::Ownership { .. } => None,
        }
    }

    /// The address that it names, where it names one.
    pub fn account(&self) -> Option<Address> {
        match self {
            Self::Enrolled { account, .. }
            | Self::Deactivated { account, .. }
            | Self::Of { account, .. } => Some(*account),
            Self::Registered { owner, .. } => Some(*owner),
            _ => None,
        }
    }
}

/// Reads a log of one of VEXEL's contracts; `None` where it is none of their events.
pub fn vexel(log: &Log) -> Option<Result<Vexel, Malformed>> {
    let (name, read): (&'static str, fn(&Log) -> Read) = match log.topic0()? {
        topics::REGISTERED => ("AgentRegistered", enrolled),
        topics::RECORDED => ("HeartbeatRecorded", |log| {
            Ok(Vexel::Beat {
                hash: hash(log, 1)?,
            })
        }),
        topics::INACTIVE => ("InactivityDetected", |log| {
            Ok(Vexel::Inactive {
                hash: hash(log, 2)?,
            })
        }),
        topics::DEACTIVATED => ("AgentDeactivated", deactivated),
        topics::THRESHOLD => ("InactivityThresholdUpdated", |log| {
            Ok(Vexel::Threshold {
                hash: hash(log, 1)?,
            })
        }),
        topics::OWNERSHIP => ("OwnershipTransferred", ownership),
        topics::DID_REGISTERED => ("AgentRegistered", registered),
        topics::DID_UPDATED => ("AgentUpdated", updated),
        topics::DID_STATUS => ("AgentStatusChanged", status),
        topics::DID_CAPABILITY => ("CapabilityAdded", capability),
        topics::ADDRESS_REGISTERED => ("AgentRegistered", registered_address),
        topics::ADDRESS_UPDATED => ("AgentUpdated", updated_address),
        topics::ADDRESS_STATUS => ("AgentStatusChanged", status_of_address),
        topics::ADDRESS_CAPABILITY => ("CapabilityAdded", capability_of_address),
        _ => return None,
    };
    Some(read(log).map_err(Malformed::of(name)))
}

/// An event for people and programs: its name and its fields as text. What cannot be read has no fields.
pub fn shown(log: &Log) -> Option<(&'static str, Value)> {
    let said = vexel(log)?;
    let text = |bytes: &Bytes| kernel::clean_text(bytes).value;
    let (name, fields) = match said {
        Err(malformed) => (malformed.what, json!({ "malformed": malformed.why })),
        Ok(Vexel::Enrolled { account, .. }) => {
            ("AgentRegistered", json!({ "address": account.to_string() }))
        }
        Ok(Vexel::Beat { .. }) => ("HeartbeatRecorded", json!({})),
        Ok(Vexel::Inactive { .. }) => ("InactivityDetected", json!({})),
        Ok(Vexel::Deactivated { account, .. }) => (
            "AgentDeactivated",
            json!({ "address": account.to_string() }),
        ),
        Ok(Vexel::Threshold { .. }) => ("InactivityThresholdUpdated", json!({})),
        Ok(Vexel::Ownership { previous, owner }) => (
            "OwnershipTransferred",
            json!({ "previous_owner": previous.to_string(), "owner": owner.to_string() }),
        ),
        Ok(Vexel::Registered {
            did,
            owner,
            name,
            description,
        }) => (
            "AgentRegistered",
            json!({ "did": did, "owner": owner.to_string(), "name": text(&name), "description": text(&description) }),
        ),
        Ok(Vexel::Updated {
            did,
            name,
            ipfs_hash,
        }) => (
            "AgentUpdated",
            json!({ "did": did, "name": text(&name), "ipfs_hash": text(&ipfs_hash) }),
        ),
        Ok(Vexel::Status {
            did,
            previous,
            status,
        }) => (
            "AgentStatusChanged",
            json!({ "did": did, "previous": previous, "status": status }),
        ),
        Ok(Vexel::Capability { did, name, value }) => (
            "CapabilityAdded",
            json!({ "did": did, "name": text(&name), "value": text(&value) }),
        ),
        Ok(Vexel::Of { account, said }) => shown_of(account, &said),
    };
    Some((name, fields))
}

/// The same of an event that names its agent by address.
fn shown_of(account: Address, said: &OfAddress) -> (&'static str, Value) {
    let address = account.to_string();
    let text = |bytes: &Bytes| kernel::clean_text(bytes).value;
    match said {
        OfAddress::Registered {
            did,
            name,
            ipfs_hash,
        } => (
            "AgentRegistered",
            json!({ "address": address, "did": did, "name": text(name), "ipfs_hash": text(ipfs_hash) }),
        ),
        OfAddress::Updated { name, ipfs_hash } => (
            "AgentUpdated",
            json!({ "address": address, "name": text(name), "ipfs_hash": text(ipfs_hash) }),
        ),
        OfAddress::Status { previous, status } => (
            "AgentStatusChanged",
            json!({ "address": address, "previous": previous, "status": status }),
        ),
        OfAddress::Capability { name, value } => (
            "CapabilityAdded",
            json!({ "address": address, "name": text(name), "value": text(value) }),
        ),
    }
}

type Read = Result<Vexel, &'static str>;

const TOPICS: &str = "the number of topics is wrong";

/// The hash of an event with no other topic and `words` words of data.
fn hash(log: &Log, words: usize) -> Result<B256, &'static str> {
    let [_, hash] = log.topics.as_slice() else {
        return Err(TOPICS);
    };
    abi::word(&log.data, words - 1)?;
    Ok(*hash)
}

/// The hash and the address of an event that indexes both.
fn hash_and_account(log: &Log) -> Result<(B256, Address), &'static str> {
    let [_, hash, account] = log.topics.as_slice() else {
        return Err(TOPICS);
    };
    Ok((*hash, abi::address(*account)?))
}

fn enrolled(log: &Log) -> Read {
    let (hash, account) = hash_and_account(log)?;
    abi::word(&log.data, 0)?;
    Ok(Vexel::Enrolled { hash, account })
}

fn deactivated(log: &Log) -> Read {
    let (hash, account) = hash_and_account(log)?;
    Ok(Vexel::Deactivated { hash, account })
}

fn registered(log: &Log) -> Read {
    let [_, owner, _ipfs_hash] = log.topics.as_slice() else {
        return Err(TOPICS);
    };
    Ok(Vexel::Registered {
        owner: abi::address(*owner)?,
        did: did(&log.data)?,
        name: abi::dynamic(&log.data, 1)?,
        description: abi::dynamic(&log.data, 2)?,
    })
}

fn updated(log: &Log) -> Read {
    only_topic0(log)?;
    Ok(Vexel::Updated {
        did: did(&log.data)?,
        name: abi::dynamic(&log.data, 1)?,
        ipfs_hash: abi::dynamic(&log.data, 2)?,
    })
}

fn status(log: &Log) -> Read {
    only_topic0(log)?;
    Ok(Vexel::Status {
        did: did(&log.data)?,
        previous: abi::byte(abi::word(&log.data, 1)?)?,
        status: abi::byte(abi::word(&log.data, 2)?)?,
    })
}

fn capability(log: &Log) -> Read {
    only_topic0(log)?;
    Ok(Vexel::Capability {
        did: did(&log.data)?,
        name: abi::dynamic(&log.data, 1)?,
        value: abi::dynamic(&log.data, 2)?,
    })
}

fn registered_address(log: &Log) -> Read {
    let said = OfAddress::Registered {
        did: did(&log.data)?,
        name: abi::dynamic(&log.data, 1)?,
        ipfs_hash: abi::dynamic(&log.data, 2)?,
    };
    of_address(log, said)
}

fn updated_address(log: &Log) -> Read {
    let said = OfAddress::Updated {
        name: abi::dynamic(&log.data, 0)?,
        ipfs_hash: abi::dynamic(&log.data, 1)?,
    };
    of_address(log, said)
}

fn status_of_address(log: &Log) -> Read {
    let said = OfAddress::Status {
        previous: abi::byte(abi::word(&log.data, 0)?)?,
        status: abi::byte(abi::word(&log.data, 1)?)?,
    };
    of_address(log, said)
}

fn capability_of_address(log: &Log) -> Read {
    let said = OfAddress::Capability {
        name: abi::dynamic(&log.data, 0)?,
        value: abi::dynamic(&log.data, 1)?,
    };
    of_address(log, said)
}

/// The address of an event that indexes nothing else.
fn of_address(log: &Log, said: OfAddress) -> Read {
    let [_, account] = log.topics.as_slice() else {
        return Err(TOPICS);
    };
    Ok(Vexel::Of {
        account: abi::address(*account)?,
        said,
    })
}

fn ownership(log: &Log) -> Read {
    let [_, previous, owner] = log.topics.as_slice() else {
        return Err(TOPICS);
    };
    Ok(Vexel::Ownership {
        previous: abi::address(*previous)?,
        owner: abi::address(*owner)?,
    })
}

fn only_topic0(log: &Log) -> Result<(), &'static str> {
    if log.topics.len() == 1 {
        Ok(())
    } else {
        Err(TOPICS)
    }
}

/// The DID in the data's first place.
fn did(data: &Bytes) -> Result<String, &'static str> {
    let bytes = abi::dynamic(data, 0)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "the DID is no UTF-8")?;
    let fits = text.starts_with("did:")
        && text.len() <= LONGEST_DID
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        Ok(text.to_owned())
    } else {
        Err("what should be a DID is none")
    }
}

#[cfg(test)]
mod tests;
