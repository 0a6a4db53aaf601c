//! One log by itself: its event's fields, read strictly.

use kernel::{Address, B256, Bytes, keccak256};

use super::said::Malformed;
use crate::{abi, contracts::topics, log::Log};

/// The metadata key that only the registry's wallet functions write.
pub(crate) const WALLET_KEY: &[u8] = b"agentWallet";

/// `ApprovalForAll`: somebody may act for an owner in all that he owns at a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperatorSet {
    /// The registry that said so; the caller checks that it is believed.
    pub registry: Address,
    /// Who lets.
    pub owner: Address,
    /// Who may.
    pub operator: Address,
    /// Whether from now on he may.
    pub approved: bool,
}

/// ERC-1967's `Upgraded`: the code behind a proxy was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgraded {
    /// The proxy.
    pub contract: Address,
    /// Its code from now on.
    pub implementation: Address,
}

/// Reads an `ApprovalForAll`; `None` where `log` is none.
pub fn operator(log: &Log) -> Option<Result<OperatorSet, Malformed>> {
    let read = || -> Result<OperatorSet, &'static str> {
        let [_, owner, operator] = exact_topics(log)?;
        Ok(OperatorSet {
            registry: log.address,
            owner: abi::address(owner)?,
            operator: abi::address(operator)?,
            approved: abi::boolean(abi::word(&log.data, 0)?)?,
        })
    };
    (log.topic0()? == topics::APPROVAL_FOR_ALL)
        .then(|| read().map_err(Malformed::of("ApprovalForAll")))
}

/// Reads an `Upgraded`; `None` where `log` is none.
pub fn upgraded(log: &Log) -> Option<Result<Upgraded, Malformed>> {
    let read = || -> Result<Upgraded, &'static str> {
        let [_, implementation] = exact_topics(log)?;
        Ok(Upgraded {
            contract: log.address,
            implementation: abi::address(implementation)?,
        })
    };
    (log.topic0()? == topics::UPGRADED).then(|| read().map_err(Malformed::of("Upgraded")))
}

/// An event that speaks of a token, its fields as they stand in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    Transfer {
        from: Address,
        to: Address,
    },
    Approval {
        approved: Address,
    },
    Registered {
        uri: Bytes,
        owner: Address,
    },
    UriUpdated {
        uri: Bytes,
    },
    Metadata {
        key: Bytes,
        value: Bytes,
    },
    MetadataUpdate,
    StatusSet {
        status: u8,
        reason: Bytes,
        speaker: Address,
    },
    Heartbeat,
    Other,
}

impl Event {
    pub(super) fn of(log: &Log) -> Result<Self, Malformed> {
        match log.topic0() {
            Some(topics::TRANSFER) => transfer(log).map_err(Malformed::of("Transfer")),
            Some(topics::APPROVAL) => approval(log).map_err(Malformed::of("Approval")),
            Some(topics::REGISTERED) => registered(log).map_err(Malformed::of("Registered")),
            Some(topics::URI_UPDATED) => uri_updated(log).map_err(Malformed::of("URIUpdated")),
            Some(topics::METADATA_SET) => metadata(log).map_err(Malformed::of("MetadataSet")),
            Some(topics::METADATA_UPDATE) => update(log).map_err(Malformed::of("MetadataUpdate")),
            Some(topics::STATUS_SET) => status(log).map_err(Malformed::of("StatusSet")),
            Some(topics::HEARTBEAT) => heartbeat(log).map_err(Malformed::of("Heartbeat")),
            _ => Ok(Self::Other),
        }
    }
}

type Read = Result<Event, &'static str>;

fn transfer(log: &Log) -> Read {
    let [_, from, to, _id] = exact_topics(log)?;
    Ok(Event::Transfer {
        from: abi::address(from)?,
        to: abi::address(to)?,
    })
}

fn approval(log: &Log) -> Read {
    let [_, owner, approved, _id] = exact_topics(log)?;
    abi::address(owner)?;
    Ok(Event::Approval {
        approved: abi::address(approved)?,
    })
}

fn registered(log: &Log) -> Read {
    let [_, _id, owner] = exact_topics(log)?;
    Ok(Event::Registered {
        uri: abi::dynamic(&log.data, 0)?,
        owner: abi::address(owner)?,
    })
}

fn uri_updated(log: &Log) -> Read {
    let [_, _id, updated_by] = exact_topics(log)?;
    abi::address(updated_by)?;
    Ok(Event::UriUpdated {
        uri: abi::dynamic(&log.data, 0)?,
    })
}

fn metadata(log: &Log) -> Read {
    let [_, _id, key_hash] = exact_topics(log)?;
    let key = abi::dynamic(&log.data, 0)?;
    if keccak256(&key) != key_hash {
        return Err("the key is not the one that is indexed");
    }
    Ok(Event::Metadata {
        key,
        value: abi::dynamic(&log.data, 1)?,
    })
}

fn update(log: &Log) -> Read {
    let [_] = exact_topics(log)?;
    abi::word(&log.data, 0)?;
    Ok(Event::MetadataUpdate)
}

fn status(log: &Log) -> Read {
    let [_, registry, _id] = exact_topics(log)?;
    abi::address(registry)?;
    let status = abi::byte(abi::word(&log.data, 0)?)?;
    if status > 2 {
        return Err("the status is none of ACTIVE, SLEEP and TERMINATED");
    }
    let reason = abi::dynamic(&log.data, 1)?;
    Ok(Event::StatusSet {
        status,
        reason,
        speaker: abi::address(abi::word(&log.data, 2)?)?,
    })
}

fn heartbeat(log: &Log) -> Read {
    let [_, registry, _id] = exact_topics(log)?;
    abi::address(registry)?;
    Ok(Event::Heartbeat)
}

/// The log's topics, if there are exactly `N`.
fn exact_topics<const N: usize>(log: &Log) -> Result<[B256; N], &'static str> {
    log.topics
        .as_slice()
        .try_into()
        .map_err(|_| "the number of topics is wrong")
}
