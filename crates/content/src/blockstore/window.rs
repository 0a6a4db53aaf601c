//! Finding records in a pack file, also behind a damaged one.

use std::{fs::File, io, os::unix::fs::FileExt};

use kernel::Cid;

use super::record::{self, HEAD, MAX_RECORD, Shape};

/// A stretch of a file in memory, moved as needed.
pub(super) struct Window<'a> {
    file: &'a File,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

/// How much is read at once: some records of usual size, at least one of the largest.
const WINDOW: usize = 2 * MAX_RECORD;

impl<'a> Window<'a> {
    /// A view of `file`, which is `len` bytes long.
    pub(super) fn new(file: &'a File, len: u64) -> Self {
        Self {
            file,
            len,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// Up to `want` bytes at `offset`; fewer at the end of the file.
    pub(super) fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let want = want.min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(want));
        let end = self.start + self.bytes.len() as u64;
        if offset < self.start || offset + want as u64 > end {
            let size = WINDOW.min(usize::try_from(self.len - offset).unwrap_or(WINDOW));
            self.bytes.resize(size, 0);
            self.file.read_exact_at(&mut self.bytes, offset)?;
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        Ok(&self.bytes[from..from + want])
    }

    /// The record at `offset`, where one stands there whole; `summed` where its checksum must
    /// hold too.
    pub(super) fn record(&mut self, offset: u64, summed: bool) -> io::Result<Option<(Cid, Shape)>> {
        let Some(shape) = Shape::read(self.at(offset, HEAD)?) else {
            return Ok(None);
        };
        if shape.total() as u64 > self.len - offset {
            return Ok(None);
        }
        let Some(cid) = record::cid(self.at(offset, shape.body())?, shape) else {
            return Ok(None);
        };
        if summed && !record::is_intact(self.at(offset, shape.total())?) {
            return Ok(None);
        }
        Ok(Some((cid, shape)))
    }

    /// Where the next intact record begins, at `offset` or later.
    pub(super) fn next_record(&mut self, mut offset: u64) -> io::Result<Option<u64>> {
        while offset < self.len {
            if self.record(offset, true)?.is_some() {
                return Ok(Some(offset));
            }
            offset += 1;
        }
        Ok(None)
    }
}
