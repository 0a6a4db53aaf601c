//! The identity of an agent's rows.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Token;

/// An agent's UUID: stable over reorgs, restarts and instances, because it is a UUIDv5
/// (RFC 9562) of the agent's own name (`model.md` §1). An agent that somebody INSERTed with SQL
/// keeps the id that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AgentId(pub Uuid);

impl AgentId {
    /// The agent of a registered token.
    pub fn of_token(token: &Token) -> Self {
        Self(Uuid::new_v5(
            &Uuid::NAMESPACE_URL,
            token.to_string().as_bytes(),
        ))
    }

    /// The agent of a key (its founding `did:key`) or of another DID.
    pub fn of_did(did: &str) -> Self {
        Self(Uuid::new_v5(&Uuid::NAMESPACE_URL, did.as_bytes()))
    }

    /// Id of a row that a cause gave this agent: UUIDv5(agent, `<table>/<cause>`).
    pub fn derived(self, table: DerivedTable, cause: &str) -> Uuid {
        Uuid::new_v5(&self.0, format!("{}/{cause}", table.prefix()).as_bytes())
    }
}

/// The tables whose rows' ids are derived from their agent's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DerivedTable {
    /// `identity.agent_status_history`, by cause.
    StatusHistory,
    /// `identity.status_changes`, by cause and dimension.
    StatusChanges,
    /// `identity.capability_vectors`, by the capability's name.
    Capability,
    /// `identity.ipfs_metadata`, by cause.
    Metadata,
}

impl DerivedTable {
    fn prefix(self) -> &'static str {
        match self {
            Self::StatusHistory => "agent_status_history",
            Self::StatusChanges => "status_changes",
            Self::Capability => "capability",
            Self::Metadata => "ipfs_metadata",
        }
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `uuid.uuid5`.
    #[test]
    fn ids_are_those_of_any_uuid5_implementation() {
        let id = AgentId::of_did("did:vexel:agent1");
        assert_eq!(id.to_string(), "c3ee1a61-2ce6-5741-9a22-c703f7b0008f");
    }
}
