//! The hash trie of a large directory (UnixFS specification, HAMT): 256 places in each node, taken by the name's
//! hash, a byte for each level. A place holds an entry, or a node of its own where several names meet.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
    hash::BuildHasher,
};

use kernel::{Bytes, Cid};

use super::{Grown, Growth, Target, finished, hash, target};
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

/// What a place holds: an entry, or a node.
struct Slot<'a> {
    /// The place's digits, and the name of an entry behind them.
    label: Cow<'a, str>,
    target: Target,
}

impl Slot<'_> {
    fn entry(place: u8, name: &str, target: Target) -> Self {
        let label = format!("{place:02X}{name}").into();
        Self { label, target }
    }

    fn node(place: u8, target: Target) -> Self {
        Self::entry(place, "", target)
    }

    fn is_node(&self) -> bool {
        self.label.len() == DIGITS
    }
}

/// An entry that is added, or moves into a node of its own.
struct New<'a> {
    name: Cow<'a, str>,
    hash: u64,
    target: Target,
}

/// The link for `name` in a node at `depth` below the trie's root, and whether it leads to a node; else
/// nothing of this name is in the directory.
pub(crate) fn child(node: &Node<'_>, name: &str, depth: usize) -> Result<Option<(Cid, bool)>> {
    check(&data(node)?)?;
    let place = format!("{:02X}", place(hash(name), depth)?);
    for link in &node.links {
        match link.name.strip_prefix(place.as_bytes()) {
            Some([]) => return Ok(Some((link.cid, true))),
            Some(rest) if rest == name.as_bytes() => return Ok(Some((link.cid, false))),
            _ => {}
        }
    }
    Ok(None)
}

/// The place of a name with this hash in a node at `depth`: that byte of it, the highest first.
fn place(hash: u64, depth: usize) -> Result<u8> {
    let hash = hash.to_be_bytes();
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
        entries: &'a BTreeMap<String, Target>,
    ) -> Result<Growth> {
        let entries = entries.iter().map(|(name, target)| New {
            name: name.into(),
            hash: hash(name),
            target: *target,
        });
        let entries: Vec<New<'_>> = entries.collect();
        if let Some(root) = root {
            let mut hashes: Vec<u64> = entries.iter().map(|new| new.hash).collect();
            hashes.sort_unstable();
            self.look(root, &hashes, 0)?;
            if !self.missing.is_empty() {
                return Ok(Growth::Missing(self.missing));
            }
        }
        let root = self.node(root, entries, 0)?;
        Ok(Growth::Done(Grown {
            root,
            blocks: self.blocks,
            left_out: self.left_out,
        }))
    }

    /// Finds the blocks that are missing at `cid` and below it on the way to these hashes, which are sorted.
    /// It is done again for each level that was missing, so it makes nothing yet.
    fn look(&mut self, cid: &Cid, hashes: &[u64], depth: usize) -> Result<()> {
        let Some(bytes) = self.known.get(cid) else {
            self.missing.push(*cid);
            return Ok(());
        };
        let slots = slots(bytes)?;
        let mut rest = hashes;
        while let Some(first) = rest.first() {
            let at = place(*first, depth)?;
            let same = rest.partition_point(|hash| place(*hash, depth).ok() == Some(at));
            let (group, others) = rest.split_at(same);
            rest = others;
            if let Some(slot) = slots.get(&at).filter(|slot| slot.is_node()) {
                self.look(&slot.target.cid, group, depth + 1)?;
            }
        }
        Ok(())
    }

    /// The node at `at`, else an empty one, with `entries`. Nothing is missing for it.
    fn node(&mut self, at: Option<&Cid>, entries: Vec<New<'a>>, depth: usize) -> Result<Target> {
        let known = self.known;
        let mut slots = match at {
            None => BTreeMap::new(),
            Some(cid) => slots(known.get(cid).ok_or(Error::Missing(*cid))?)?,
        };
        let mut groups: BTreeMap<u8, Vec<New<'a>>> = BTreeMap::new();
        for new in entries {
            groups.entry(place(new.hash, depth)?).or_default().push(new);
        }
        for (place, mut group) in groups {
            let below = match slots.remove(&place) {
                Some(slot) if slot.is_node() => Some(slot.target.cid),
                Some(Slot { label, target }) => {
                    let name = label[DIGITS..].to_owned();
                    let old = New {
                        hash: hash(&name),
                        name: name.into(),
                        target,
                    };
                    // Where it is replaced, the new one stands in its place.
                    match group.iter().position(|new| new.name == old.name) {
                        Some(at) => group.swap(0, at),
                        None => group.insert(0, old),
                    }
                    None
                }
                None => None,
            };
            let mut taken = HashSet::new();
            group.retain(|new| {
                let is_first = taken.insert(new.hash);
                if !is_first {
                    self.left_out.push(new.name.clone().into_owned());
                }
                is_first
            });
            let slot = match (below, &group[..]) {
                (None, [new]) => Slot::entry(place, &new.name, new.target),
                _ => Slot::node(place, self.node(below.as_ref(), group, depth + 1)?),
            };
            slots.insert(place, slot);
        }
        Ok(self.finish(&slots))
    }

    fn finish(&mut self, slots: &BTreeMap<u8, Slot<'_>>) -> Target {
        let links = slots.values().map(|slot| Link {
            cid: slot.target.cid,
            name: slot.label.as_bytes(),
            size: slot.target.size,
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

/// What the places of a node hold.
fn slots<'a>(bytes: &'a [u8]) -> Result<BTreeMap<u8, Slot<'a>>> {
    let node = dag_pb::decode(bytes)?;
    let message = data(&node)?;
    if message.kind != KIND_SHARD {
        return Err(Error::Malformed(
            "a sharded directory with a part that is none".to_owned(),
        ));
    }
    check(&message)?;
    let wrong = || Error::Malformed("a sharded directory with a link of no place".to_owned());
    let slot = |link: &Link<'a>| {
        let label = std::str::from_utf8(link.name).map_err(|_| wrong())?;
        let digits = label.get(..DIGITS).ok_or_else(wrong)?;
        let place = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
        let target = target(link);
        // Digits of others may be lower-case ones.
        let slot = if digits.bytes().any(|digit| digit.is_ascii_lowercase()) {
            Slot::entry(place, &label[DIGITS..], target)
        } else {
            let label = label.into();
            Slot { label, target }
        };
        Ok((place, slot))
    };
    node.links.iter().map(slot).collect()
}
