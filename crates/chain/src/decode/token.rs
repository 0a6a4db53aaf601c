//! What all logs of one token say, taken together.
//!
//! The registry calls the receiver in the middle of a registration, so its later events lie about
//! what the callback did (three reproducible cases in `erc-8004-and-1056.md` §1). The rules that
//! make events equal the state:
//! - the owner comes from `Transfer` alone, never from `Registered.owner`;
//! - the wallet is the receiver at the mint; the `MetadataSet(agentWallet)` directly after
//!   `Registered` is old news and ignored; every transfer clears it by a `MetadataSet` of its own;
//! - `Registered`'s URI counts only if the registry wrote it, which shows as a `MetadataUpdate`
//!   directly before; `URIUpdated`'s always counts.
//!
//! "Directly" is log index ± 1 in the same transaction and contract.

use std::borrow::Borrow;

use kernel::{Address, Bytes};

use super::{
    event::{Event, WALLET_KEY},
    said::{Malformed, Said},
};
use crate::log::Log;

/// Which of the telling topics the source holds at all: a recorded file may lack some, and then
/// what they would have said is taken from the next best event, unconfirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenTopics {
    /// `Transfer`.
    pub transfer: bool,
    /// `MetadataUpdate`.
    pub metadata_update: bool,
    /// `MetadataSet`.
    pub metadata_set: bool,
}

impl SeenTopics {
    /// A source that holds everything, as a node does.
    pub const ALL: Self = Self {
        transfer: true,
        metadata_update: true,
        metadata_set: true,
    };

    /// What a file says that it holds.
    pub fn declared(held: &[kernel::B256]) -> Self {
        use crate::contracts::topics;
        Self {
            transfer: held.contains(&topics::TRANSFER),
            metadata_update: held.contains(&topics::METADATA_UPDATE),
            metadata_set: held.contains(&topics::METADATA_SET),
        }
    }

    /// What a recorded file holds: a topic of which it has no log at all counts as left out.
    pub fn of<'a>(logs: impl IntoIterator<Item = &'a Log>) -> Self {
        use crate::contracts::topics;
        let mut seen = Self {
            transfer: false,
            metadata_update: false,
            metadata_set: false,
        };
        for log in logs {
            match log.topic0() {
                Some(topics::TRANSFER) => seen.transfer = true,
                Some(topics::METADATA_UPDATE) => seen.metadata_update = true,
                Some(topics::METADATA_SET) => seen.metadata_set = true,
                _ => {}
            }
        }
        seen
    }
}

/// What each of `logs` says. They are all logs of one token (by [`super::subject()`]), in chain
/// order; each is answered at least once, with its index, in the same order.
pub fn decode_token(
    logs: &[impl Borrow<Log>],
    topics: SeenTopics,
) -> Vec<(usize, Result<Said, Malformed>)> {
    let events: Vec<_> = logs.iter().map(|log| Event::of(log.borrow())).collect();
    let mut out = Vec::with_capacity(logs.len() + 4);
    for (index, event) in events.iter().enumerate() {
        let mut say = |said| out.push((index, said));
        match event {
            Err(malformed) => say(Err(*malformed)),
            Ok(event) => {
                let before = neighbour_before(logs, &events, index);
                say_event(event, before, topics, &mut |said| say(said));
            }
        }
    }
    out
}

/// The event directly before log `index`, if it is one of this token.
fn neighbour_before<'a>(
    logs: &[impl Borrow<Log>],
    events: &'a [Result<Event, Malformed>],
    index: usize,
) -> Option<&'a Event> {
    let before = index.checked_sub(1)?;
    logs[before]
        .borrow()
        .directly_before(logs[index].borrow())
        .then_some(events[before].as_ref().ok()?)
}

type Say<'a> = &'a mut dyn FnMut(Result<Said, Malformed>);

fn say_event(event: &Event, before: Option<&Event>, topics: SeenTopics, say: Say<'_>) {
    match event {
        Event::Transfer { from, to } => transfer(*from, *to, topics, say),
        Event::Registered { uri, owner } => registered(uri, *owner, before, topics, say),
        Event::Metadata { key, value } if key.as_ref() == WALLET_KEY => {
            wallet(value, before, topics, say);
        }
        Event::Metadata { key, value } => {
            say(Ok(Said::MetadataSet {
                key: key.clone(),
                value: value.clone(),
            }));
        }
        Event::UriUpdated { uri } => say(Ok(Said::UriSet {
            uri: uri.clone(),
            confirmed: true,
        })),
        Event::StatusSet {
            status,
            reason,
            speaker,
        } => say(Ok(Said::StatusSet {
            status: *status,
            reason: reason.clone(),
            speaker: *speaker,
        })),
        Event::Heartbeat => say(Ok(Said::Heartbeat)),
        Event::Approval { approved } => say(Ok(Said::Approved {
            approved: some(*approved),
        })),
        Event::MetadataUpdate | Event::Other => say(Ok(Said::Noted)),
    }
}

/// A transfer to oneself is a transfer. Where `MetadataSet` was left out, the wallet's fate at a
/// transfer is still known from the contract's code, but not what came after.
fn transfer(from: Address, to: Address, topics: SeenTopics, say: Say<'_>) {
    match (some(from), some(to)) {
        (None, None) => {
            say(Err(Malformed {
                what: "Transfer",
                why: "from nobody to nobody",
            }));
        }
        (None, Some(owner)) => {
            say(Ok(Said::Founded {
                owner,
                confirmed: true,
            }));
            say(Ok(Said::WalletSet {
                wallet: Some(owner),
                confirmed: topics.metadata_set,
            }));
        }
        (Some(from), None) => say(Ok(Said::Burned { from })),
        (Some(from), Some(to)) => {
            say(Ok(Said::OwnerMoved { from, to }));
            if !topics.metadata_set {
                say(Ok(Said::WalletSet {
                    wallet: None,
                    confirmed: false,
                }));
            }
        }
    }
}

fn registered(
    uri: &Bytes,
    owner: Address,
    before: Option<&Event>,
    topics: SeenTopics,
    say: Say<'_>,
) {
    if !topics.transfer {
        say(Ok(Said::Founded {
            owner,
            confirmed: false,
        }));
    }
    let written = matches!(before, Some(Event::MetadataUpdate));
    if written || !topics.metadata_update {
        say(Ok(Said::UriSet {
            uri: uri.clone(),
            confirmed: written,
        }));
    } else if topics.transfer {
        say(Ok(Said::Noted));
    }
}

fn wallet(value: &Bytes, before: Option<&Event>, topics: SeenTopics, say: Say<'_>) {
    let of_registration = matches!(before, Some(Event::Registered { .. }));
    if of_registration && topics.transfer {
        return say(Ok(Said::Noted));
    }
    let wallet = match value.len() {
        0 => None,
        20 => some(Address::from_slice(value)),
        _ => {
            let why = "a wallet is neither empty nor 20 bytes";
            return say(Err(Malformed {
                what: "MetadataSet",
                why,
            }));
        }
    };
    say(Ok(Said::WalletSet {
        wallet,
        confirmed: !of_registration,
    }));
}

/// The zero address is Solidity's word for none.
fn some(address: Address) -> Option<Address> {
    (!address.is_zero()).then_some(address)
}

#[cfg(test)]
#[path = "token_test.rs"]
mod tests;
