//! Logs of one answer, held against the question and each other.

use std::ops::RangeInclusive;

use super::LogFilter;
use crate::log::Log;

/// Puts logs in chain order, each once; or says why no node of one mind can have told them.
pub(super) fn put_in_order(
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
