//! The agents as their contract has them: the oracle, which reads no event.

use std::fmt::Write as _;

use alloy_primitives::{Address, B256};
use md5::{Digest, Md5};

use super::{
    KEYS,
    truth::{Counts, Truth},
};

/// All agents; ids count from 1.
#[derive(Debug, Default)]
pub(super) struct Agents {
    all: Vec<Agent>,
    counts: Counts,
}

#[derive(Debug)]
struct Agent {
    owner: Address,
    /// Who got it first: no event of this chain sets another wallet or clears it.
    wallet: Address,
    /// What `Registered` says.
    registered: String,
    /// What `URIUpdated` said last.
    updated: Option<String>,
    metadata: [Option<B256>; KEYS.len()],
    last_key: Option<usize>,
}

impl Agents {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The new agent's id.
    pub fn mint(&mut self, owner: Address, uri: String) -> usize {
        self.counts.transfer += 1;
        self.all.push(Agent {
            owner,
            wallet: owner,
            registered: uri,
            updated: None,
            metadata: [None; KEYS.len()],
            last_key: None,
        });
        self.len()
    }

    /// What is said of the newest agent: id, owner, URI.
    ///
    /// # Panics
    /// Where there is none.
    pub fn registered(&mut self) -> (usize, Address, &str) {
        self.counts.registered += 1;
        let id = self.len();
        let newest = self.all.last().expect("an agent was minted before");
        (id, newest.wallet, &newest.registered)
    }

    /// Gives the owner.
    pub fn set_metadata(&mut self, id: usize, key: usize, value: B256) -> Address {
        self.counts.metadata_set += 1;
        let agent = self.get(id);
        agent.metadata[key] = Some(value);
        agent.last_key = Some(key);
        agent.owner
    }

    /// Gives the owner.
    pub fn set_uri(&mut self, id: usize, uri: String) -> Address {
        self.counts.uri_updated += 1;
        let agent = self.get(id);
        agent.updated = Some(uri);
        agent.owner
    }

    /// Gives the owner before.
    pub fn transfer(&mut self, id: usize, to: Address) -> Address {
        self.counts.transfer += 1;
        std::mem::replace(&mut self.get(id).owner, to)
    }

    pub fn truth(&self, block: u64) -> Truth {
        let (mut said, mut is) = (Lines::default(), Lines::default());
        for (id, agent) in (1..).zip(&self.all) {
            said.add(|line| agent.as_said(id, line));
            is.add(|line| agent.as_is(id, line));
        }
        Truth {
            block,
            agents: self.len() as u64,
            with_uri: self
                .all
                .iter()
                .filter(|agent| agent.updated.is_some())
                .count() as u64,
            events: self.counts,
            as_said: said.digest(),
            as_is: is.digest(),
        }
    }

    /// The lines behind a digest, one for each agent.
    pub fn lines(&self, as_said: bool) -> String {
        let mut text = String::new();
        for (id, agent) in (1..).zip(&self.all) {
            if as_said {
                agent.as_said(id, &mut text);
            } else {
                agent.as_is(id, &mut text);
            }
            text.push('\n');
        }
        text
    }

    fn get(&mut self, id: usize) -> &mut Agent {
        &mut self.all[id - 1]
    }
}

impl Agent {
    /// As an indexer has it that takes every event at its word: the URI of `Registered` too.
    fn as_said(&self, id: usize, line: &mut String) {
        let uri = self.updated.as_ref().unwrap_or(&self.registered);
        let _ = write!(line, "{id}|{:#x}|{uri}|", self.owner);
        if let Some(key) = self.last_key {
            let value = self.metadata[key].unwrap_or_default();
            let _ = write!(line, "{}|{value:#x}", KEYS[key]);
        } else {
            line.push('|');
        }
    }

    /// By the registry's rules: without a `MetadataUpdate` before it `Registered` wrote no URI.
    fn as_is(&self, id: usize, line: &mut String) {
        let uri = self.updated.as_deref().unwrap_or_default();
        let _ = write!(line, "{id}|{:#x}|{:#x}|{uri}|", self.owner, self.wallet);
        let mut separator = "";
        for (key, value) in KEYS.iter().zip(&self.metadata) {
            if let Some(value) = value {
                let _ = write!(line, "{separator}{key}={value:#x}");
                separator = ",";
            }
        }
    }
}

/// Lines that are only ever needed as their hash.
#[derive(Default)]
struct Lines {
    hash: Md5,
    line: String,
    is_open: bool,
}

impl Lines {
    fn add(&mut self, write: impl FnOnce(&mut String)) {
        self.line.clear();
        if self.is_open {
            self.line.push('\n');
        }
        self.is_open = true;
        write(&mut self.line);
        self.hash.update(self.line.as_bytes());
    }

    fn digest(self) -> String {
        hex::encode(self.hash.finalize())
    }
}
