//! Blooms: what a block's header says that the block's logs cannot be.
//!
//! A bloom that lacks an address or topic proves that no log of the block has it. One that has it
//! proves nothing: busy chains have blooms that hold almost everything.

use alloy::primitives::{Bloom, BloomInput};

use crate::{log::Log, rpc::LogFilter};

/// A filter, ready to be held against many blooms and logs.
#[derive(Debug, Clone)]
pub struct Sieve {
    filter: LogFilter,
    addresses: Vec<Bloom>,
    topics: [Vec<Bloom>; 4],
}

impl Sieve {
    /// Hashes what the filter asks for.
    pub fn new(filter: LogFilter) -> Self {
        Self {
            addresses: filter.addresses.iter().map(bits).collect(),
            topics: filter
                .topics
                .each_ref()
                .map(|values| values.iter().map(bits).collect()),
            filter,
        }
    }

    /// What is asked for.
    pub fn filter(&self) -> &LogFilter {
        &self.filter
    }

    /// Whether a block with this bloom can hold a log that the filter asks for; false proves that
    /// it holds none. Some address must be there, and for each topic position some topic: then so
    /// is a pair of them. Something that is no bloom of 256 bytes excludes nothing.
    pub fn may_hold(&self, bloom: &[u8]) -> bool {
        let Ok(bloom) = Bloom::try_from(bloom) else {
            return true;
        };
        let any = |values: &[Bloom]| {
            values.is_empty() || values.iter().any(|value| bloom.contains(value))
        };
        any(&self.addresses) && self.topics.iter().all(|values| any(values))
    }

    /// Whether the filter asks for this log.
    pub fn takes(&self, log: &Log) -> bool {
        let LogFilter { addresses, topics } = &self.filter;
        (addresses.is_empty() || addresses.contains(&log.address))
            && topics.iter().enumerate().all(|(position, values)| {
                values.is_empty()
                    || log
                        .topics
                        .get(position)
                        .is_some_and(|topic| values.contains(topic))
            })
    }
}

/// Whether a block with this bloom can hold this log. Something that is no bloom excludes nothing.
pub fn may_hold_log(bloom: &[u8], log: &Log) -> bool {
    Bloom::try_from(bloom).map_or(true, |bloom| {
        bloom.contains_raw_log(log.address, &log.topics)
    })
}

fn bits(value: impl AsRef<[u8]>) -> Bloom {
    Bloom::from(BloomInput::Raw(value.as_ref()))
}

#[cfg(test)]
mod tests {
    use kernel::{Address, B256};

    use super::*;
    use crate::receipts::testing;

    const MINE: Address = Address::repeat_byte(1);
    const OTHER: Address = Address::repeat_byte(2);
    const A: B256 = B256::repeat_byte(0xa);
    const B: B256 = B256::repeat_byte(0xb);

    fn sieve(addresses: &[Address], topics: [&[B256]; 4]) -> Sieve {
        Sieve::new(LogFilter {
            addresses: addresses.to_vec(),
            topics: topics.map(<[B256]>::to_vec),
        })
    }

    #[test]
    fn address_and_one_topic_of_each_position_must_be_there() {
        let log = testing::log(MINE, &[A, B]);
        let bloom = testing::bloom(std::slice::from_ref(&log));
        for (sieve, expected) in [
            (sieve(&[], [&[], &[], &[], &[]]), true),
            (sieve(&[MINE], [&[], &[], &[], &[]]), true),
            (sieve(&[OTHER], [&[], &[], &[], &[]]), false),
            (
                sieve(&[OTHER, MINE], [&[B256::ZERO, A], &[], &[], &[]]),
                true,
            ),
            (sieve(&[MINE], [&[B256::ZERO], &[], &[], &[]]), false),
            (sieve(&[MINE], [&[A], &[B], &[], &[]]), true),
            (sieve(&[MINE], [&[A], &[B256::ZERO], &[], &[]]), false),
            (sieve(&[MINE], [&[], &[], &[], &[B256::ZERO]]), false),
        ] {
            assert_eq!(sieve.may_hold(&bloom[..]), expected, "{sieve:?}");
            assert_eq!(sieve.takes(&log), expected, "{sieve:?}");
        }
    }

    #[test]
    fn a_bloom_does_not_know_positions_but_a_log_does() {
        let log = testing::log(MINE, &[A, B]);
        let bloom = testing::bloom(std::slice::from_ref(&log));
        let turned = sieve(&[], [&[B], &[A], &[], &[]]);
        assert!(turned.may_hold(&bloom[..]));
        assert!(!turned.takes(&log));
        let beyond = sieve(&[], [&[], &[], &[A], &[]]);
        assert!(!beyond.takes(&log), "the log has no third topic");
    }

    #[test]
    fn what_is_no_bloom_excludes_nothing() {
        let sieve = sieve(&[MINE], [&[], &[], &[], &[]]);
        for length in [0, 255, 257] {
            assert!(sieve.may_hold(&vec![0; length]), "{length}");
            assert!(may_hold_log(&vec![0; length], &testing::log(MINE, &[])));
        }
        assert!(!sieve.may_hold(&[0; 256]));
        assert!(!may_hold_log(&[0; 256], &testing::log(MINE, &[])));
    }
}
