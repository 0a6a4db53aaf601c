//! Settling: the journal appends what is owed and not said, and retracts what was said and is not owed
//! (`model.md` §5). It is what a rewind, a late fact or a sweep calls for; ordinary steps append directly.

use std::collections::HashSet;

use kernel::AgentId;
use store::Tx;

use crate::{
    append::NewEntry,
    change::Change,
    entry::EntryKind,
    error::{Error, Result},
    said::{SaidChange, net_digests, of_digests},
};

/// What the facts on settled ground owe the journal about an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed<'a> {
    /// The agent. The caller holds its lock.
    pub agent: AgentId,
    /// All its changes, in fold order. What stands there twice is owed once.
    pub changes: &'a [Change],
}

/// What settling gives.
#[derive(Debug, Default)]
pub struct Settling {
    /// What the caller appends in this Tx: agent after agent, first the retraction, then the changes, each only where
    /// there is something to say.
    pub entries: Vec<NewEntry>,
    /// Agents of whom nothing is said now, each with the reason: the journal takes back what it can read alone. The
    /// caller settles them again later.
    pub put_off: Vec<(AgentId, Error)>,
}

/// The entries that make the journal say exactly what is owed.
///
/// It reads all digests of these agents, but bodies only where something is retracted. Who has such a body archived
/// and not in our own blockstore yet ([`store::Error::Archived`]), or altered, is put off, and no other agent with him.
pub async fn settle(tx: &mut Tx, owed: &[Owed<'_>]) -> Result<Settling> {
    let agents: Vec<AgentId> = owed.iter().map(|owed| owed.agent).collect();
    let mut said = net_digests(tx.conn(), &agents).await?;
    let mut unsaid = Vec::with_capacity(owed.len());
    let mut superfluous = Vec::new();
    for Owed { agent, changes } in owed {
        let mut said = said.remove(agent).unwrap_or_default();
        let mut seen = HashSet::new();
        let mut new = Vec::new();
        for change in *changes {
            let digest = change.digest(*agent)?;
            if seen.insert(digest) && said.remove(&digest).is_none() {
                new.push(change.clone());
            }
        }
        superfluous.extend(said.into_iter().map(|(digest, seq)| (*agent, digest, seq)));
        unsaid.push((*agent, new));
    }
    let mut readable = of_digests(tx, &superfluous).await?;
    let mut settling = Settling::default();
    for (agent, new) in unsaid {
        if let Some(why) = readable.unreadable.remove(&agent) {
            settling.put_off.push((agent, why));
            continue;
        }
        let retracted = readable.said.remove(&agent);
        settling
            .entries
            .extend(retracted.map(|said| NewEntry::retracted(agent, said)));
        if !new.is_empty() {
            settling.entries.push(NewEntry::agent(agent, new));
        }
    }
    Ok(settling)
}

impl NewEntry {
    /// Takes back what was said of an agent.
    pub fn retracted(agent: AgentId, said: Vec<SaidChange>) -> Self {
        let (changes, said) = said.into_iter().map(|said| (said.change, said.cid)).unzip();
        Self {
            kind: EntryKind::Retracted,
            agent: Some(agent),
            changes,
            said,
        }
    }
}

#[cfg(test)]
mod tests;
