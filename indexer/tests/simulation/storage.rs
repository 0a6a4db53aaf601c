//! A contract's storage in the layout that Solidity gives it, so that what the oracle reads is what a
//! node would prove.

use std::collections::BTreeMap;

use kernel::{Address, B256, U256, keccak256};

/// ERC-7201 namespaces of the registry (`erc-8004-and-1056.md` §1).
const IDENTITY: &str = "a040f782729de4970518741823ec1276cbcd41a0c7493f62d173341566a04e00";
const ERC721: &str = "80bb2b638cc20bc4d0a60d66940f3ab4a00c1d7b313497ca82fb0b4ab0079300";
const URI_STORAGE: &str = "0542a41881ee128a365a727b282c86fa859579490b9bb45aab8503648c8e7900";

/// Words by slot; a zero word is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage(pub BTreeMap<B256, B256>);

fn at(namespace: &str, offset: u64) -> B256 {
    let base = U256::from_str_radix(namespace, 16).expect("hex");
    B256::from(base + U256::from(offset))
}

pub fn word(number: u64) -> B256 {
    B256::from(U256::from(number))
}

fn mapped(key: &[u8], slot: B256) -> B256 {
    keccak256([key, slot.as_slice()].concat())
}

/// `_lastId`: how many agents there are.
pub fn last_id() -> B256 {
    at(IDENTITY, 0)
}

pub fn owner_of(id: u64) -> B256 {
    mapped(word(id).as_slice(), at(ERC721, 2))
}

pub fn balance_of(owner: Address) -> B256 {
    mapped(owner.into_word().as_slice(), at(ERC721, 3))
}

pub fn approved_of(id: u64) -> B256 {
    mapped(word(id).as_slice(), at(ERC721, 4))
}

pub fn operator_of(owner: Address, operator: Address) -> B256 {
    let of_owner = mapped(owner.into_word().as_slice(), at(ERC721, 5));
    mapped(operator.into_word().as_slice(), of_owner)
}

pub fn uri_of(id: u64) -> B256 {
    mapped(word(id).as_slice(), at(URI_STORAGE, 0))
}

pub fn metadata_of(id: u64, key: &[u8]) -> B256 {
    let of_agent = mapped(word(id).as_slice(), at(IDENTITY, 1));
    mapped(key, of_agent)
}

impl Storage {
    pub fn word(&self, slot: B256) -> B256 {
        self.0.get(&slot).copied().unwrap_or_default()
    }

    /// Gives the word that was there.
    pub fn set_word(&mut self, slot: B256, value: B256) -> B256 {
        let before = if value.is_zero() {
            self.0.remove(&slot)
        } else {
            self.0.insert(slot, value)
        };
        before.unwrap_or_default()
    }

    pub fn number(&self, slot: B256) -> u64 {
        U256::from_be_bytes(self.word(slot).0).to()
    }

    /// `None` is the zero address.
    pub fn address(&self, slot: B256) -> Option<Address> {
        Some(Address::from_word(self.word(slot))).filter(|address| !address.is_zero())
    }

    /// `bytes` and `string`: up to 31 bytes in the slot itself with twice the length behind them, longer
    /// ones at the slot's hash.
    pub fn bytes(&self, slot: B256) -> Vec<u8> {
        let head = self.word(slot);
        if head[31] & 1 == 0 {
            return head[..usize::from(head[31] / 2)].to_vec();
        }
        let length: usize = ((U256::from_be_bytes(head.0) - U256::from(1)) / U256::from(2)).to();
        let first = U256::from_be_bytes(keccak256(slot).0);
        let mut out = Vec::with_capacity(length.next_multiple_of(32));
        for part in 0..length.div_ceil(32) {
            out.extend(self.word(B256::from(first + U256::from(part))));
        }
        out.truncate(length);
        out
    }

    /// The words to write for `value`, those included that the value before leaves behind.
    pub fn writes_of(&self, slot: B256, value: &[u8]) -> Vec<(B256, B256)> {
        let before = self.bytes(slot).len();
        if before.max(value.len()) < 32 {
            return vec![(slot, short(value))];
        }
        let first = U256::from_be_bytes(keccak256(slot).0);
        let (mut writes, part) = (Vec::new(), |part| B256::from(first + U256::from(part)));
        if before >= 32 {
            writes.extend((0..before.div_ceil(32)).map(|number| (part(number), B256::ZERO)));
        }
        if value.len() < 32 {
            writes.push((slot, short(value)));
            return writes;
        }
        writes.push((slot, B256::from(U256::from(value.len() * 2 + 1))));
        let words = value.chunks(32).map(B256::right_padding_from);
        writes.extend(words.enumerate().map(|(number, word)| (part(number), word)));
        writes
    }
}

/// Bytes that fit into the slot, with twice their number behind them.
fn short(value: &[u8]) -> B256 {
    let mut head = B256::right_padding_from(value);
    head[31] = u8::try_from(value.len() * 2).expect("short");
    head
}

#[test]
fn bytes_of_any_length_come_back_and_leave_nothing_behind() {
    let (mut storage, slot) = (Storage::default(), word(7));
    for length in [0, 1, 31, 32, 33, 64, 100, 3, 0] {
        let value = vec![0xab; length];
        for (slot, word) in storage.writes_of(slot, &value) {
            storage.set_word(slot, word);
        }
        assert_eq!(storage.bytes(slot), value);
    }
    assert_eq!(storage, Storage::default());
}
