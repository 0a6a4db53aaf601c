//! A pack file in order, record by record, also behind a damaged one.

use std::{fs::File, os::unix::fs::FileExt};

use kernel::Cid;

use super::record::{self, HEAD, MARK, MAX_RECORD, Shape};
use crate::block;

/// How much is read at once: some records of usual size, at least one of the largest.
const WINDOW: usize = 2 * MAX_RECORD;
/// What a disk gives or does not give.
const PAGE: usize = 4096;

/// What stands at a place of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The end of what was durable once.
    Mark,
    /// A block, as it was written.
    Intact(Cid, Shape),
    /// A block as it was written, in a record that is not.
    Whole(Cid, Shape),
    /// A block whose bytes are not what was written.
    Lost(Cid, Shape),
    /// Bytes that tell nothing.
    Unknown,
}

/// A stretch of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) what: What,
    /// Whether nothing of it, nor anything behind it, is as it was written.
    pub(super) is_last: bool,
}

impl Piece {
    /// Whether it is a record that is not as it was written, or none.
    pub(super) fn is_damage(&self) -> bool {
        !matches!(self.what, What::Mark | What::Intact(..))
    }
}

/// Goes through a pack.
pub(super) struct Scan<'a> {
    window: Window<'a>,
    at: u64,
    /// Where the next record stands that is as it was written, once this is known.
    sound: u64,
}

impl<'a> Scan<'a> {
    /// Of the bytes `from..len` of `file`; a record begins at `from`.
    pub(super) fn new(file: &'a File, from: u64, len: u64) -> Self {
        let window = Window {
            file,
            len,
            start: 0,
            bytes: Vec::new(),
            failed: false,
        };
        Self {
            window,
            at: from,
            sound: from,
        }
    }

    /// Whether the disk refused to give some of it.
    pub(super) fn failed(&self) -> bool {
        self.window.failed
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Piece> {
        let (offset, len) = (self.at, self.window.len);
        if offset >= len {
            return None;
        }
        let (what, end) = if let Some((what, length)) = self.window.record(offset) {
            (what, offset + length)
        } else {
            if self.sound <= offset {
                self.sound = self.window.next_record(offset + 1);
            }
            self.window.damaged(offset, self.sound)
        };
        self.at = end;
        Some(Piece {
            offset,
            end,
            what,
            is_last: self.sound >= len,
        })
    }
}

/// A stretch of a file in memory, moved as needed.
struct Window<'a> {
    file: &'a File,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
    failed: bool,
}

impl Window<'_> {
    /// Up to `want` bytes at `offset`; fewer at the end of the file.
    fn at(&mut self, offset: u64, want: usize) -> &[u8] {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let want = want.min(left);
        let end = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + want as u64 > end {
            self.bytes.resize(WINDOW.min(left), 0);
            self.start = offset;
            self.fill();
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        &self.bytes[from..from + want]
    }

    /// Reads what can be read. What the disk does not give is zeros, which are no record: a bad sector costs the
    /// blocks in it and not the store.
    fn fill(&mut self) {
        if self.file.read_exact_at(&mut self.bytes, self.start).is_ok() {
            return;
        }
        for (place, page) in self.bytes.chunks_mut(PAGE).enumerate() {
            let offset = self.start + (place * PAGE) as u64;
            let got = self.file.read_at(page, offset).unwrap_or_else(|error| {
                tracing::error!(offset, %error, "blockstore: {} bytes cannot be read: {error}", page.len());
                self.failed = true;
                0
            });
            page[got..].fill(0);
        }
    }

    /// What stands at `offset` as it was written, and how long it is.
    fn record(&mut self, offset: u64) -> Option<(What, u64)> {
        if record::is_mark(self.at(offset, MARK), offset) {
            return Some((What::Mark, MARK as u64));
        }
        let (cid, shape) = self.begins(offset)?;
        let total = shape.total();
        let intact = total as u64 <= self.len - offset && record::is_intact(self.at(offset, total));
        intact.then_some((What::Intact(cid, shape), total as u64))
    }

    fn begins(&mut self, offset: u64) -> Option<(Cid, Shape)> {
        let shape = Shape::read(self.at(offset, HEAD))?;
        record::read(self.at(offset, shape.body()))
    }

    /// Where the next record stands that is as it was written, at `offset` or later; else the end of the file. Its
    /// block must be that of its CID: what looks like a record may be part of the block of a damaged one.
    fn next_record(&mut self, mut offset: u64) -> u64 {
        while offset < self.len {
            match self.record(offset) {
                Some((What::Intact(cid, shape), _)) if !self.is_valid(offset, &cid, shape) => {}
                Some(_) => break,
                None => {}
            }
            offset += 1;
        }
        offset
    }

    /// What was at `offset` of a stretch that ends at `end`, in which no record is as it was written.
    fn damaged(&mut self, offset: u64, end: u64) -> (What, u64) {
        let Some((cid, shape)) = self.named(offset, end) else {
            // No record is as short as a mark, and no mark is missed.
            let is_mark = end - offset == MARK as u64;
            return (if is_mark { What::Mark } else { What::Unknown }, end);
        };
        let what = if self.is_valid(offset, &cid, shape) {
            What::Whole(cid, shape)
        } else {
            What::Lost(cid, shape)
        };
        (what, offset + shape.total() as u64)
    }

    fn named(&mut self, offset: u64, end: u64) -> Option<(Cid, Shape)> {
        // One record, or several, of which each is as long as it says.
        let room = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let alone = (room <= MAX_RECORD).then(|| record::was(self.at(offset, room)));
        alone.flatten().or_else(|| {
            let (_, shape) = self.begins(offset)?;
            (shape.total() <= room).then(|| record::was(self.at(offset, shape.total())))?
        })
    }

    /// Whether the record's block is that of the CID.
    fn is_valid(&mut self, offset: u64, cid: &Cid, shape: Shape) -> bool {
        let bytes = self.at(offset + shape.body() as u64, shape.bytes);
        bytes.len() == shape.bytes && block::is_valid(cid, bytes).unwrap_or(false)
    }
}
