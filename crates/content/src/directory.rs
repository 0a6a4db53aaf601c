//! UnixFS directories that grow: plain ones, and hash tries of them (HAMT) once they are large, as Kubo makes
//! them. Like the reader ([`crate::read`]), nothing here does I/O: what is missing is named.
//!
//! A directory is a function of its entries alone, in whatever order and portions they were added: whoever
//! adds the same files with `ipfs add` gets the same CID. An entry that is added to many rewrites the nodes
//! on its own path and no others.

mod trie;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::BuildHasher,
};

use kernel::{Bytes, Cid, cid_of_raw};

use self::trie::Trie;
pub(crate) use self::trie::child;
use crate::{
    Error, Result,
    block::{Block, DAG_PB},
    dag_pb::{self, Link, Node, Value, put},
    murmur::murmur3,
    unixfs::{KIND_DIRECTORY, KIND_SHARD, data},
};

/// The largest plain directory: the bytes of its names and CIDs (Kubo's
/// `Import.UnixFSHAMTDirectorySizeThreshold` with the estimation `links`). Smaller than Kubo's 256 KiB,
/// because ours grow by one entry at a time and a plain directory is written anew each time.
pub const PLAIN_AT_MOST: usize = 16 * 1024;

/// What a directory links to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// A file's or directory's root.
    pub cid: Cid,
    /// Bytes of all its blocks, as UnixFS tells them in links.
    pub size: u64,
}

/// A directory with entries added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// The directory.
    pub root: Target,
    /// Its new blocks, the root last. They stand on those that it had before.
    pub blocks: Vec<Block>,
    /// Names that no trie has room for beside another one: they have the whole of its [`hash`]. Who came first stays.
    pub left_out: Vec<String>,
}

/// How far the blocks at hand lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Growth {
    /// These blocks are needed first.
    Missing(Vec<Cid>),
    /// Nothing is missing.
    Done(Grown),
}

/// A plain directory of these entries, however many.
pub fn directory(entries: &BTreeMap<String, Target>) -> Grown {
    let mut message = Vec::new();
    put(&mut message, 1, Value::Int(KIND_DIRECTORY));
    let links = entries.iter().map(|(name, target)| Link {
        cid: target.cid,
        name: name.as_bytes(),
        size: target.size,
    });
    let (root, block) = finished(links.collect(), &message);
    Grown {
        root,
        blocks: vec![block],
        left_out: Vec::new(),
    }
}

/// What a trie places a name by. Two names of one hash are not both in one, and so in no directory that may become one.
pub fn hash(name: &str) -> u64 {
    murmur3(name.as_bytes())
}

/// Adds `entries` to the directory at `root`, else to an empty one; an entry of the same name is replaced.
/// `blocks` are verified and at hand. A directory of more than `plain_at_most` bytes becomes a trie and stays
/// one. Of new names with one [`hash`] which one stays is not said: who adds them in an order adds the first.
///
/// Errors with [`Error::Malformed`] where `root` is no directory, or for a name that none can hold, and with
/// [`Error::Unsupported`] for tries of another width than 256 (Kubo's).
pub fn grow<S: BuildHasher>(
    root: Option<&Cid>,
    entries: &BTreeMap<String, Target>,
    blocks: &HashMap<Cid, Bytes, S>,
    plain_at_most: usize,
) -> Result<Growth> {
    if let Some(name) = entries
        .keys()
        .find(|name| name.is_empty() || name.contains('/'))
    {
        return Err(Error::Malformed(format!(
            "a directory entry named `{name}`"
        )));
    }
    let mut all = BTreeMap::new();
    if let Some(root) = root {
        let Some(bytes) = blocks.get(root) else {
            return Ok(Growth::Missing(vec![*root]));
        };
        let node = dag_pb::decode(bytes)?;
        match data(&node)?.kind {
            KIND_DIRECTORY => all = plain_entries(&node)?,
            KIND_SHARD => {
                return Trie::leaving_out(blocks, Vec::new()).grown(Some(root), entries);
            }
            _ => return Err(Error::Malformed(format!("{root} is no directory"))),
        }
    }
    let mut taken: HashSet<u64> = all.keys().map(|name| hash(name)).collect();
    let mut left_out = Vec::new();
    for (name, target) in entries {
        if all.contains_key(name) || taken.insert(hash(name)) {
            all.insert(name.clone(), *target);
        } else {
            left_out.push(name.clone());
        }
    }
    let size: usize = all
        .iter()
        .map(|(name, target)| name.len() + target.cid.encoded_len())
        .sum();
    if size > plain_at_most {
        return Trie::leaving_out(blocks, left_out).grown(None, &all);
    }
    Ok(Growth::Done(Grown {
        left_out,
        ..directory(&all)
    }))
}

fn plain_entries(node: &Node<'_>) -> Result<BTreeMap<String, Target>> {
    let entry = |link: &Link<'_>| Ok((name(link.name)?, target(link)));
    node.links.iter().map(entry).collect()
}

fn name(bytes: &[u8]) -> Result<String> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Error::Malformed("a directory entry that is no text".to_owned()))
}

fn target(link: &Link<'_>) -> Target {
    Target {
        cid: link.cid,
        size: link.size,
    }
}

/// A node as a block, and what a link to it says.
fn finished(links: Vec<Link<'_>>, message: &[u8]) -> (Target, Block) {
    let below: u64 = links.iter().map(|link| link.size).sum();
    let bytes = dag_pb::encode(&Node {
        links,
        data: message,
    });
    let cid = Cid::new_v1(DAG_PB, *cid_of_raw(&bytes).hash());
    let size = below + bytes.len() as u64;
    (Target { cid, size }, (cid, bytes.into()))
}

#[cfg(test)]
mod tests;
