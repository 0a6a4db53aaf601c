//! The chains of a journal: each entry names the one before it that speaks of the same agent.

use std::{
    collections::{HashMap, hash_map},
    fmt,
};

use kernel::{AgentId, Cid};

use crate::entry::Entry;

/// How a chain breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Break {
    agent: Option<AgentId>,
    prev: Option<String>,
    first: bool,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.agent {
            Some(agent) => write!(f, "the entry about {agent} ")?,
            None => f.write_str("the entry about no agent ")?,
        }
        match &self.prev {
            Some(prev) => write!(f, "names {prev} as the one before it, ")?,
            None => f.write_str("names none before it, ")?,
        }
        f.write_str(if self.first {
            "but it is the first"
        } else {
            "which is not the last one before it in the log"
        })
    }
}

/// The last entry of each chain by the first half of its digest: everything that is compared is under the signed
/// root already, so this is about mistakes, and logs have millions of agents.
#[derive(Debug)]
pub(super) struct Chains {
    last: HashMap<Option<AgentId>, [u8; 16]>,
    /// Whether entries before those that were given are none.
    whole: bool,
}

impl Chains {
    pub(super) fn new(whole: bool) -> Self {
        Self {
            last: HashMap::new(),
            whole,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.last.len() as u64
    }

    /// Holds the next entry, with its bytes, against its chain.
    pub(super) fn add(&mut self, entry: &Entry, bytes: &[u8]) -> Result<(), Break> {
        let broken = |first| Break {
            agent: entry.agent,
            prev: entry.prev.clone(),
            first,
        };
        let digest = half(&Entry::cid_of(bytes)).ok_or(broken(false))?;
        let prev = entry.prev.as_deref();
        match self.last.entry(entry.agent) {
            hash_map::Entry::Vacant(_) if self.whole && prev.is_some() => Err(broken(true)),
            hash_map::Entry::Vacant(slot) => {
                slot.insert(digest);
                Ok(())
            }
            hash_map::Entry::Occupied(mut last) => {
                let prev = prev.and_then(|prev| half(&Cid::try_from(prev).ok()?));
                if prev.as_ref() != Some(last.get()) {
                    return Err(broken(false));
                }
                last.insert(digest);
                Ok(())
            }
        }
    }
}

fn half(cid: &Cid) -> Option<[u8; 16]> {
    cid.hash().digest().first_chunk().copied()
}
