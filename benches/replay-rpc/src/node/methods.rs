//! The methods of a node.

use std::borrow::Cow;

use alloy_primitives::{Address, B256, Bloom, Bytes, U256};
use serde_json::{Value, json};

use super::{
    answer::Call,
    lies::{Lies, Told},
    logs::get_logs,
    refusal::Refusal,
    view::{View, word},
};
use crate::model::{self, Block, LogPlace, World, quantity};

/// Appends the result of a call.
pub(super) fn call(
    view: &View<'_>,
    call: &Call<'_>,
    lies: &mut Lies<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let params = &call.params;
    let chain_id = lies.faults.chain_id.unwrap_or(view.chain.spec().chain_id);
    match call.method.as_ref() {
        "web3_clientVersion" => text(out, "\"replay-rpc/1.0\""),
        "net_version" => text(out, &format!("\"{chain_id}\"")),
        "eth_chainId" => quantity(out, chain_id),
        "eth_blockNumber" => quantity(out, view.head()),
        "eth_syncing" => text(out, "false"),
        "eth_getLogs" => return get_logs(view, params, lies, out),
        "eth_getBlockByNumber" => {
            let name = params[0].as_str().unwrap_or("latest");
            let block = view.block(view.number(name)?);
            return block_or_null(block.map(AsRef::as_ref), params, lies, out);
        }
        "eth_getBlockByHash" => {
            let block = view.by_hash(hash(params)?);
            return block_or_null(block.map(AsRef::as_ref), params, lies, out);
        }
        "eth_getBlockReceipts" if !lies.faults.no_block_receipts => {
            let block = view.find(&params[0])?;
            return receipts(block.map(AsRef::as_ref), lies, out);
        }
        "eth_getTransactionReceipt" => {
            let place = transaction(view, hash(params)?);
            return receipt(place, lies, out);
        }
        "eth_getTransactionByHash" => match transaction(view, hash(params)?) {
            Some((block, place)) => model::tx_json(out, block, place),
            None => text(out, "null"),
        },
        "eth_getCode" => {
            let block = found(view, &params[1])?;
            let code = view.chain.code(address(params)?, block);
            text(out, &json!(code).to_string());
        }
        "eth_call" => text(out, "\"0x\""),
        "eth_getStorageAt" => {
            let world = state(view, call, &params[2], lies)?;
            let slot = slot(&params[1])?;
            let value = B256::from(world.load(address(params)?, slot));
            text(out, &json!(value).to_string());
        }
        "eth_getProof" => {
            let world = state(view, call, &params[2], lies)?;
            return proof(world, params, out);
        }
        name => return Err(Refusal::method(name)),
    }
    Ok(())
}

fn block_or_null(
    block: Option<&Block>,
    params: &Value,
    lies: &Lies<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let Some(block) = block else {
        text(out, "null");
        return Ok(());
    };
    let is_full = match &params[1] {
        Value::Bool(is_full) => *is_full,
        Value::Null => return Err(Refusal::params("missing value for required argument 1")),
        _ => return Err(Refusal::params("invalid argument 1: not a boolean")),
    };
    let bloom = if lies.has_no_bloom(block) {
        &Bloom::ZERO
    } else {
        &block.header.logs_bloom
    };
    if is_full {
        not_pruned(block, lies)?;
        model::full_block(out, block, bloom);
    } else {
        model::header(out, block, bloom);
    }
    Ok(())
}

fn receipts(block: Option<&Block>, lies: &mut Lies<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let Some(block) = block else {
        text(out, "null");
        return Ok(());
    };
    not_pruned(block, lies)?;
    if lies.has_null_receipts(block) {
        text(out, "null");
    } else if lies.is_emptied(block) {
        text(out, "[]");
    } else if lies.faults.lie_in_receipts {
        out.push(b'[');
        for place in 0..block.txs.len() {
            if place > 0 {
                out.push(b',');
            }
            told_receipt(block, place, lies, out);
        }
        out.push(b']');
    } else {
        model::receipts(out, block, !lies.faults.no_log_time);
    }
    Ok(())
}

fn receipt(
    place: Option<(&Block, usize)>,
    lies: &mut Lies<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let Some((block, place)) = place else {
        text(out, "null");
        return Ok(());
    };
    not_pruned(block, lies)?;
    if lies.has_null_receipts(block) || lies.is_emptied(block) {
        text(out, "null");
    } else {
        told_receipt(block, place, lies, out);
    }
    Ok(())
}

/// A receipt with the logs as its provider tells them.
fn told_receipt(block: &Block, place: usize, lies: &mut Lies<'_>, out: &mut Vec<u8>) {
    model::receipt(out, block, place, |out| {
        let sealed = &block.txs[place];
        let mut is_first = true;
        for (index, log) in (sealed.first_log..).zip(&sealed.tx.logs) {
            let at = LogPlace::new(block, place, index, !lies.faults.no_log_time);
            let told = if lies.faults.lie_in_receipts {
                lies.tell(log, at, true)
            } else {
                Some(Told {
                    log: Cow::Borrowed(log),
                    at,
                })
            };
            let Some(told) = told else { continue };
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            model::log(out, &told.log, &told.at);
        }
    });
}

/// The canonical place of a transaction.
fn transaction<'a>(view: &View<'a>, hash: B256) -> Option<(&'a Block, usize)> {
    view.chain
        .with_tx(hash)
        .find(|(block, _)| view.is_canonical(block))
        .map(|(block, place)| (block.as_ref(), place))
}

fn found<'a>(view: &View<'a>, param: &Value) -> Result<&'a Block, Refusal> {
    let block = view.find(param)?;
    block
        .map(AsRef::as_ref)
        .ok_or_else(|| Refusal::server("header not found"))
}

/// The state at a block; where the chain keeps none, the method is not there.
fn state<'a>(
    view: &View<'a>,
    call: &Call<'_>,
    param: &Value,
    lies: &Lies<'_>,
) -> Result<&'a World, Refusal> {
    let block = found(view, param)?;
    let window = lies.faults.state_window;
    if window > 0 && block.number() + window <= view.head() {
        let root = block.header.state_root;
        let why = format!("historical state {root:x} is not available");
        return Err(Refusal::server(&why));
    }
    match &block.state {
        Some(state) if !lies.faults.no_state => Ok(state),
        _ => Err(Refusal::method(&call.method)),
    }
}

fn proof(world: &World, params: &Value, out: &mut Vec<u8>) -> Result<(), Refusal> {
    let address = address(params)?;
    let keys = match &params[1] {
        Value::Array(keys) => keys.as_slice(),
        Value::Null => &[],
        _ => return Err(Refusal::params("invalid argument 1: not a list")),
    };
    let slots = keys.iter().map(slot).collect::<Result<Vec<_>, _>>()?;
    let proof = world.prove(address, &slots);
    let slots = proof.slots.into_iter().zip(keys);
    let storage: Vec<Value> = slots
        .map(|((_, value, nodes), key)| json!({"key": key, "value": value, "proof": nodes}))
        .collect();
    let result = json!({
        "address": address,
        "accountProof": proof.nodes,
        "balance": proof.account.balance,
        "codeHash": proof.account.code_hash,
        "nonce": U256::from(proof.account.nonce),
        "storageHash": proof.account.storage_root,
        "storageProof": storage,
    });
    text(out, &result.to_string());
    Ok(())
}

fn not_pruned(block: &Block, lies: &Lies<'_>) -> Result<(), Refusal> {
    if block.number() < lies.faults.pruned_below {
        return Err(Refusal::pruned());
    }
    Ok(())
}

fn hash(params: &Value) -> Result<B256, Refusal> {
    word(params[0].as_str().unwrap_or_default())
}

fn address(params: &Value) -> Result<Address, Refusal> {
    let text = params[0].as_str().unwrap_or_default();
    text.parse()
        .map_err(|_| Refusal::params("invalid argument 0: invalid address"))
}

/// A storage key: any hex up to 32 bytes, as geth takes it.
fn slot(param: &Value) -> Result<B256, Refusal> {
    let digits = param.as_str().and_then(|text| text.strip_prefix("0x"));
    let bytes = digits
        .filter(|digits| digits.len() <= 64)
        .and_then(|digits| format!("{digits:0>64}").parse::<Bytes>().ok());
    match bytes {
        Some(bytes) => Ok(B256::from_slice(&bytes)),
        None => Err(Refusal::params(
            "invalid argument 1: unable to decode storage key",
        )),
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}
