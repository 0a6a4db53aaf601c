//! What a header's bytes and a few nodes of tries show, to somebody who trusts the header's hash alone.
//!
//! Everything is given as bytes, hostile ones included, and read in the forms of consensus: nothing of a node's own
//! JSON. [`crate::examine()`] and [`crate::state`] judge what nodes tell; this is for strangers who ask none.

#[cfg(test)]
mod tests;

use alloy::rlp;
use kernel::{Address, B256, Bytes, Kind, U256, keccak256};

use crate::{
    log::{Log, MAX_TOPICS},
    trie::{Nodes, TrieError, items, string},
};

/// The fields of a header that have been the first fifteen since Ethereum's first block (yellow paper, 4.3).
const FIELDS: usize = 15;

/// A header that was read from its RLP, so that its hash is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// keccak256 of the RLP; what must be trusted.
    pub hash: B256,
    /// Height.
    pub number: u64,
    /// Timestamp in seconds.
    pub time: u64,
    /// Root of the receipts' trie.
    pub receipts_root: B256,
    /// Root of the state's trie.
    pub state_root: B256,
}

/// An account's storage that stands under a header's `stateRoot`.
#[derive(Debug)]
pub struct Storage<'a> {
    root: B256,
    nodes: &'a Nodes<'a>,
}

/// Bytes that show nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError {
    /// No header.
    #[error("these bytes are no header: {0}")]
    Header(&'static str),
    /// The nodes do not lead to what was asked for.
    #[error("{what}: {why}")]
    Path {
        /// What was asked for.
        what: &'static str,
        /// Where the path breaks.
        why: TrieError,
    },
    /// It is shown that there is none.
    #[error("{0}: there is none")]
    Absent(&'static str),
    /// What stands there is something else.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl WitnessError {
    /// Always [`Kind::Invalid`].
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl Sealed {
    /// Reads a header's RLP.
    pub fn read(rlp: &[u8]) -> Result<Self, WitnessError> {
        let wrong = WitnessError::Header;
        let fields = items(rlp).ok_or(wrong("no list"))?;
        if fields.len() < FIELDS {
            return Err(wrong("too few fields"));
        }
        let hash = |at: usize| string(fields[at]).and_then(|bytes| B256::try_from(bytes).ok());
        let number = |at: usize| number(fields[at]);
        Ok(Self {
            hash: keccak256(rlp),
            state_root: hash(3).ok_or(wrong("no state root"))?,
            receipts_root: hash(5).ok_or(wrong("no receipts root"))?,
            number: number(8).ok_or(wrong("no height"))?,
            time: number(11).ok_or(wrong("no time"))?,
        })
    }

    /// The logs of one transaction, in order. What a receipt does not hold is made up: `log_index` counts from the
    /// transaction's first log, and `tx_hash` is zero.
    pub fn logs(&self, chain: u64, tx: u32, nodes: &Nodes<'_>) -> Result<Vec<Log>, WitnessError> {
        let what = "the receipt";
        let key = rlp::encode(tx);
        let found = nodes.get(self.receipts_root, &key);
        let receipt = found.map_err(|why| WitnessError::Path { what, why })?;
        let receipt = receipt.ok_or(WitnessError::Absent(what))?;
        let wrong = |why| WitnessError::Malformed { what, why };
        let mut logs = Vec::new();
        for (place, emitted) in emitted(receipt).map_err(wrong)?.into_iter().enumerate() {
            logs.push(Log {
                chain,
                block_number: self.number,
                block_hash: self.hash,
                block_time: i64::try_from(self.time).ok(),
                tx_hash: B256::ZERO,
                tx_index: tx,
                log_index: u32::try_from(place).map_err(|_| wrong("too many logs"))?,
                address: emitted.address,
                topics: emitted.topics,
                data: emitted.data,
            });
        }
        Ok(logs)
    }

    /// The storage of an account; that of one that is not there is an error.
    pub fn storage<'a>(
        &self,
        account: Address,
        nodes: &'a Nodes<'a>,
    ) -> Result<Storage<'a>, WitnessError> {
        let what = "the account";
        let found = nodes.get(self.state_root, keccak256(account).as_slice());
        let found = found.map_err(|why| WitnessError::Path { what, why })?;
        let fields = items(found.ok_or(WitnessError::Absent(what))?);
        // Nonce, balance, root of the storage, hash of the code.
        let root = fields.filter(|fields| fields.len() == 4);
        let root = root.and_then(|fields| B256::try_from(string(fields[2])?).ok());
        let why = "it has no root of its storage";
        let root = root.ok_or(WitnessError::Malformed { what, why })?;
        Ok(Storage { root, nodes })
    }
}

impl Storage<'_> {
    /// The word in a slot; zero where nothing stands.
    pub fn word(&self, slot: B256) -> Result<B256, WitnessError> {
        let what = "a slot";
        let found = self.nodes.get(self.root, keccak256(slot).as_slice());
        let found = found.map_err(|why| WitnessError::Path { what, why })?;
        let Some(value) = found else {
            return Ok(B256::ZERO);
        };
        let word = string(value).filter(|word| word.len() <= 32);
        let why = "it holds no word";
        let word = word.ok_or(WitnessError::Malformed { what, why })?;
        Ok(B256::left_padding_from(word))
    }
}

/// A log as a receipt holds it.
struct Emitted {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

/// The logs in a receipt's consensus encoding: EIP-2718 type, then RLP of outcome, gas, bloom, logs, and of what some
/// chains append.
fn emitted(receipt: &[u8]) -> Result<Vec<Emitted>, &'static str> {
    let list = match receipt.split_first() {
        Some((0..0x80, rest)) => rest,
        _ => receipt,
    };
    let fields = items(list).ok_or("it is no list")?;
    let logs = fields.get(3).and_then(|logs| items(logs));
    let logs = logs.ok_or("it has no list of logs")?;
    let read = |log: &[u8]| {
        let fields = items(log)?;
        let &[address, topics, data] = fields.as_slice() else {
            return None;
        };
        let topics = items(topics).filter(|topics| topics.len() <= MAX_TOPICS)?;
        let topics = topics
            .into_iter()
            .map(|topic| B256::try_from(string(topic)?).ok());
        Some(Emitted {
            address: Address::try_from(string(address)?).ok()?,
            topics: topics.collect::<Option<_>>()?,
            data: Bytes::copy_from_slice(string(data)?),
        })
    };
    let logs = logs.into_iter().map(|log| read(log).ok_or("a log is none"));
    logs.collect()
}

fn number(item: &[u8]) -> Option<u64> {
    let bytes = string(item).filter(|bytes| bytes.len() <= 8)?;
    U256::from_be_slice(bytes).try_into().ok()
}
