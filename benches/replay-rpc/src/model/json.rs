//! JSON as geth prints it, written straight into the answer's bytes: at a thousand blocks a second
//! a tree of values would cost more than the chain itself.

use alloy_consensus::{Transaction, TxEnvelope};
use alloy_primitives::{B256, Bloom, Log};

use super::block::{Block, Sealed};

/// Where a log stands, and what a node says of it.
#[derive(Debug, Clone, Copy)]
pub struct LogPlace {
    /// Height of its block.
    pub number: u64,
    /// Its block.
    pub block_hash: B256,
    /// The block's time, where the node says it here.
    pub timestamp: Option<u64>,
    /// Its transaction.
    pub tx_hash: B256,
    /// The transaction's index in the block.
    pub tx_index: u64,
    /// Its own index in the block.
    pub log_index: u64,
    /// Whether a reorg took it back.
    pub removed: bool,
}

impl LogPlace {
    /// Of a log of `block`.
    pub fn new(block: &Block, tx: usize, log_index: u64, with_time: bool) -> Self {
        Self {
            number: block.header.number,
            block_hash: block.hash,
            timestamp: with_time.then_some(block.header.timestamp),
            tx_hash: block.txs[tx].hash,
            tx_index: tx as u64,
            log_index,
            removed: false,
        }
    }
}

/// Appends a log.
pub fn log(out: &mut Vec<u8>, log: &Log, at: &LogPlace) {
    text(out, r#"{"address":"#);
    bytes(out, log.address.as_slice());
    text(out, r#","topics":["#);
    for (place, topic) in log.topics().iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        bytes(out, topic.as_slice());
    }
    text(out, r#"],"data":"#);
    bytes(out, &log.data.data);
    text(out, r#","blockNumber":"#);
    quantity(out, at.number);
    text(out, r#","transactionHash":"#);
    bytes(out, at.tx_hash.as_slice());
    text(out, r#","transactionIndex":"#);
    quantity(out, at.tx_index);
    text(out, r#","blockHash":"#);
    bytes(out, at.block_hash.as_slice());
    if let Some(timestamp) = at.timestamp {
        text(out, r#","blockTimestamp":"#);
        quantity(out, timestamp);
    }
    text(out, r#","logIndex":"#);
    quantity(out, at.log_index);
    text(
        out,
        if at.removed {
            r#","removed":true}"#
        } else {
            r#","removed":false}"#
        },
    );
}

/// Appends what `newHeads` tells of a block.
pub(crate) fn head_notice(out: &mut Vec<u8>, block: &Block) {
    out.push(b'{');
    header_fields(out, block, &block.header.logs_bloom);
    out.push(b'}');
}

/// Appends a block with its transactions' hashes. `bloom` is the header's, or what a lying node says.
pub fn header(out: &mut Vec<u8>, block: &Block, bloom: &Bloom) {
    out.push(b'{');
    header_fields(out, block, bloom);
    body_fields(out, block);
    for (place, tx) in block.txs.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        bytes(out, tx.hash.as_slice());
    }
    text(out, "]}");
}

/// Appends a block with its transactions in full.
pub(crate) fn full_block(out: &mut Vec<u8>, block: &Block, bloom: &Bloom) {
    out.push(b'{');
    header_fields(out, block, bloom);
    body_fields(out, block);
    for place in 0..block.txs.len() {
        if place > 0 {
            out.push(b',');
        }
        tx_json(out, block, place);
    }
    text(out, "]}");
}

fn header_fields(out: &mut Vec<u8>, block: &Block, bloom: &Bloom) {
    let header = &block.header;
    let mut number = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            key(out, name);
            quantity(out, value);
            out.push(b',');
        }
    };
    number("baseFeePerGas", header.base_fee_per_gas);
    number("blobGasUsed", header.blob_gas_used);
    number("difficulty", Some(0));
    number("excessBlobGas", header.excess_blob_gas);
    number("gasLimit", Some(header.gas_limit));
    number("gasUsed", Some(header.gas_used));
    number("number", Some(header.number));
    number("timestamp", Some(header.timestamp));
    let mut word = |name: &str, value: Option<&[u8]>| {
        if let Some(value) = value {
            key(out, name);
            bytes(out, value);
            out.push(b',');
        }
    };
    word("extraData", Some(&header.extra_data));
    word("logsBloom", Some(bloom.as_slice()));
    word("miner", Some(header.beneficiary.as_slice()));
    word("mixHash", Some(header.mix_hash.as_slice()));
    word("nonce", Some(header.nonce.as_slice()));
    word(
        "parentBeaconBlockRoot",
        header.parent_beacon_block_root.as_ref().map(|w| &w[..]),
    );
    word("parentHash", Some(header.parent_hash.as_slice()));
    word("receiptsRoot", Some(header.receipts_root.as_slice()));
    word(
        "requestsHash",
        header.requests_hash.as_ref().map(|w| &w[..]),
    );
    word("sha3Uncles", Some(header.ommers_hash.as_slice()));
    word("stateRoot", Some(header.state_root.as_slice()));
    word(
        "transactionsRoot",
        Some(header.transactions_root.as_slice()),
    );
    word(
        "withdrawalsRoot",
        header.withdrawals_root.as_ref().map(|w| &w[..]),
    );
    key(out, "hash");
    bytes(out, block.hash.as_slice());
}

/// Up to the opening bracket of `transactions`.
fn body_fields(out: &mut Vec<u8>, block: &Block) {
    text(out, r#","size":"#);
    quantity(out, block.size);
    text(out, r#","uncles":[]"#);
    if block.header.withdrawals_root.is_some() {
        text(out, r#","withdrawals":[]"#);
    }
    text(out, r#","transactions":["#);
}

/// Appends one transaction of a block.
///
/// # Panics
/// Where the block has no transaction at `place`.
pub fn tx_json(out: &mut Vec<u8>, block: &Block, place: usize) {
    let sealed = &block.txs[place];
    let envelope = sealed.tx.envelope(block.spec.chain_id);
    text(out, r#"{"blockHash":"#);
    bytes(out, block.hash.as_slice());
    text(out, r#","blockNumber":"#);
    quantity(out, block.header.number);
    text(out, r#","from":"#);
    bytes(out, sealed.tx.from.as_slice());
    text(out, r#","gas":"#);
    quantity(out, envelope.gas_limit());
    text(out, r#","gasPrice":"#);
    wide(out, block.gas_price(sealed.tx.kind));
    if let TxEnvelope::Eip1559(_) = envelope {
        text(out, r#","maxFeePerGas":"#);
        wide(out, envelope.max_fee_per_gas());
        text(out, r#","maxPriorityFeePerGas":"#);
        wide(out, envelope.max_priority_fee_per_gas().unwrap_or_default());
    }
    text(out, r#","hash":"#);
    bytes(out, sealed.hash.as_slice());
    text(out, r#","input":"#);
    bytes(out, &sealed.tx.input);
    text(out, r#","nonce":"#);
    quantity(out, sealed.tx.nonce);
    text(out, r#","to":"#);
    address_or_null(out, sealed);
    text(out, r#","transactionIndex":"#);
    quantity(out, place as u64);
    text(out, r#","value":"0x0","type":"#);
    quantity(out, u64::from(u8::from(sealed.tx.kind.tx_type())));
    let signature = envelope.signature();
    let parity = u64::from(signature.v());
    text(out, r#","chainId":"#);
    quantity(out, block.spec.chain_id);
    if let TxEnvelope::Legacy(_) = envelope {
        text(out, r#","v":"#);
        quantity(out, 35 + 2 * block.spec.chain_id + parity);
    } else {
        text(out, r#","accessList":[],"yParity":"#);
        quantity(out, parity);
        text(out, r#","v":"#);
        quantity(out, parity);
    }
    text(out, &format!(r#","r":"{:#x}""#, signature.r()));
    text(out, &format!(r#","s":"{:#x}"}}"#, signature.s()));
}

/// Appends the list of a block's receipts.
pub fn receipts(out: &mut Vec<u8>, block: &Block, with_time: bool) {
    out.push(b'[');
    for place in 0..block.txs.len() {
        if place > 0 {
            out.push(b',');
        }
        receipt(out, block, place, |out| {
            let sealed = &block.txs[place];
            for (index, entry) in (sealed.first_log..).zip(&sealed.tx.logs) {
                if index > sealed.first_log {
                    out.push(b',');
                }
                log(out, entry, &LogPlace::new(block, place, index, with_time));
            }
        });
    }
    out.push(b']');
}

/// Appends the receipt of one transaction; `logs` appends what stands in its list of logs.
pub(crate) fn receipt(
    out: &mut Vec<u8>,
    block: &Block,
    place: usize,
    logs: impl FnOnce(&mut Vec<u8>),
) {
    let sealed = &block.txs[place];
    text(out, r#"{"blockHash":"#);
    bytes(out, block.hash.as_slice());
    text(out, r#","blockNumber":"#);
    quantity(out, block.header.number);
    text(out, r#","contractAddress":"#);
    match sealed.tx.to {
        Some(_) => text(out, "null"),
        None => bytes(out, sealed.tx.from.create(sealed.tx.nonce).as_slice()),
    }
    text(out, r#","cumulativeGasUsed":"#);
    quantity(out, sealed.cumulative_gas);
    text(out, r#","effectiveGasPrice":"#);
    wide(out, block.gas_price(sealed.tx.kind));
    text(out, r#","from":"#);
    bytes(out, sealed.tx.from.as_slice());
    text(out, r#","gasUsed":"#);
    quantity(out, sealed.tx.gas);
    text(out, r#","logs":["#);
    logs(out);
    text(out, r#"],"logsBloom":"#);
    bytes(out, sealed.bloom().as_slice());
    text(out, r#","status":"#);
    quantity(out, u64::from(sealed.tx.success));
    text(out, r#","to":"#);
    address_or_null(out, sealed);
    text(out, r#","transactionHash":"#);
    bytes(out, sealed.hash.as_slice());
    text(out, r#","transactionIndex":"#);
    quantity(out, place as u64);
    text(out, r#","type":"#);
    quantity(out, u64::from(u8::from(sealed.tx.kind.tx_type())));
    out.push(b'}');
}

fn address_or_null(out: &mut Vec<u8>, sealed: &Sealed) {
    match sealed.tx.to {
        Some(to) => bytes(out, to.as_slice()),
        None => text(out, "null"),
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.push(b'"');
    text(out, name);
    text(out, "\":");
}

/// Appends a number as nodes write it: `"0x1f"`, no leading zeros.
pub(crate) fn quantity(out: &mut Vec<u8>, value: u64) {
    wide(out, u128::from(value));
}

fn wide(out: &mut Vec<u8>, value: u128) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text(out, "\"0x");
    let digits = (128 - value.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        out.push(DIGITS[(value >> (place * 4)) as usize & 15]);
    }
    out.push(b'"');
}

/// Appends bytes in hex, quoted.
fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    text(out, "\"0x");
    let from = out.len();
    out.resize(from + 2 * value.len(), 0);
    // It fails only where the lengths do not fit.
    let _ = alloy_primitives::hex::encode_to_slice(value, &mut out[from..]);
    out.push(b'"');
}
