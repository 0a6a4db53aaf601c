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
    /// An event that names its agent by address alone.
    Of {
        /// The address.
        account: Address,
    },
    /// The contract itself has another owner.
    Noted,
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
            Self::Of { .. } | Self::Noted => None,
        }
    }

    /// The address that it names, where it names one.
    pub fn account(&self) -> Option<Address> {
        match self {
            Self::Enrolled { account, .. }
            | Self::Deactivated { account, .. }
            | Self::Of { account } => Some(*account),
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
        topics::OWNERSHIP => ("OwnershipTransferred", |_| Ok(Vexel::Noted)),
        topics::DID_REGISTERED => ("AgentRegistered", registered),
        topics::DID_UPDATED => ("AgentUpdated", updated),
        topics::DID_STATUS => ("AgentStatusChanged", status),
        topics::DID_CAPABILITY => ("CapabilityAdded", capability),
        topics::ADDRESS_REGISTERED => ("AgentRegistered", of_address),
        topics::ADDRESS_UPDATED => ("AgentUpdated", of_address),
        topics::ADDRESS_STATUS => ("AgentStatusChanged", of_address),
        topics::ADDRESS_CAPABILITY => ("CapabilityAdded", of_address),
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
        Ok(Vexel::Noted) => ("OwnershipTransferred", json!({})),
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
        Ok(Vexel::Status { did, status }) => (
            "AgentStatusChanged",
            json!({ "did": did, "status": status }),
        ),
        Ok(Vexel::Capability { did, name, value }) => (
            "CapabilityAdded",
            json!({ "did": did, "name": text(&name), "value": text(&value) }),
        ),
        Ok(Vexel::Of { account }) => {
            let name = match log.topic0() {
                Some(topics::ADDRESS_REGISTERED) => "AgentRegistered",
                Some(topics::ADDRESS_UPDATED) => "AgentUpdated",
                Some(topics::ADDRESS_STATUS) => "AgentStatusChanged",
                _ => "CapabilityAdded",
            };
            (name, json!({ "address": account.to_string() }))
        }
    };
    Some((name, fields))
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
    abi::byte(abi::word(&log.data, 1)?)?;
    Ok(Vexel::Status {
        did: did(&log.data)?,
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

fn of_address(log: &Log) -> Read {
    let [_, account] = log.topics.as_slice() else {
        return Err(TOPICS);
    };
    Ok(Vexel::Of {
        account: abi::address(*account)?,
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
mod tests {
    use super::*;

    /// seed-systems §8, computed with Python's keccak.
    const VECTOR: [(B256, &str); 14] = [
        (
            topics::REGISTERED,
            "6054c1c53f51c68fd6a5221be39b6060a47666f8773d065cbf723f6c52230b38",
        ),
        (
            topics::RECORDED,
            "3e919d2e1b69ffff4c4ec7b0f8a8458457ebe560ad9214995260087505d89e4c",
        ),
        (
            topics::INACTIVE,
            "20315a64aeafff6ddff9ae85d63983167bea606c25ebcec6d2901b6c291deb20",
        ),
        (
            topics::DEACTIVATED,
            "91934f0b1f0a6921a5fe3717b6e58911ec51866ebe14f17b60fde90d91bce3fe",
        ),
        (
            topics::THRESHOLD,
            "b75a85683a4e4ad8349660164c390cb633ee20f69f3e33eb3774cfe9f20a943e",
        ),
        (
            topics::OWNERSHIP,
            "8be0079c531659141344cd1fd0a4f28419497f9722a3daafe3b4186f6b6457e0",
        ),
        (
            topics::DID_REGISTERED,
            "53c446a7912478711ee31107861cc7724b2bcf5a2a79b61e718f8372112c3cd4",
        ),
        (
            topics::ADDRESS_REGISTERED,
            "7771fdb42cd4f4d653152f52b0c12e2ffedfa34c325696966737576242ed810d",
        ),
        (
            topics::DID_UPDATED,
            "cc495127ac462ef2ae4a1d9dd66812b086d94af2fb21bfa28ca2acfe08ec4690",
        ),
        (
            topics::ADDRESS_UPDATED,
            "a2c9530e3d0bc4c899db52361ec84bcc1c9f87a5b7d1b584b3de374f36d7a189",
        ),
        (
            topics::DID_STATUS,
            "bec7f40cd1b756b8b948f7843c16f7035e336ba963d7c26b53c98681a3a11d24",
        ),
        (
            topics::ADDRESS_STATUS,
            "618b78a8918b9c4ea0ba1d536d95aa64efb54925e7559eb0a38eb509e7a99f55",
        ),
        (
            topics::DID_CAPABILITY,
            "5216bbe52b28f3cb220f4eb817acdbac804c0fc355651b42635836ad53d003e7",
        ),
        (
            topics::ADDRESS_CAPABILITY,
            "68475087e8bcbbc4e772ababe17ac18ab6c208c91a6082008d0fbc1fc29be6e9",
        ),
    ];

    #[test]
    fn topics_are_those_of_both_event_sets() {
        for (topic, expected) in VECTOR {
            assert_eq!(alloy::hex::encode(topic), expected);
        }
    }

    fn log(topics: Vec<B256>, data: Vec<u8>) -> Log {
        Log {
            chain: 1,
            block_number: 1,
            block_hash: B256::ZERO,
            block_time: None,
            tx_hash: B256::ZERO,
            tx_index: 0,
            log_index: 0,
            address: Address::ZERO,
            topics,
            data: data.into(),
        }
    }

    fn encoded(event: &impl alloy::sol_types::SolEvent) -> Log {
        let data = event.encode_log_data();
        log(data.topics().to_vec(), data.data.to_vec())
    }

    #[test]
    fn each_event_says_what_was_emitted() {
        use events::{ByAddress, Heartbeat, Registry};
        let (hash, account) = (keccak256(b"did:vexel:agent1"), Address::repeat_byte(7));
        assert_eq!(
            alloy::hex::encode(hash),
            "beb56bdbc46d3f159f48c27c50fa8514e0989b904d0bd7922af0ac7477b8e548"
        );
        let did = "did:vexel:agent1".to_owned();
        let number = kernel::U256::from(86_400);
        let said = |log: &Log| vexel(log).expect("one of theirs").expect("well-formed");
        for (log, expected) in [
            (
                encoded(&Heartbeat::AgentRegistered {
                    did: hash,
                    agent: account,
                    threshold: number,
                }),
                Vexel::Enrolled { hash, account },
            ),
            (
                encoded(&Heartbeat::HeartbeatRecorded {
                    did: hash,
                    time: number,
                }),
                Vexel::Beat { hash },
            ),
            (
                encoded(&Heartbeat::InactivityDetected {
                    did: hash,
                    last: number,
                    time: number,
                }),
                Vexel::Inactive { hash },
            ),
            (
                encoded(&Heartbeat::AgentDeactivated {
                    did: hash,
                    agent: account,
                }),
                Vexel::Deactivated { hash, account },
            ),
            (
                encoded(&Registry::AgentStatusChanged {
                    did: did.clone(),
                    previous: 0,
                    current: 2,
                }),
                Vexel::Status {
                    did: did.clone(),
                    status: 2,
                },
            ),
            (
                encoded(&Registry::AgentUpdated {
                    did: did.clone(),
                    name: "N".to_owned(),
                    ipfsHash: "Qm".to_owned(),
                }),
                Vexel::Updated {
                    did: did.clone(),
                    name: "N".into(),
                    ipfs_hash: "Qm".into(),
                },
            ),
            (
                encoded(&Registry::CapabilityAdded {
                    did: did.clone(),
                    name: "N".to_owned(),
                    value: "v".to_owned(),
                }),
                Vexel::Capability {
                    did,
                    name: "N".into(),
                    value: "v".into(),
                },
            ),
            (
                encoded(&ByAddress::AgentStatusChanged {
                    agent: account,
                    previous: 0,
                    current: 1,
                }),
                Vexel::Of { account },
            ),
        ] {
            assert_eq!(said(&log), expected);
            assert!(shown(&log).is_some());
        }
        let registered = encoded(&Registry::AgentRegistered {
            owner: account,
            did: "did:vexel:agent1".to_owned(),
            name: "N".to_owned(),
            description: "D".to_owned(),
            ipfsHash: keccak256(b"Qm"),
        });
        assert_eq!(said(&registered).hash(), Some(hash));
        assert_eq!(said(&registered).account(), Some(account));
    }

    #[test]
    fn what_is_not_so_encoded_is_malformed_and_never_guessed_at() {
        let short = |topic0: B256| log(vec![topic0], vec![]);
        for (topic, _) in VECTOR {
            if topic != topics::OWNERSHIP {
                assert!(vexel(&short(topic)).expect("one of theirs").is_err());
            }
        }
        let long = format!("did:x:{}", "a".repeat(300));
        for did in ["", "agent1", "did:x:\n", &long] {
            let changed = encoded(&events::Registry::AgentStatusChanged {
                did: did.to_owned(),
                previous: 0,
                current: 1,
            });
            assert!(vexel(&changed).expect("one of theirs").is_err(), "{did}");
        }
        assert!(vexel(&log(vec![B256::ZERO], vec![])).is_none());
        assert!(vexel(&log(vec![], vec![])).is_none());
    }
}
