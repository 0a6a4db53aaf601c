//! A recorded chain of the test's own making, whose logs need not be honest.

use std::{fs, path::Path};

use kernel::keccak256;
use serde_json::{Value, json};

/// The chain's id; no preset knows it.
pub const CHAIN: u64 = 990_001;
/// The identity registry.
pub const REGISTRY: &str = "0x8004a169fb4a3325136eb29fa0ceb6d2e539a432";
/// Everybody's owner.
const OWNER: u128 = 0xa11ce;

/// The file under construction: a block for each log.
#[derive(Default)]
pub struct Tape {
    logs: Vec<Value>,
}

impl Tape {
    /// How many logs it holds.
    pub fn len(&self) -> usize {
        self.logs.len()
    }

    /// Any log of the registry; gives its block and log index as a cause writes them.
    pub fn log(&mut self, topics: &[String], data: &[u8]) -> String {
        let number = 100 + self.logs.len();
        let hash = word(number as u128 + (1 << 100));
        self.logs.push(json!({
            "blockNumber": number, "blockHash": hash, "blockTimestamp": 1_700_000_000 + number,
            "transactionHash": word(number as u128 + (2 << 100)), "transactionIndex": 0, "logIndex": 0,
            "address": REGISTRY, "topics": topics, "data": format!("0x{}", hex::encode(data)),
        }));
        format!("eip155:{CHAIN}/{hash}/0")
    }

    /// `Registered`.
    pub fn registered(&mut self, agent: u128, uri: &[u8]) -> String {
        let topics = [
            event("Registered(uint256,string,address)"),
            word(agent),
            word(OWNER),
        ];
        self.log(&topics, &strings(&[uri]))
    }

    /// `MetadataSet`.
    pub fn metadata(&mut self, agent: u128, key: &[u8], value: &[u8]) -> String {
        let event = event("MetadataSet(uint256,string,string,bytes)");
        let topics = [event, word(agent), format!("{:#x}", keccak256(key))];
        self.log(&topics, &strings(&[key, value]))
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) {
        fs::write(
            path,
            json!({ "chainId": CHAIN, "logs": self.logs }).to_string(),
        )
        .unwrap();
    }
}

/// An event's topic.
pub fn event(signature: &str) -> String {
    format!("{:#x}", keccak256(signature.as_bytes()))
}

/// A number as a word.
pub fn word(number: u128) -> String {
    format!("0x{number:064x}")
}

/// The ABI's encoding of texts, whatever their bytes are.
pub fn strings(texts: &[&[u8]]) -> Vec<u8> {
    let number = |number: usize| hex::decode(&word(number as u128)[2..]).unwrap();
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    for text in texts {
        head.extend(number(texts.len() * 32 + tail.len()));
        tail.extend(number(text.len()));
        tail.extend_from_slice(text);
        tail.resize(tail.len().next_multiple_of(32), 0);
    }
    [head, tail].concat()
}
