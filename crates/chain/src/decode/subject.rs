//! Which token a log speaks of.

use kernel::{Address, B256, Token, U256};

use crate::{contracts::topics, log::Log};

/// The contracts of one chain that are believed. Logs of all others say nothing: anybody can emit
/// anything (the registry's bare implementation has real registrations made by mistake).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registries {
    /// Identity registries, the proxies; short names belong to the first.
    pub identity: Vec<Address>,
    /// `AgentStatus` contracts.
    pub status: Vec<Address>,
    /// VEXEL's contracts, `AgentHeartbeat` and `AgentRegistry`: their events tell them apart.
    pub vexel: Vec<Address>,
}

/// The token that `log` speaks of, if it is a log of a believed contract that names one.
///
/// A status log names its registry itself, and its contract asks that registry who may speak:
/// so the registry must be believed, too.
pub fn subject(log: &Log, registries: &Registries) -> Option<Token> {
    let topic0 = log.topic0()?;
    if registries.identity.contains(&log.address) {
        let id = registry_id(topic0, log)?;
        return Some(Token {
            chain: log.chain,
            registry: log.address,
            id,
        });
    }
    if registries.status.contains(&log.address) && topics::OF_STATUS.contains(&topic0) {
        let registry = crate::abi::address(*log.topics.get(1)?).ok()?;
        let id = number(log.topics.get(2)?);
        let believed = registries.identity.contains(&registry);
        return believed.then_some(Token {
            chain: log.chain,
            registry,
            id,
        });
    }
    None
}

/// The agentId in a registry's log. ERC-4906's `MetadataUpdate` does not index its id.
fn registry_id(topic0: B256, log: &Log) -> Option<U256> {
    match topic0 {
        topics::TRANSFER | topics::APPROVAL => log.topics.get(3).map(number),
        topics::REGISTERED | topics::URI_UPDATED | topics::METADATA_SET => {
            log.topics.get(1).map(number)
        }
        topics::METADATA_UPDATE => crate::abi::word(&log.data, 0).ok().as_ref().map(number),
        _ => None,
    }
}

fn number(word: &B256) -> U256 {
    U256::from_be_bytes(word.0)
}
