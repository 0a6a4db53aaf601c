//! A recorded piece of a chain: the file that `--replay` plays.
//!
//! `{"chainId": 1, "logs": [{"blockNumber": .., "blockHash": .., "transactionHash": ..,
//! "transactionIndex": .., "logIndex": .., "address": .., "topics": [..], "data": "0x..",
//! "blockTimestamp"?: .., "parentHash"?: ..}], "blocks"?: [{"number", "hash", "parentHash"?,
//! "timestamp"?}], "topics"?: [..]}`. Numbers are plain, decimal texts or `0x`-hex; other members are ignored, so
//! that a file may say where it comes from. `blocks` is for blocks without logs.

use std::collections::BTreeMap;

use kernel::{Address, B256, Kind};
use serde::{Deserialize, Serialize};

use crate::{
    contracts::topics,
    decode::SeenTopics,
    log::{Block, Log, WireLog},
    quantity::{self, Quantity},
};

/// The logs and blocks of one canonical piece of a chain, in chain order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// EIP-155 chain id.
    pub chain: u64,
    /// Every block that the file names, ascending.
    pub blocks: Vec<Block>,
    /// Every log, ascending by (block, log index).
    pub logs: Vec<Log>,
    /// The topics that the file says it would hold; where it is silent, those that occur count.
    pub topics: Option<Vec<B256>>,
}

/// A file that is no recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It is not the JSON that the format asks for.
    #[error("no recorded chain: {0}")]
    Json(#[from] serde_json::Error),
    /// It names two blocks of one height, or two facts about one block: a fork is no recording.
    #[error("block {number} is told twice, and differently")]
    Contradiction {
        /// Height of the block.
        number: u64,
    },
    /// Two logs have one place.
    #[error("two logs of block {number} have index {log_index}")]
    SamePlace {
        /// Height of the block.
        number: u64,
        /// Index of the logs in it.
        log_index: u32,
    },
    /// A log that a reorg took back.
    #[error("a log of block {number} is marked as removed")]
    Removed {
        /// Height of the block.
        number: u64,
    },
}

impl RecordingError {
    /// Always [`Kind::Invalid`]: the same file fails again.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl Recording {
    /// Reads a file; the order of its logs does not matter.
    pub fn parse(json: &[u8]) -> Result<Self, RecordingError> {
        let file: WireFile = serde_json::from_slice(json)?;
        let mut blocks = BTreeMap::new();
        for block in file.blocks {
            learn(&mut blocks, &block.into_block())?;
        }
        let mut logs = Vec::with_capacity(file.logs.len());
        for wire in file.logs {
            if wire.removed {
                return Err(RecordingError::Removed {
                    number: wire.block_number,
                });
            }
            let parent = wire.parent_hash;
            let log = wire.into_log(file.chain_id);
            let block = Block {
                number: log.block_number,
                hash: log.block_hash,
                parent,
                time: log.block_time,
            };
            learn(&mut blocks, &block)?;
            logs.push(log);
        }
        logs.sort_by_key(Log::position);
        for pair in logs.windows(2) {
            if pair[0].position() == pair[1].position() {
                let (number, log_index) = pair[0].position();
                return Err(RecordingError::SamePlace { number, log_index });
            }
        }
        Ok(Self {
            chain: file.chain_id,
            blocks: blocks.into_values().collect(),
            logs,
            topics: file.topics,
        })
    }

    /// Which of the telling topics the file holds.
    pub fn seen_topics(&self) -> SeenTopics {
        match &self.topics {
            Some(declared) => SeenTopics::declared(declared),
            None => SeenTopics::of(&self.logs),
        }
    }

    /// The contracts that emitted events of an identity registry, in order of appearance.
    pub fn registries(&self) -> Vec<Address> {
        let mut out: Vec<Address> = Vec::new();
        for log in &self.logs {
            let telling = [topics::REGISTERED, topics::URI_UPDATED];
            if log.topic0().is_some_and(|topic| telling.contains(&topic))
                && !out.contains(&log.address)
            {
                out.push(log.address);
            }
        }
        out
    }

    /// The contracts that emitted events of `AgentStatus`.
    pub fn status_contracts(&self) -> Vec<Address> {
        let mut out: Vec<Address> = Vec::new();
        for log in &self.logs {
            if log
                .topic0()
                .is_some_and(|topic| topics::OF_STATUS.contains(&topic))
                && !out.contains(&log.address)
            {
                out.push(log.address);
            }
        }
        out
    }

    /// Writes the file that [`Recording::parse`] reads.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordingError> {
        let file = WireFile {
            chain_id: self.chain,
            topics: self.topics.clone(),
            blocks: self.blocks.iter().map(WireBlock::of).collect(),
            logs: self.logs.iter().map(|log| WireLog::of(log, None)).collect(),
        };
        Ok(serde_json::to_vec(&file)?)
    }
}

/// Adds what is told of a block; what is told twice must agree.
fn learn(blocks: &mut BTreeMap<u64, Block>, new: &Block) -> Result<(), RecordingError> {
    let number = new.number;
    let known = blocks.entry(number).or_insert_with(|| new.clone());
    let parents_differ = known.parent.zip(new.parent).is_some_and(|(a, b)| a != b);
    let times_differ = known.time.zip(new.time).is_some_and(|(a, b)| a != b);
    if known.hash != new.hash || parents_differ || times_differ {
        return Err(RecordingError::Contradiction { number });
    }
    known.parent = known.parent.or(new.parent);
    known.time = known.time.or(new.time);
    Ok(())
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFile {
    #[serde(deserialize_with = "quantity::deserialize")]
    chain_id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topics: Option<Vec<B256>>,
    #[serde(default)]
    blocks: Vec<WireBlock>,
    logs: Vec<WireLog>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBlock {
    #[serde(with = "quantity")]
    number: u64,
    hash: B256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_hash: Option<B256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<Quantity<i64>>,
}

impl WireBlock {
    fn into_block(self) -> Block {
        Block {
            number: self.number,
            hash: self.hash,
            parent: self.parent_hash,
            time: self.timestamp.map(|time| time.0),
        }
    }

    fn of(block: &Block) -> Self {
        Self {
            number: block.number,
            hash: block.hash,
            parent_hash: block.parent,
            timestamp: block.time.map(Quantity),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(block: &str, index: &str, more: &str) -> String {
        format!(
            r#"{{"blockNumber":{block},"blockHash":"0x{:064x}","transactionHash":"0x{:064x}",
            "transactionIndex":"0x0","logIndex":{index},"address":"0x{:040x}","topics":[],
            "data":"0x"{more}}}"#,
            1, 2, 3
        )
    }

    fn parse(logs: &[String]) -> Result<Recording, RecordingError> {
        Recording::parse(format!(r#"{{"chainId":"0x1","logs":[{}]}}"#, logs.join(",")).as_bytes())
    }

    #[test]
    fn numbers_may_be_plain_or_hex_and_order_does_not_matter() {
        let recording = parse(&[
            log("\"0x7\"", "\"0x2\"", r#","blockTimestamp":"0x64""#),
            log("7", "1", r#","source":"ignored""#),
        ])
        .expect("a recording");
        let indexes: Vec<u32> = recording.logs.iter().map(|log| log.log_index).collect();
        assert_eq!(indexes, [1, 2]);
        assert_eq!(recording.blocks.len(), 1);
        assert_eq!(recording.blocks[0].time, Some(100));
        let again = Recording::parse(&recording.to_json().expect("json")).expect("read back");
        assert_eq!(again, recording);
    }

    #[test]
    fn contradictions_are_refused() {
        let time = |seconds: u32| format!(r#","blockTimestamp":{seconds}"#);
        let two = parse(&[log("7", "1", &time(1)), log("7", "2", &time(2))]);
        assert!(matches!(
            two,
            Err(RecordingError::Contradiction { number: 7 })
        ));
        let same = parse(&[log("7", "1", ""), log("7", "1", "")]);
        assert!(matches!(same, Err(RecordingError::SamePlace { .. })));
        let removed = parse(&[log("7", "1", r#","removed":true"#)]);
        assert!(matches!(removed, Err(RecordingError::Removed { .. })));
        assert!(matches!(
            Recording::parse(b"[]"),
            Err(RecordingError::Json(_))
        ));
    }
}
