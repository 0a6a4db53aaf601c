//! The format of a pack file: a header, then records
//! `[u32 length of the CID][u32 length of the bytes][CID][bytes][u32 CRC-32 of all before]`,
//! numbers little-endian. Behind the header and behind each write that became durable stands a mark, a record of no
//! CID and of the place where it stands: what is unreadable before a mark was changed, and what is unreadable behind
//! the last one was torn off by a crash, with all behind it, because a disk writes its pages in any order.

use std::fmt;

use flate2::Crc;
use kernel::Cid;

use crate::block::{Block, MAX_BLOCK};

/// First bytes of a pack: magic and version.
pub(super) const HEADER: &[u8; 16] = b"chancery-pack\0\0\x01";
/// The two lengths.
pub(super) const HEAD: usize = 8;
/// The checksum.
const TAIL: usize = 4;
/// The longest CID in bytes.
const MAX_CID: usize = 100;
/// The length of a mark.
pub(super) const MARK: usize = HEAD + 8 + TAIL;
/// The length of a pack in which nothing is.
pub(super) const START: u64 = (HEADER.len() + MARK) as u64;
/// The lengths of a mark's parts.
const MARK_HEAD: [u8; HEAD] = [0, 0, 0, 0, 8, 0, 0, 0];
/// The longest record.
pub(super) const MAX_RECORD: usize = HEAD + MAX_CID + MAX_BLOCK + TAIL;

/// What opening a store found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Blocks that are there.
    pub blocks: usize,
    /// A write that a crash cut off, never confirmed to anybody; it was removed.
    pub torn: Option<Damage>,
    /// Bytes that are not what was written, of the packs that were read: the disk's fault. They stay where they are; a block whose own
    /// bytes changed is missing and can be put again.
    pub corrupt: Vec<Damage>,
    /// The DAG-CBOR blocks with which the newest writes ended, oldest first, and not more than some hundreds: whoever
    /// stores a DAG stores its root last.
    pub ends: Vec<Cid>,
}

/// A stretch of a pack file that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file's name.
    pub pack: String,
    /// Where it begins, in bytes from the start of the file.
    pub offset: u64,
    /// How long it is, in bytes.
    pub bytes: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} unreadable bytes at {} of {}",
            self.bytes, self.offset, self.pack
        )
    }
}

/// The lengths of a record's parts, from its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) cid: usize,
    pub(super) bytes: usize,
}

impl Shape {
    /// Reads a head; `None` where no record begins so.
    pub(super) fn read(head: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = head.get(at..at + 4)?.try_into().ok()?;
            usize::try_from(u32::from_le_bytes(bytes)).ok()
        };
        let shape = Self {
            cid: number(0)?,
            bytes: number(4)?,
        };
        ((3..=MAX_CID).contains(&shape.cid) && shape.bytes <= MAX_BLOCK).then_some(shape)
    }

    /// Length of the whole record.
    pub(super) fn total(self) -> usize {
        HEAD + self.cid + self.bytes + TAIL
    }

    /// Where the block's bytes begin in the record.
    pub(super) fn body(self) -> usize {
        HEAD + self.cid
    }
}

/// Length of a block's record, in bytes.
pub(super) fn size(block: &Block) -> u64 {
    let shape = Shape {
        cid: block.0.encoded_len(),
        bytes: block.1.len(),
    };
    shape.total() as u64
}

/// Appends a block's record.
pub(super) fn put(out: &mut Vec<u8>, (cid, bytes): &Block) {
    let start = out.len();
    let cid = cid.to_bytes();
    for len in [cid.len(), bytes.len()] {
        // Both are below MAX_RECORD.
        out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    }
    out.extend_from_slice(&cid);
    out.extend_from_slice(bytes);
    let sum = checksum(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The mark that stands at `offset`.
pub(super) fn mark(offset: u64) -> [u8; MARK] {
    let mut mark = [0; MARK];
    mark[..HEAD].copy_from_slice(&MARK_HEAD);
    mark[HEAD..HEAD + 8].copy_from_slice(&offset.to_le_bytes());
    let sum = checksum(&mark[..MARK - TAIL]);
    mark[MARK - TAIL..].copy_from_slice(&sum.to_le_bytes());
    mark
}

/// How a pack begins: as one, and durably so.
pub(super) fn start() -> [u8; HEADER.len() + MARK] {
    let mut start = [0; HEADER.len() + MARK];
    start[..HEADER.len()].copy_from_slice(HEADER);
    start[HEADER.len()..].copy_from_slice(&mark(HEADER.len() as u64));
    start
}

/// Whether the mark of `offset` begins so.
pub(super) fn is_mark(bytes: &[u8], offset: u64) -> bool {
    bytes.starts_with(&MARK_HEAD) && bytes.starts_with(&mark(offset))
}

/// The block whose record begins so, as far as its first bytes tell.
pub(super) fn read(record: &[u8]) -> Option<(Cid, Shape)> {
    let shape = Shape::read(record)?;
    let bytes = record.get(HEAD..shape.body())?;
    let cid = Cid::try_from(bytes).ok()?;
    (cid.encoded_len() == bytes.len()).then_some((cid, shape))
}

/// Whether a whole record is what was written.
pub(super) fn is_intact(record: &[u8]) -> bool {
    record
        .split_last_chunk::<TAIL>()
        .is_some_and(|(record, sum)| checksum(record) == u32::from_le_bytes(*sum))
}

/// The block of a record of this very length that is not what was written.
pub(super) fn was(record: &[u8]) -> Option<(Cid, Shape)> {
    before_a_flip(record)
        .or_else(|| read(record))
        .filter(|(_, shape)| shape.total() == record.len())
}

/// Where one bit of the lengths or of the CID flipped, the checksum tells which: CRC-32 finds two wrong bits in
/// anything of this length, so only the right one makes it hold again.
fn before_a_flip(record: &[u8]) -> Option<(Cid, Shape)> {
    let (summed, sum) = record.split_last_chunk::<TAIL>()?;
    let (front, rest) = summed.split_at(summed.len().min(HEAD + MAX_CID));
    let (mut front, mut after) = (front.to_vec(), Crc::new());
    after.update(rest);
    for at in 0..front.len() {
        for bit in 0..8 {
            front[at] ^= 1 << bit;
            let found = read(&front).filter(|(_, shape)| at < shape.body());
            if found.is_some() {
                let mut crc = Crc::new();
                crc.update(&front);
                crc.combine(&after);
                if crc.sum() == u32::from_le_bytes(*sum) {
                    return found;
                }
            }
            front[at] ^= 1 << bit;
        }
    }
    None
}

pub(super) fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}
