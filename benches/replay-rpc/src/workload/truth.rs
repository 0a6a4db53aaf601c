//! What an index of the workload must end in.

use serde::Serialize;

use super::Workload;

/// How many events of each kind there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// `Registered`.
    pub registered: u64,
    /// `Transfer`, the mints' too.
    pub transfer: u64,
    /// `MetadataSet`.
    pub metadata_set: u64,
    /// `URIUpdated`.
    pub uri_updated: u64,
}

impl Counts {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.registered + self.transfer + self.metadata_set + self.uri_updated
    }
}

/// The state at the end of a block. The digests are MD5, because Postgres and every script can do
/// that, over lines sorted by id (as a number), joined by `\n` without one at the end. Addresses and
/// values are 0x and lower-case hex; what is not there is empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// The block.
    pub block: u64,
    /// How many agents there are: ids 1 to this.
    pub agents: u64,
    /// How many of them had a `URIUpdated`.
    pub with_uri: u64,
    /// What happened up to it.
    pub events: Counts,
    /// `id|owner|uri|key|value`: every event taken at its word, the URI of `Registered` too, which this
    /// chain logs without the `MetadataUpdate` that says that the registry wrote it; key and value of
    /// the last `MetadataSet`. So the tables of other indexers are checked.
    pub as_said: String,
    /// `id|owner|wallet|uri|key=value,...`: by ERC-8004's rules; keys in the order of the alphabet.
    pub as_is: String,
}

impl Workload {
    /// The lines behind [`Truth::as_said`] or [`Truth::as_is`], to find the one that differs.
    pub fn lines(&self, as_said: bool) -> String {
        self.agents.lines(as_said)
    }
}
