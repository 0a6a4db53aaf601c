//! Everything that happens in some world: what does not any more is a failure of its own.

use std::collections::BTreeMap;

/// What happens, and where that is made.
pub const HAPPENINGS: [(&str, &str); 37] = [
    ("a transaction committed", "write::end"),
    ("a transaction rolled back", "write::end"),
    ("a late commit of lower numbers", "write::end"),
    ("an entry that had to be split", "write::append"),
    ("a change too large for any entry", "write::append"),
    ("first entries of agents", "write::first"),
    ("a retraction", "write::settled"),
    ("more than a seal takes", "write::bulk"),
    ("a transaction that waited for another one", "write::behind"),
    ("a clash", "write::resolve"),
    ("an append went on after a rollback", "write::resolve"),
    ("an append failed", "write::append"),
    ("a writer's connection died", "write::append"),
    ("a writer killed at a statement", "write::append"),
    ("a writer killed in its commit, undone", "write::die"),
    ("a writer killed in its commit, done", "write::die"),
    ("a batch sealed", "seal::once"),
    ("nothing to seal", "seal::once"),
    ("another one leads", "seal::once"),
    ("a seal failed", "seal::once"),
    ("a sealer's connection died", "seal::once"),
    ("a sealer killed at a statement", "seal::once"),
    ("a sealer killed in its commit, undone", "seal::once"),
    ("a sealer killed in its commit, done", "seal::once"),
    ("a seal dropped, the process goes on", "seal::once"),
    ("two sealers, both done", "seal::race"),
    ("two sealers, one lost", "seal::race"),
    ("a stale lease", "seal::stale"),
    ("a follower went on", "follow::step"),
    ("a follower undone", "follow::step"),
    ("a follower killed in its commit", "follow::step"),
    ("two processes of one follower", "follow::race"),
    ("a clock goes back an hour", "World::time"),
    ("a clock goes on an hour", "World::time"),
    ("connections cut", "World::cut"),
    ("a process restarted", "schedule"),
    ("Postgres killed", "seal::crash, worlds with crashes"),
];

/// How often what happened.
#[derive(Debug, Clone, Default)]
pub struct Tally(pub BTreeMap<&'static str, u64>);

impl Tally {
    pub fn note(&mut self, what: &'static str) {
        let known = HAPPENINGS.iter().any(|(known, _)| *known == what);
        assert!(known, "{what} is not in the list");
        *self.0.entry(what).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (what, times) in other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    pub fn missing(&self) -> Vec<&'static str> {
        let all = HAPPENINGS.iter().map(|(what, _)| *what);
        all.filter(|what| !self.0.contains_key(what)).collect()
    }
}
