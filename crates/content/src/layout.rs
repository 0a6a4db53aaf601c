//! How a file becomes a DAG: cut into chunks, which raw leaves hold, under balanced UnixFS nodes.

use kernel::{Bytes, Cid, cid_of_raw};

use crate::{
    block::{Block, DAG_PB},
    dag_pb::{self, Link, Node, Value, put},
};

/// Chunk size and width of the tree. Both are part of what a large file's CID depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Bytes per leaf.
    pub chunk: usize,
    /// Most links of a node.
    pub width: usize,
}

impl Layout {
    /// Ours: IPIP-499's profile `unixfs-v1-2025`. A file of at most 1 MiB is one raw block.
    /// Kubo: `ipfs add --cid-version 1 --raw-leaves --chunker size-1048576` (the same up to
    /// 174 MiB, where Kubo's narrower tree begins to differ).
    pub const OURS: Self = Self {
        chunk: 1 << 20,
        width: 1024,
    };
    /// What `ipfs add --cid-version 1 --raw-leaves` gives without a profile.
    pub const KUBO: Self = Self {
        chunk: 1 << 18,
        width: 174,
    };
}

/// A file as blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dag {
    /// The file's CID.
    pub root: Cid,
    /// All blocks, leaves first, the root last.
    pub blocks: Vec<Block>,
}

/// A finished part of the tree.
struct Part {
    cid: Cid,
    /// Bytes of the file below it.
    content: u64,
    /// Bytes of its blocks, itself included.
    size: u64,
}

/// Cuts `bytes` up.
pub fn build(bytes: &[u8], layout: Layout) -> Dag {
    let mut blocks = Vec::new();
    let mut parts = Vec::new();
    let mut rest = bytes;
    loop {
        let (chunk, after) = rest.split_at(rest.len().min(layout.chunk));
        let size = chunk.len() as u64;
        let cid = cid_of_raw(chunk);
        blocks.push((cid, Bytes::copy_from_slice(chunk)));
        parts.push(Part {
            cid,
            content: size,
            size,
        });
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    while parts.len() > 1 {
        parts = parts
            .chunks(layout.width)
            .map(|children| {
                let (part, block) = parent(children);
                blocks.push(block);
                part
            })
            .collect();
    }
    Dag {
        root: parts[0].cid,
        blocks,
    }
}

fn parent(children: &[Part]) -> (Part, Block) {
    let content = children.iter().map(|child| child.content).sum();
    let mut data = file_message(content);
    for child in children {
        put(&mut data, 4, Value::Int(child.content));
    }
    let links = children
        .iter()
        .map(|child| Link {
            cid: child.cid,
            name: b"",
            size: child.size,
        })
        .collect();
    let bytes = dag_pb::encode(&Node { links, data: &data });
    let cid = Cid::new_v1(DAG_PB, *cid_of_raw(&bytes).hash());
    let below: u64 = children.iter().map(|child| child.size).sum();
    (
        Part {
            cid,
            content,
            size: below + bytes.len() as u64,
        },
        (cid, bytes.into()),
    )
}

/// The one dag-pb block that holds a short file itself: what `ipfs add` makes of it by default
/// (`CIDv0`). Its CID can be told from the file alone.
pub(crate) fn wrapped(bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(bytes.len() + 16);
    put(&mut data, 1, Value::Int(2));
    if !bytes.is_empty() {
        put(&mut data, 2, Value::Bytes(bytes));
    }
    put(&mut data, 3, Value::Int(bytes.len() as u64));
    dag_pb::encode(&Node {
        links: Vec::new(),
        data: &data,
    })
}

/// The head of a file's UnixFS message: type and size.
fn file_message(size: u64) -> Vec<u8> {
    let mut data = Vec::new();
    put(&mut data, 1, Value::Int(2));
    put(&mut data, 3, Value::Int(size));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known from Kubo, Helia and the gateway specification.
    #[test]
    fn short_files_are_one_block() {
        let empty = build(b"", Layout::OURS).root.to_string();
        assert_eq!(
            empty,
            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
        );
        let hello = Cid::new_v0(*cid_of_raw(&wrapped(b"hello world\n")).hash()).expect("sha2-256");
        assert_eq!(
            hello.to_string(),
            "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"
        );
        let empty = Cid::new_v0(*cid_of_raw(&wrapped(b"")).hash()).expect("sha2-256");
        assert_eq!(
            empty.to_string(),
            "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"
        );
    }

    #[test]
    fn the_tree_is_as_deep_as_its_width_asks() {
        let layout = Layout { chunk: 1, width: 2 };
        // 5 leaves, then 3, 2 and 1 nodes.
        assert_eq!(build(b"abcde", layout).blocks.len(), 5 + 3 + 2 + 1);
        assert_eq!(build(b"a", layout).blocks.len(), 1);
    }
}
