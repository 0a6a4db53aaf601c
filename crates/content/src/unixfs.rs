//! UnixFS: files and directories as DAGs of blocks. The reader does no I/O: it is given the blocks
//! that are at hand and says which ones it misses.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
};

use kernel::{Bytes, Cid};

use crate::{
    Error, Result,
    block::{self, DAG_PB},
    dag_pb::{self, Node, Value},
    directory,
};

/// How much a hostile DAG may make us do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest file, in bytes.
    pub max_bytes: usize,
    /// The most blocks that are visited, repetitions included.
    pub max_blocks: usize,
    /// The deepest nesting of a file's nodes.
    pub max_depth: usize,
}

/// A complete file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The file's own CID: the root, or what the path led to.
    pub cid: Cid,
    /// Its content.
    pub bytes: Vec<u8>,
    /// All blocks that were visited, those of the path first.
    pub blocks: Vec<Cid>,
}

/// How far the blocks at hand lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// These blocks are needed next; all of them can be fetched at once.
    Missing(Vec<Cid>),
    /// Nothing is missing.
    File(File),
}

/// The part of UnixFS's `Data` message that matters here.
#[derive(Debug, Default)]
pub(crate) struct Data<'a> {
    pub(crate) kind: u64,
    inline: &'a [u8],
    size: Option<u64>,
    block_sizes: Vec<u64>,
    pub(crate) hash_type: Option<u64>,
    pub(crate) fanout: Option<u64>,
}

const KIND_RAW: u64 = 0;
pub(crate) const KIND_DIRECTORY: u64 = 1;
const KIND_FILE: u64 = 2;
/// A node of a sharded directory.
pub(crate) const KIND_SHARD: u64 = 5;

/// Reads the file at `path` below `root` from verified `blocks`.
///
/// Raw, dag-cbor and dag-json blocks are files that consist of themselves. Symbolic links are
/// [`Error::Unsupported`].
pub fn read<S: BuildHasher>(
    root: &Cid,
    path: &[String],
    blocks: &HashMap<Cid, Bytes, S>,
    limits: Limits,
) -> Result<Step> {
    let mut walk = Walk {
        blocks,
        limits,
        visited: Vec::new(),
        missing: Vec::new(),
        bytes: Vec::new(),
    };
    let Some(file) = walk.find(root, path)? else {
        return Ok(Step::Missing(walk.missing));
    };
    walk.file(&file, 0)?;
    if walk.missing.is_empty() {
        Ok(Step::File(File {
            cid: file,
            bytes: walk.bytes,
            blocks: walk.visited,
        }))
    } else {
        let mut seen = HashSet::new();
        walk.missing.retain(|cid| seen.insert(*cid));
        Ok(Step::Missing(walk.missing))
    }
}

/// What a sharded directory says of a name.
enum Found {
    /// A block is missing for saying it.
    Missing,
    Nothing,
    Entry(Cid),
}

struct Walk<'a, S> {
    blocks: &'a HashMap<Cid, Bytes, S>,
    limits: Limits,
    visited: Vec<Cid>,
    missing: Vec<Cid>,
    bytes: Vec<u8>,
}

impl<S: BuildHasher> Walk<'_, S> {
    /// The block, or a note that it is missing.
    fn block(&mut self, cid: &Cid) -> Result<Option<Bytes>> {
        if self.visited.len() + self.missing.len() >= self.limits.max_blocks {
            return Err(Error::TooLarge {
                limit: format!("{} blocks", self.limits.max_blocks),
            });
        }
        block::check(cid)?;
        let found = block::inline(cid).or_else(|| self.blocks.get(cid).cloned());
        match &found {
            Some(_) => self.visited.push(*cid),
            None => self.missing.push(*cid),
        }
        Ok(found)
    }

    /// Follows `path` through directories.
    fn find(&mut self, root: &Cid, path: &[String]) -> Result<Option<Cid>> {
        let mut at = *root;
        for name in path {
            let nothing = || Error::NoSuchPath {
                root: *root,
                path: path.join("/"),
            };
            match at.codec() {
                DAG_PB => {}
                block::RAW => return Err(nothing()),
                other => return Err(Error::Unsupported(format!("a path into codec {other:#x}"))),
            }
            let Some(bytes) = self.block(&at)? else {
                return Ok(None);
            };
            let node = dag_pb::decode(&bytes)?;
            let entry = match data(&node)?.kind {
                KIND_DIRECTORY => node
                    .links
                    .iter()
                    .find(|link| link.name == name.as_bytes())
                    .map(|link| link.cid),
                KIND_SHARD => match self.sharded(&node, name)? {
                    Found::Missing => return Ok(None),
                    Found::Nothing => None,
                    Found::Entry(cid) => Some(cid),
                },
                KIND_RAW | KIND_FILE => None,
                other => return Err(unsupported(other)),
            };
            at = entry.ok_or_else(nothing)?;
        }
        Ok(Some(at))
    }

    /// Looks for a name from the root of a sharded directory on.
    fn sharded(&mut self, root: &Node<'_>, name: &str) -> Result<Found> {
        let mut next = directory::child(root, name, 0)?;
        let mut depth = 0;
        while let Some((cid, true)) = next {
            depth += 1;
            let Some(bytes) = self.block(&cid)? else {
                return Ok(Found::Missing);
            };
            next = directory::child(&dag_pb::decode(&bytes)?, name, depth)?;
        }
        Ok(next.map_or(Found::Nothing, |(cid, _)| Found::Entry(cid)))
    }

    /// Appends the file at `cid`; returns its length.
    fn file(&mut self, cid: &Cid, depth: usize) -> Result<u64> {
        if depth > self.limits.max_depth {
            return Err(Error::TooLarge {
                limit: format!("{} levels", self.limits.max_depth),
            });
        }
        let Some(bytes) = self.block(cid)? else {
            return Ok(0);
        };
        if cid.codec() != DAG_PB {
            self.append(&bytes)?;
            return Ok(bytes.len() as u64);
        }
        let node = dag_pb::decode(&bytes)?;
        let data = data(&node)?;
        match data.kind {
            KIND_RAW | KIND_FILE => {}
            KIND_DIRECTORY | KIND_SHARD => {
                return Err(Error::Malformed(format!(
                    "{cid} is a directory and no file"
                )));
            }
            other => return Err(unsupported(other)),
        }
        if data.block_sizes.len() != node.links.len() {
            return Err(Error::Malformed(
                "a file node with sizes for other links".to_owned(),
            ));
        }
        // What a verified block says of itself spares us the fetching of a file that is too large.
        self.fits(data.size.unwrap_or(0))?;
        self.append(data.inline)?;
        let mut length = data.inline.len() as u64;
        for (link, expected) in node.links.iter().zip(&data.block_sizes) {
            let found = self.file(&link.cid, depth + 1)?;
            if self.missing.is_empty() && found != *expected {
                return Err(Error::Malformed(
                    "a file node lies about its parts' sizes".to_owned(),
                ));
            }
            length = length.saturating_add(found);
        }
        if self.missing.is_empty() && data.size.is_some_and(|size| size != length) {
            return Err(Error::Malformed(
                "a file node lies about its size".to_owned(),
            ));
        }
        Ok(length)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.fits((self.bytes.len() + bytes.len()) as u64)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn fits(&self, size: u64) -> Result<()> {
        if size > self.limits.max_bytes as u64 {
            return Err(Error::TooLarge {
                limit: format!("{} bytes", self.limits.max_bytes),
            });
        }
        Ok(())
    }
}

/// Reads the UnixFS message of a node.
pub(crate) fn data<'a>(node: &Node<'a>) -> Result<Data<'a>> {
    let mut rest = node.data;
    let mut data = Data::default();
    let mut has_kind = false;
    while !rest.is_empty() {
        match dag_pb::field(&mut rest)? {
            (1, Value::Int(kind)) => {
                data.kind = kind;
                has_kind = true;
            }
            (2, Value::Bytes(bytes)) => data.inline = bytes,
            (3, Value::Int(size)) => data.size = Some(size),
            (4, Value::Int(size)) => data.block_sizes.push(size),
            (4, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    data.block_sizes.push(dag_pb::varint(&mut packed)?);
                }
            }
            (5, Value::Int(code)) => data.hash_type = Some(code),
            (6, Value::Int(width)) => data.fanout = Some(width),
            _ => {} // mode, time
        }
    }
    if has_kind {
        Ok(data)
    } else {
        Err(Error::Malformed("a dag-pb node without UnixFS".to_owned()))
    }
}

fn unsupported(kind: u64) -> Error {
    Error::Unsupported(match kind {
        4 => "a UnixFS symbolic link".to_owned(),
        other => format!("UnixFS type {other}"),
    })
}

#[cfg(test)]
#[path = "unixfs_tests.rs"]
mod tests;
