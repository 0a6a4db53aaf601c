//! Parts of one answer, held against the question and each other.

use std::ops::RangeInclusive;

use super::{Header, LogFilter, RpcError};
use crate::log::Log;

/// Puts logs in chain order, each once; or says why no node of one mind can have told them.
pub(super) fn put_in_order(
    logs: &mut Vec<Log>,
    range: &RangeInclusive<u64>,
    filter: &LogFilter,
) -> Result<(), RpcError> {
    in_order(logs, range, filter).map_err(|why| RpcError::Contradictory {
        message: format!("eth_getLogs told {why}"),
    })
}

/// Whether each of these headers, which ascend without a gap, is the parent of the next.
pub(super) fn check_linked(headers: &[Header]) -> Result<(), RpcError> {
    let unlinked = headers.windows(2).find(|two| two[1].parent != two[0].hash);
    match unlinked {
        None => Ok(()),
        Some(two) => Err(RpcError::Contradictory {
            message: format!(
                "block {} is not the parent of the next block that it told",
                two[0].number
            ),
        }),
    }
}

fn in_order(
    logs: &mut Vec<Log>,
    range: &RangeInclusive<u64>,
    filter: &LogFilter,
) -> Result<(), &'static str> {
    logs.sort_by_key(Log::position);
    logs.dedup();
    for two in logs.windows(2) {
        let [one, next] = two else { continue };
        if one.position() == next.position() {
            return Err("two logs at one place");
        }
        let block = |log: &Log| (log.block_hash, log.block_time);
        if one.block_number == next.block_number && block(one) != block(next) {
            return Err("two blocks of one height");
        }
    }
    let [Some(first), Some(last)] = [logs.first(), logs.last()] else {
        return Ok(());
    };
    let in_range = range.contains(&first.block_number) && range.contains(&last.block_number);
    let addresses = &filter.addresses;
    let asked = |log: &Log| addresses.is_empty() || addresses.contains(&log.address);
    if in_range && logs.iter().all(asked) {
        Ok(())
    } else {
        Err("a log that was not asked for")
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Address, B256, Bytes};

    use super::*;

    const CONTRACT: Address = Address::repeat_byte(0x80);

    /// A log that a node may tell of blocks 3 to 9.
    fn log(block_number: u64, log_index: u32) -> Log {
        Log {
            chain: 1,
            block_number,
            block_hash: B256::left_padding_from(&block_number.to_be_bytes()),
            block_time: Some(1_000 + block_number.cast_signed()),
            tx_hash: B256::repeat_byte(7),
            tx_index: 0,
            log_index,
            address: CONTRACT,
            topics: vec![B256::repeat_byte(1)],
            data: Bytes::from_static(b"data"),
        }
    }

    /// What an answer of these logs to the question for blocks 3 to 9 is worth.
    fn judge(mut told: Vec<Log>) -> Result<Vec<Log>, &'static str> {
        let filter = LogFilter {
            addresses: vec![CONTRACT],
            ..LogFilter::default()
        };
        in_order(&mut told, &(3..=9), &filter).map(|()| told)
    }

    #[test]
    fn logs_are_put_in_order_and_told_once() {
        let [one, two, other] = [log(3, 0), log(3, 4), log(9, 0)];
        let right = vec![one.clone(), two.clone(), other.clone()];
        for told in [
            right.clone(),
            vec![other.clone(), two.clone(), one.clone()],
            vec![one.clone(), two.clone(), one.clone(), other.clone()],
            [right.clone(), right.clone()].concat(),
        ] {
            assert_eq!(judge(told.clone()), Ok(right.clone()), "{told:?}");
        }
        assert_eq!(judge(vec![]), Ok(vec![]));
    }

    #[test]
    fn what_no_node_of_one_mind_can_have_told_is_refused_and_named() {
        const PLACE: &str = "two logs at one place";
        const HEIGHT: &str = "two blocks of one height";
        const UNASKED: &str = "a log that was not asked for";
        let cases: [(Log, &str); 11] = [
            // Beside the log 4 of block 5.
            (
                Log {
                    data: Bytes::new(),
                    ..log(5, 4)
                },
                PLACE,
            ),
            (
                Log {
                    topics: vec![],
                    ..log(5, 4)
                },
                PLACE,
            ),
            (
                Log {
                    tx_hash: B256::ZERO,
                    ..log(5, 4)
                },
                PLACE,
            ),
            (
                Log {
                    block_hash: B256::ZERO,
                    ..log(5, 4)
                },
                PLACE,
            ),
            (
                Log {
                    block_time: None,
                    ..log(5, 4)
                },
                PLACE,
            ),
            (
                Log {
                    block_hash: B256::ZERO,
                    ..log(5, 6)
                },
                HEIGHT,
            ),
            (
                Log {
                    block_time: Some(1),
                    ..log(5, 0)
                },
                HEIGHT,
            ),
            (
                Log {
                    block_time: None,
                    ..log(5, 6)
                },
                HEIGHT,
            ),
            (log(2, 0), UNASKED),
            (log(10, 0), UNASKED),
            (
                Log {
                    address: Address::ZERO,
                    ..log(7, 0)
                },
                UNASKED,
            ),
        ];
        for (strange, why) in cases {
            let right = [log(3, 0), log(5, 4), log(9, 1)];
            for place in 0..=right.len() {
                let mut told = right.to_vec();
                told.insert(place, strange.clone());
                assert_eq!(judge(told), Err(why), "{strange:?} at {place}");
            }
        }
    }

    #[test]
    fn who_names_no_address_asks_for_all() {
        let mut told = vec![Log {
            address: Address::ZERO,
            ..log(3, 0)
        }];
        let said = in_order(&mut told, &(3..=9), &LogFilter::default());
        assert_eq!(said, Ok(()));
    }
}
