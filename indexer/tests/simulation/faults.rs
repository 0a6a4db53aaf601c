//! Every fault of a provider and of the database that is known to happen, and all that people, agents and contracts
//! say; where it is made, and how often it happened: what nobody makes any more is a failure of its own. A replica's
//! lag is not among them, because nothing here reads a replica; a failover that lost the last transaction is an old
//! copy.

use std::collections::BTreeMap;

use replay_rpc::node::Stats;

/// A fault, and who makes it. `replay-rpc` counts what its providers did, not what they were told to do.
pub const FAULTS: [(&str, &str); 53] = [
    ("another chain's id at the start", "schedule::other_chain"),
    ("another chain's id in mid-run", "schedule::other_chain"),
    ("another genesis", "schedule::other_genesis"),
    ("a head that goes back", "Stale, schedule::disturb"),
    (
        "two back-ends with different heads",
        "Stale, schedule::disturb",
    ),
    ("logs dropped from ranges", "Lose::Wide, schedule::lie"),
    ("logs dropped from all queries", "Lose::All, schedule::lie"),
    ("blocks without their logs", "Lose::Blocks, schedule::lie"),
    (
        "logs dropped from receipts too",
        "lie_in_receipts, schedule::disturb",
    ),
    ("a forged log", "forge_one_in, schedule::lie"),
    ("an altered log", "alter_one_in, schedule::lie"),
    (
        "a log under another block's hash",
        "wrong_hash_one_in, schedule::lie",
    ),
    ("logs in another order", "shuffle_logs, schedule::lie"),
    ("removed: true", "removed_one_in, schedule::lie"),
    ("null receipts", "null_receipts_one_in, schedule::disturb"),
    (
        "receipts of a block emptied",
        "emptied_one_in, schedule::disturb",
    ),
    (
        "a header without its bloom",
        "no_bloom_one_in, schedule::disturb",
    ),
    ("a reorg of one block", "schedule::reorg"),
    ("a reorg of two", "schedule::reorg"),
    ("a deeper one", "schedule::reorg"),
    ("a reorg below what is settled", "schedule::deep_reorg"),
    ("a reorg back to the first fork", "schedule::restore"),
    ("a reorg between two requests", "schedule::reorg_during"),
    ("a reorg during a backfill", "schedule::backfill"),
    ("429", "limit_every, schedule::disturb"),
    ("503", "fail_every, schedule::disturb"),
    ("a closed socket", "drop_every, schedule::disturb"),
    ("truncated JSON", "cut_every, schedule::disturb"),
    ("a hang without a byte", "hang_every, schedule::disturb"),
    ("a gzip bomb", "bomb_every, schedule::disturb"),
    (
        "a range too wide, an error object in a 200",
        "max_range, schedule::lie",
    ),
    ("more logs than it answers", "max_logs, schedule::lie"),
    ("a batch out of order", "Batch::Shuffled, schedule::disturb"),
    (
        "a batch with one id twice",
        "Batch::DuplicateIds, schedule::disturb",
    ),
    (
        "a batch without its last answer",
        "Batch::Short, schedule::disturb",
    ),
    ("a refused batch", "Batch::Refused, schedule::disturb"),
    ("killed at a request", "World::interrupted"),
    ("killed at a statement", "World::interrupted"),
    ("killed at a commit", "World::dies_in_commit"),
    ("killed while a window waits", "schedule::backfill"),
    (
        "killed between a window's two commits",
        "World::dies_in_commit",
    ),
    ("killed while indexes are left out", "schedule::backfill"),
    ("a round dropped, the process goes on", "schedule::kill"),
    ("connections cut", "schedule::Step::Cut"),
    ("Postgres killed", "schedule::crash, worlds with crashes"),
    ("disk full", "sim.sql, 53100"),
    ("serialization failure", "sim.sql, 40001"),
    ("deadlock", "sim.sql, 40P01"),
    (
        "a connection that dies in a statement",
        "sim.sql, dies and 57P01",
    ),
    ("no connection left", "schedule::exhaust"),
    ("an old copy of the database", "schedule::old_copy"),
    ("a clock that jumps", "schedule::Step::Jump"),
    ("two leaders, two sealers", "schedule::race, World::seal"),
];

/// What people sign, agents beat and contracts of VEXEL's say, and who notes that it came to something.
pub const SPOKEN: [(&str, &str); 23] = [
    ("an agent that its key registers", "signer::sign"),
    ("an agent that begins anew with its key", "oracle"),
    ("an update by statement", "signer::sign"),
    ("a status by statement", "signer::sign"),
    ("an agent handed over by statement", "signer::sign"),
    ("a deregistration by statement", "signer::sign"),
    ("a rotated key", "signer::sign"),
    ("a claim", "signer::sign"),
    ("an owner's word on his token", "signer::sign"),
    ("a word of somebody who may not say it", "signer::sign"),
    ("a statement and a step at once", "schedule::sign_during"),
    ("a statement that sleeps", "oracle"),
    ("a claim that a sale ends", "schedule::claim"),
    (
        "a claim that a reorg of the sale brings back",
        "schedule::claim",
    ),
    ("a beat over HTTP", "signer::beat"),
    ("an agent that counts as alive by its beats", "oracle"),
    ("an agent whose next beat is overdue", "oracle"),
    ("a beat in VEXEL's contract", "oracle"),
    ("a beat before its agent was known", "oracle"),
    ("a threshold of VEXEL's that is over", "oracle"),
    ("an agent that VEXEL's contract deactivates", "oracle"),
    ("a word of VEXEL's that speaks for nobody", "oracle"),
    ("an agent of VEXEL's registry", "oracle"),
];

/// All that must happen in a run of many worlds.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    FAULTS.into_iter().chain(SPOKEN)
}

/// How often what happened.
#[derive(Debug, Clone, Default)]
pub struct Tally(pub BTreeMap<&'static str, u64>);

impl Tally {
    pub fn note(&mut self, what: &'static str) {
        self.more(what, 1);
    }

    pub fn more(&mut self, what: &'static str, times: u64) {
        let known = all().any(|(known, _)| known == what);
        assert!(known, "{what} is not in the list");
        *self.0.entry(what).or_default() += times;
    }

    pub fn add(&mut self, other: Self) {
        for (what, times) in other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    /// What a provider did wrong.
    pub fn of_provider(&mut self, stats: &Stats) {
        for (what, name) in [
            ("429", "limit"),
            ("503", "fail"),
            ("a closed socket", "drop"),
            ("truncated JSON", "cut"),
            ("a hang without a byte", "hang"),
            ("a gzip bomb", "bomb"),
            ("a head that goes back", "stale"),
            ("two back-ends with different heads", "stale"),
        ] {
            self.more(what, stats.fault(name));
        }
        for (what, logs) in [
            ("a forged log", &stats.forged),
            ("an altered log", &stats.altered),
            ("a log under another block's hash", &stats.wrong_hash),
            ("removed: true", &stats.removed),
        ] {
            self.more(what, logs.len() as u64);
        }
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<&'static str> {
        let happened = |what: &&'static str| self.0.get(what).is_some_and(|times| *times > 0);
        let all = all().map(|(what, _)| what);
        all.filter(|what| !happened(what)).collect()
    }
}
