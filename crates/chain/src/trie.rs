//! A value in a Merkle-Patricia trie (Ethereum's yellow paper, appendix D), read from a few of its nodes.
//!
//! No node is believed: each is found by its hash, from the root down, so what is read stands under the root and
//! nothing else can. Bytes from anywhere may be given; nothing here panics or takes longer than the path is.

#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use alloy::{rlp, trie::EMPTY_ROOT_HASH};
use kernel::{B256, Bytes, keccak256};

/// Some nodes of tries, by their hashes.
#[derive(Debug)]
pub struct Nodes<'a> {
    by_hash: BTreeMap<B256, &'a [u8]>,
    used: RefCell<BTreeSet<B256>>,
}

/// Nodes that do not lead from the root to the end of a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// The path goes on in a node that is not there.
    #[error("the node {0} is missing")]
    Missing(B256),
    /// A node is none of a trie.
    #[error("the node {hash} is malformed: {why}")]
    Malformed {
        /// The node, or the one that holds it.
        hash: B256,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl<'a> Nodes<'a> {
    /// Takes nodes in any order.
    pub fn new(nodes: &'a [Bytes]) -> Self {
        let by_hash = nodes.iter().map(|node| (keccak256(node), node.as_ref()));
        Self {
            by_hash: by_hash.collect(),
            used: RefCell::default(),
        }
    }

    /// The value at `key` under `root`. `None`: it is shown that there is none.
    pub fn get(&self, root: B256, key: &[u8]) -> Result<Option<&'a [u8]>, TrieError> {
        if root == EMPTY_ROOT_HASH {
            return Ok(None);
        }
        let key: Vec<u8> = nibbles(key).collect();
        let (mut path, mut hash) = (&key[..], root);
        let mut node = self.node(hash)?;
        loop {
            let wrong = |why| TrieError::Malformed { hash, why };
            let items = items(node).ok_or(wrong("it is no list"))?;
            let child = match (&items[..], path.split_first()) {
                ([.., value], None) if items.len() == 17 => {
                    let value = string(value).ok_or(wrong("its value is no string"))?;
                    return Ok((!value.is_empty()).then_some(value));
                }
                (_, Some((step, rest))) if items.len() == 17 => {
                    path = rest;
                    items[usize::from(*step)]
                }
                ([part, end], _) => {
                    let part = string(part).and_then(compact);
                    let (part, leaf) = part.ok_or(wrong("its path is none"))?;
                    let Some(rest) = path.strip_prefix(&part[..]) else {
                        return Ok(None);
                    };
                    if leaf {
                        let value = string(end).ok_or(wrong("its value is no string"))?;
                        return Ok(rest.is_empty().then_some(value));
                    }
                    if part.is_empty() {
                        return Err(wrong("it leads nowhere"));
                    }
                    path = rest;
                    end
                }
                _ => return Err(wrong("it has neither 2 nor 17 items")),
            };
            // A child of less than 32 bytes stands in its parent.
            node = match string(child) {
                None => child,
                Some([]) => return Ok(None),
                Some(reference) => {
                    let next = B256::try_from(reference);
                    hash = next.map_err(|_| wrong("a reference is no hash"))?;
                    self.node(hash)?
                }
            };
        }
    }

    /// The nodes that were needed so far, in the order of their hashes.
    pub fn used(&self) -> Vec<Bytes> {
        let used = self.used.borrow();
        let used = used.iter().filter_map(|hash| self.by_hash.get(hash));
        used.map(|node| Bytes::copy_from_slice(node)).collect()
    }

    fn node(&self, hash: B256) -> Result<&'a [u8], TrieError> {
        let node = self.by_hash.get(&hash);
        let node = node.copied().ok_or(TrieError::Missing(hash))?;
        self.used.borrow_mut().insert(hash);
        Ok(node)
    }
}

/// The items of an RLP list, each with its head. `None`: these bytes are none, or more than one.
pub(crate) fn items(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = bytes;
    let mut inside = rlp::Header::decode_bytes(&mut rest, true).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let mut items = Vec::new();
    while !inside.is_empty() {
        let before = inside;
        let head = rlp::Header::decode(&mut inside).ok()?;
        inside = inside.get(head.payload_length..)?;
        items.push(&before[..before.len() - inside.len()]);
    }
    Some(items)
}

/// The bytes of an RLP string. `None`: it is a list, or not only a string.
pub(crate) fn string(item: &[u8]) -> Option<&[u8]> {
    let mut rest = item;
    let bytes = rlp::Header::decode_bytes(&mut rest, false).ok()?;
    rest.is_empty().then_some(bytes)
}

fn nibbles(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15])
}

/// A part of a path, and whether it is a leaf's (hex-prefix encoding, appendix C).
fn compact(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let flag = bytes.first()? >> 4;
    let skipped = match flag {
        0 | 2 => 2,
        1 | 3 => 1,
        _ => return None,
    };
    Some((nibbles(bytes).skip(skipped).collect(), flag >= 2))
}
