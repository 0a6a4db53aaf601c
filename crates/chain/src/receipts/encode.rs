//! Receipts as the receipts' trie holds them: EIP-2718 type, then RLP.

use alloy::{
    primitives::Bloom,
    rlp::{BufMut, EMPTY_STRING_CODE, Encodable, Header, length_of_length},
};
use kernel::{Address, B256, keccak256};

use super::{Extra, OneReceipt, Outcome};
use crate::log::Log;

/// Makes blooms. It keeps the hashes that it needed, because within a block a few contracts and
/// events make most of the logs.
#[derive(Default)]
pub(super) struct Blooms {
    addresses: Vec<(Address, B256)>,
    events: Vec<(B256, B256)>,
}

/// How many hashes are kept of each sort: few, since they are searched one after the other.
const KEPT: usize = 16;

impl Blooms {
    pub(super) fn of(&mut self, logs: &[Log]) -> Bloom {
        let mut bloom = Bloom::ZERO;
        for log in logs {
            bloom.m3_2048_hashed(&remembered(&mut self.addresses, log.address));
            for (position, topic) in log.topics.iter().enumerate() {
                let hash = if position == 0 {
                    remembered(&mut self.events, *topic)
                } else {
                    keccak256(topic)
                };
                bloom.m3_2048_hashed(&hash);
            }
        }
        bloom
    }
}

fn remembered<T: Copy + PartialEq + AsRef<[u8]>>(kept: &mut Vec<(T, B256)>, value: T) -> B256 {
    if let Some((_, hash)) = kept.iter().find(|(known, _)| *known == value) {
        return *hash;
    }
    let hash = keccak256(value);
    if kept.len() < KEPT {
        kept.push((value, hash));
    }
    hash
}

/// Appends the consensus encoding of a receipt.
pub(super) fn receipt(
    receipt: &OneReceipt,
    logs: &[Log],
    blooms: &mut Blooms,
    out: &mut dyn BufMut,
) {
    let bloom = blooms.of(logs);
    let logs_length: usize = logs.iter().map(log_length).sum();
    let payload_length = outcome_length(receipt.outcome)
        + receipt.cumulative_gas.length()
        + bloom.length()
        + with_header(logs_length)
        + extra_length(receipt.extra);

    if receipt.kind != 0 {
        out.put_u8(receipt.kind);
    }
    list(payload_length, out);
    match receipt.outcome {
        Outcome::Status(success) => success.encode(out),
        Outcome::Root(root) => root.encode(out),
    }
    receipt.cumulative_gas.encode(out);
    bloom.encode(out);
    list(logs_length, out);
    for log in logs {
        let topics_length = topics_length(log);
        list(log_payload(log), out);
        log.address.encode(out);
        list(topics_length, out);
        for topic in &log.topics {
            topic.encode(out);
        }
        log.data.encode(out);
    }
    match receipt.extra {
        Extra::None => {}
        Extra::Deposit { nonce, version } => {
            match nonce {
                Some(nonce) => nonce.encode(out),
                None => out.put_u8(EMPTY_STRING_CODE),
            }
            version.encode(out);
        }
        Extra::BaseFee(fee) => fee.encode(out),
    }
}

fn outcome_length(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Status(success) => success.length(),
        Outcome::Root(root) => root.length(),
    }
}

fn extra_length(extra: Extra) -> usize {
    match extra {
        Extra::None => 0,
        Extra::Deposit { nonce, version } => {
            nonce.map_or(1, |nonce| nonce.length()) + version.length()
        }
        Extra::BaseFee(fee) => fee.length(),
    }
}

fn topics_length(log: &Log) -> usize {
    log.topics.len() * B256::ZERO.length()
}

fn log_payload(log: &Log) -> usize {
    log.address.length() + with_header(topics_length(log)) + log.data.length()
}

fn log_length(log: &Log) -> usize {
    with_header(log_payload(log))
}

fn with_header(payload_length: usize) -> usize {
    payload_length + length_of_length(payload_length)
}

fn list(payload_length: usize, out: &mut dyn BufMut) {
    Header {
        list: true,
        payload_length,
    }
    .encode(out);
}
