//! eth_getLogs.

use std::sync::Arc;

use serde_json::Value;

use super::{
    filter::Filter,
    lies::{Lies, Told},
    refusal::Refusal,
    view::{View, word},
};
use crate::model::{self, Block, LogPlace};

/// Appends the answer.
pub(super) fn get_logs(
    view: &View<'_>,
    params: &Value,
    lies: &mut Lies<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let query = &params[0];
    let filter = Filter::of(query)?;
    let (blocks, is_wide) = blocks(view, query, lies)?;
    let mut told: Vec<Told<'_>> = Vec::new();
    for block in &blocks {
        if !filter.may_match(&block.header.logs_bloom) || lies.is_emptied(block) {
            continue;
        }
        tell_block(block, &filter, is_wide, lies, &mut told);
        let most = lies.faults.max_logs;
        if is_wide && most > 0 && told.len() > most {
            return Err(too_many(&blocks, block, lies));
        }
    }
    lies.order(&mut told);
    out.push(b'[');
    for (place, told) in told.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        model::log(out, &told.log, &told.at);
    }
    out.push(b']');
    Ok(())
}

fn tell_block<'a>(
    block: &'a Block,
    filter: &Filter,
    is_wide: bool,
    lies: &mut Lies<'_>,
    told: &mut Vec<Told<'a>>,
) {
    let before = told.len();
    for (index, tx, log) in block.logs() {
        if filter.matches(log) {
            let at = LogPlace::new(block, tx, index, !lies.faults.no_log_time);
            told.extend(lies.tell(log, at, is_wide));
        }
    }
    let last = told.get(before..).and_then(<[_]>::last);
    let forged = lies.forge(block, last);
    told.extend(forged);
}

/// The blocks that are asked for, and whether they could be more than one.
fn blocks<'a>(
    view: &View<'a>,
    query: &Value,
    lies: &Lies<'_>,
) -> Result<(Vec<&'a Arc<Block>>, bool), Refusal> {
    if let Some(hash) = query["blockHash"].as_str() {
        if !query["fromBlock"].is_null() || !query["toBlock"].is_null() {
            let why =
                "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other";
            return Err(Refusal::params(why));
        }
        let block = view
            .by_hash(word(hash)?)
            .ok_or_else(Refusal::unknown_block)?;
        not_pruned(block.number(), lies)?;
        return Ok((vec![block], false));
    }
    let end = |name: &str| match query[name].as_str() {
        Some("pending") => Err(Refusal::server("pending logs are not supported")),
        Some(text) => view.number(text),
        None => Ok(view.head()),
    };
    let (from, mut to) = (end("fromBlock")?, end("toBlock")?);
    if lies.faults.clip_range || view.is_stale {
        to = to.min(view.head());
    } else if from > to || to > view.head() {
        return Err(Refusal::server("invalid block range params"));
    }
    if from > to {
        return Ok((Vec::new(), true));
    }
    let most = lies.faults.max_range;
    if most > 0 && to - from >= most {
        return Err(Refusal::range(lies.faults.refusing, from, most));
    }
    not_pruned(from, lies)?;
    let blocks = (from..=to)
        .filter_map(|number| view.block(number))
        .collect();
    Ok((blocks, from != to))
}

fn not_pruned(number: u64, lies: &Lies<'_>) -> Result<(), Refusal> {
    if number < lies.faults.pruned_below {
        return Err(Refusal::pruned());
    }
    Ok(())
}

/// The refusal that names the blocks before the one that was too much.
fn too_many(blocks: &[&Arc<Block>], at: &Block, lies: &Lies<'_>) -> Refusal {
    let from = blocks.first().map_or(0, |first| first.number());
    let to = at.number().saturating_sub(1).max(from);
    Refusal::results(lies.faults.refusing, from, to, lies.faults.max_logs as u64)
}
