//! What a provider does to logs, receipts and headers before it answers.

use std::borrow::Cow;

use alloy_primitives::{B256, Bytes, Log, LogData, keccak256};

use super::{
    faults::{Faults, Lose, What, one_in},
    stats::{LogId, Stats},
};
use crate::model::{Block, LogPlace};

/// A log as it is answered.
#[derive(Debug, Clone)]
pub(super) struct Told<'a> {
    pub log: Cow<'a, Log>,
    pub at: LogPlace,
}

/// The faults of one call, and what they did to it.
pub(super) struct Lies<'a> {
    pub faults: &'a Faults,
    pub stats: Stats,
}

impl Lies<'_> {
    /// What becomes of one log of a query; nothing if it is lost.
    pub fn tell<'l>(&mut self, log: &'l Log, mut at: LogPlace, is_wide: bool) -> Option<Told<'l>> {
        let id = LogId {
            block: at.number,
            block_hash: at.block_hash,
            log_index: at.log_index,
        };
        if self.loses(&id, is_wide) {
            self.stats.lost.insert(id);
            return None;
        }
        let mut log = Cow::Borrowed(log);
        if self.picks(self.faults.alter_one_in, What::Alter, &id) {
            log = Cow::Owned(altered(&log));
            self.stats.altered.insert(id);
        }
        if self.picks(self.faults.wrong_hash_one_in, What::WrongHash, &id) {
            at.block_hash = keccak256(at.block_hash);
            self.stats.wrong_hash.insert(id);
        }
        if self.picks(self.faults.removed_one_in, What::Removed, &id) {
            at.removed = true;
            self.stats.removed.insert(id);
        }
        Some(Told { log, at })
    }

    /// A log that is not there, after those of its block: the last one again, with other data.
    pub fn forge<'l>(&mut self, block: &'l Block, last: Option<&Told<'l>>) -> Option<Told<'l>> {
        if !one_in(
            self.faults.forge_one_in,
            self.faults.seed,
            What::Forge,
            block.hash.as_slice(),
            0,
        ) {
            return None;
        }
        let last = last?;
        let mut at = last.at;
        at.log_index = block.logs().count() as u64;
        self.stats.forged.insert(LogId {
            block: at.number,
            block_hash: block.hash,
            log_index: at.log_index,
        });
        Some(Told {
            log: Cow::Owned(altered(&last.log)),
            at,
        })
    }

    /// Another order, if that is what is wanted; the same one each time.
    pub fn order(&self, told: &mut [Told<'_>]) {
        if self.faults.shuffle_logs {
            let seed = self.faults.seed ^ (What::Order as u64);
            told.sort_by_cached_key(|told| {
                crate::mix(seed ^ crate::mix(told.at.number << 20 | told.at.log_index))
            });
        }
    }

    /// Whether the receipts of a block are null.
    pub fn has_null_receipts(&mut self, block: &Block) -> bool {
        self.without(self.faults.null_receipts_one_in, What::NullReceipts, block)
    }

    /// Whether a block answers as if it had no transactions.
    pub fn is_emptied(&mut self, block: &Block) -> bool {
        self.without(self.faults.emptied_one_in, What::Emptied, block)
    }

    /// Whether a header comes with an empty bloom.
    pub fn has_no_bloom(&self, block: &Block) -> bool {
        let (n, seed) = (self.faults.no_bloom_one_in, self.faults.seed);
        one_in(n, seed, What::NoBloom, block.hash.as_slice(), 0)
    }

    fn without(&mut self, n: u64, what: What, block: &Block) -> bool {
        let picked = one_in(n, self.faults.seed, what, block.hash.as_slice(), 0);
        if picked {
            self.stats.without_receipts.insert(block.number());
        }
        picked
    }

    fn loses(&self, id: &LogId, is_wide: bool) -> bool {
        let n = self.faults.lose_one_in;
        match self.faults.lose {
            Lose::Never => false,
            Lose::Wide => is_wide && self.picks(n, What::Lose, id),
            Lose::All => self.picks(n, What::Lose, id),
            Lose::Blocks => self.picks(
                n,
                What::Lose,
                &LogId {
                    log_index: 0,
                    ..*id
                },
            ),
        }
    }

    fn picks(&self, n: u64, what: What, id: &LogId) -> bool {
        let (seed, hash): (u64, &B256) = (self.faults.seed, &id.block_hash);
        one_in(n, seed, what, hash.as_slice(), id.log_index)
    }
}

/// The same log with its last byte of data another one, or its last topic where it has no data.
fn altered(log: &Log) -> Log {
    let (mut topics, mut data) = (log.topics().to_vec(), log.data.data.to_vec());
    if let Some(byte) = data.last_mut() {
        *byte ^= 1;
    } else if let Some(topic) = topics.last_mut() {
        topic[31] ^= 1;
    } else {
        data.push(1);
    }
    Log {
        address: log.address,
        data: LogData::new_unchecked(topics, Bytes::from(data)),
    }
}
