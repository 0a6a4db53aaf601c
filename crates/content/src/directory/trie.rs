//! The hash trie of a large directory (UnixFS specification, HAMT): 256 places in each node, taken by the name's
//! hash, a byte for each level. A place holds an entry, or a node of its own where several names meet.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::BuildHasher,
};

use kernel::{Bytes, Cid};

use super::{Grown, Growth, Target, finished, hash, name, target};
use crate::{
    Error, Result,
    block::Block,
    dag_pb::{self, Link, Node, Value, put},
    unixfs::{Data, KIND_SHARD, data},
};

/// Places in a node.
const FANOUT: u64 = 256;
/// Multihash code of murmur3-x64-64.
const MURMUR3: u64 = 0x22;
/// Digits of a place before a name.
const DIGITS: usize = 2;

/// What a place holds.
enum Slot {
    Entry(String, Target),
    Node(Target),
}

/// The link for `name` in a node at `depth` below the trie's root, and whether it leads to a node; else
/// nothing of this name is in the directory.
pub(crate) fn child(node: &Node<'_>, name: &str, depth: usize) -> Result<Option<(Cid, bool)>> {
    check(&data(node)?)?;
    let place = format!("{:02X}", place(name, depth)?);
    for link in &node.links {
        match link.name.strip_prefix(place.as_bytes()) {
            Some([]) => return Ok(Some((link.cid, true))),
            Some(rest) if rest == name.as_bytes() => return Ok(Some((link.cid, false))),
            _ => {}
        }
    }
    Ok(None)
}

/// The place of a name in a node at `depth`: that byte of its hash, the highest first.
fn place(name: &str, depth: usize) -> Result<u8> {
    let hash = hash(name).to_be_bytes();
    let deep = || {
        Error::Malformed(format!(
            "a sharded directory deeper than {} levels",
            hash.len()
        ))
    };
    hash.get(depth).copied().ok_or_else(deep)
}

fn check(data: &Data<'_>) -> Result<()> {
    if data.fanout == Some(FANOUT) && data.hash_type == Some(MURMUR3) {
        return Ok(());
    }
    Err(Error::Unsupported(
        "a UnixFS HAMT directory of another width than 256 or by another hash than murmur3"
            .to_owned(),
    ))
}

/// A trie in the making.
pub(super) struct Trie<'a, S> {
    known: &'a HashMap<Cid, Bytes, S>,
    missing: Vec<Cid>,
    blocks: Vec<Block>,
    left_out: Vec<String>,
}

impl<'a, S: BuildHasher> Trie<'a, S> {
    /// With names that were left out already.
    pub(super) fn leaving_out(known: &'a HashMap<Cid, Bytes, S>, left_out: Vec<String>) -> Self {
        Self {
            known,
            missing: Vec::new(),
            blocks: Vec::new(),
            left_out,
        }
    }

    /// Adds `entries` to the trie at `root`.
    pub(super) fn grown(
        mut self,
        root: Option<&Cid>,
        entries: &BTreeMap<String, Target>,
    ) -> Result<Growth> {
        let entries = entries.iter().map(|(name, target)| (name.clone(), *target));
        let root = self.node(root, entries.collect(), 0)?;
        Ok(match root.filter(|_| self.missing.is_empty()) {
            None => Growth::Missing(self.missing),
            Some(root) => Growth::Done(Grown {
                root,
                blocks: self.blocks,
                left_out: self.left_out,
            }),
        })
    }

    /// The node at `at` with `entries`; `None` where something is missing for it.
    fn node(
        &mut self,
        at: Option<&Cid>,
        entries: Vec<(String, Target)>,
        depth: usize,
    ) -> Result<Option<Target>> {
        let mut slots = match at {
            None => BTreeMap::new(),
            Some(cid) => {
                let Some(bytes) = self.known.get(cid) else {
                    self.missing.push(*cid);
                    return Ok(None);
                };
                slots(bytes)?
            }
        };
        let mut groups: BTreeMap<u8, Vec<(String, Target)>> = BTreeMap::new();
        for (name, target) in entries {
            groups
                .entry(place(&name, depth)?)
                .or_default()
                .push((name, target));
        }
        for (place, mut group) in groups {
            let below = match slots.remove(&place) {
                Some(Slot::Node(target)) => Some(target.cid),
                Some(Slot::Entry(name, target)) => {
                    // Where it is replaced, the new one stands in its place.
                    match group.iter().position(|(new, _)| *new == name) {
                        Some(at) => group.swap(0, at),
                        None => group.insert(0, (name, target)),
                    }
                    None
                }
                None => None,
            };
            let mut taken = HashSet::new();
            group.retain(|(name, _)| {
                let is_first = taken.insert(hash(name));
                if !is_first {
                    self.left_out.push(name.clone());
                }
                is_first
            });
            let slot = match (below, <[_; 1]>::try_from(group)) {
                (None, Ok([(name, target)])) => Some(Slot::Entry(name, target)),
                (below, group) => {
                    let group = group.map_or_else(|many| many, Vec::from);
                    self.node(below.as_ref(), group, depth + 1)?.map(Slot::Node)
                }
            };
            slots.extend(slot.map(|slot| (place, slot)));
        }
        Ok(self.missing.is_empty().then(|| self.finish(&slots)))
    }

    fn finish(&mut self, slots: &BTreeMap<u8, Slot>) -> Target {
        let named: Vec<(String, Target)> = slots
            .iter()
            .map(|(place, slot)| match slot {
                Slot::Entry(name, target) => (format!("{place:02X}{name}"), *target),
                Slot::Node(target) => (format!("{place:02X}"), *target),
            })
            .collect();
        let links = named.iter().map(|(name, target)| Link {
            cid: target.cid,
            name: name.as_bytes(),
            size: target.size,
        });
        let taken = bits(slots.keys().copied());
        let mut message = Vec::new();
        put(&mut message, 1, Value::Int(KIND_SHARD));
        put(&mut message, 2, Value::Bytes(&taken));
        put(&mut message, 5, Value::Int(MURMUR3));
        put(&mut message, 6, Value::Int(FANOUT));
        let (target, block) = finished(links.collect(), &message);
        self.blocks.push(block);
        target
    }
}

/// A bit for each place that is taken, the last place first, without leading zeros.
fn bits(places: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut bits = [0_u8; 32];
    for place in places {
        bits[31 - usize::from(place / 8)] |= 1 << (place % 8);
    }
    let first = bits.iter().position(|byte| *byte != 0);
    bits[first.unwrap_or(bits.len())..].to_vec()
}

fn slots(bytes: &[u8]) -> Result<BTreeMap<u8, Slot>> {
    let node = dag_pb::decode(bytes)?;
    let message = data(&node)?;
    if message.kind != KIND_SHARD {
        return Err(Error::Malformed(
            "a sharded directory with a part that is none".to_owned(),
        ));
    }
    check(&message)?;
    let mut slots = BTreeMap::new();
    for link in &node.links {
        let wrong = || Error::Malformed("a sharded directory with a link of no place".to_owned());
        let (place, rest) = link.name.split_at_checked(DIGITS).ok_or_else(wrong)?;
        let place = std::str::from_utf8(place).map_err(|_| wrong())?;
        let place = u8::from_str_radix(place, 16).map_err(|_| wrong())?;
        let slot = if rest.is_empty() {
            Slot::Node(target(link))
        } else {
            Slot::Entry(name(rest)?, target(link))
        };
        slots.insert(place, slot);
    }
    Ok(slots)
}
