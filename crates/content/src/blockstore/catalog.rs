//! What a closed pack holds, in a file beside it: so a store is opened without all of its packs being read.
//!
//! It is believed where its checksum holds and the pack is as long as it says; else the pack is read, as the one is that
//! is still written to. What a disk changes in a closed pack is found by whoever reads the block, and by whoever
//! examines the store.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use kernel::Cid;

use super::{Key, key, record::checksum};
use crate::block::DAG_CBOR;

/// First bytes of the file: magic and version.
const HEADER: &[u8; 16] = b"chancery-index\0\x01";

/// How many ends of writes are told of when a store is opened.
const ENDS: usize = 256;

/// Where a block's bytes stand in the pack: offset and length.
type Stretch = (u32, u32);

/// The blocks of a pack, in the order in which they were written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    /// A block that was written again stands here again; the last copy counts.
    pub(super) blocks: Vec<(Key, Stretch)>,
    pub(super) ends: Ends,
}

impl Catalog {
    pub(super) fn add(&mut self, cid: &Cid, stretch: Stretch) {
        self.blocks.push((key(cid), stretch));
        self.ends.block(*cid);
    }

    /// Writes it for a pack of this length. A crash leaves none, or one whose checksum does not hold.
    pub(super) fn write(&self, path: &Path, pack_len: u64) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(&self.bytes(pack_len))?;
        file.sync_all()
    }

    /// Reads that of a pack of this length; `None` where there is none that can be believed.
    pub(super) fn read(path: &Path, pack_len: u64) -> Option<Self> {
        let bytes = fs::read(path).ok()?;
        let (summed, sum) = bytes.split_last_chunk()?;
        if checksum(summed) != u32::from_le_bytes(*sum) {
            return None;
        }
        Self::parse(summed, pack_len)
    }

    fn bytes(&self, pack_len: u64) -> Vec<u8> {
        let mut out = HEADER.to_vec();
        out.extend_from_slice(&pack_len.to_le_bytes());
        put_count(&mut out, self.ends.newest.len());
        for end in &self.ends.newest {
            let cid = end.to_bytes();
            put_count(&mut out, cid.len());
            out.extend_from_slice(&cid);
        }
        for (key, (offset, len)) in &self.blocks {
            out.extend_from_slice(key);
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&len.to_le_bytes());
        }
        let sum = checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    fn parse(bytes: &[u8], pack_len: u64) -> Option<Self> {
        let rest = &mut bytes.strip_prefix(HEADER)?;
        if u64::from_le_bytes(take(rest)?) != pack_len {
            return None;
        }
        let mut catalog = Self::default();
        for _ in 0..u32::from_le_bytes(take(rest)?) {
            let len = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
            let (cid, after) = rest.split_at_checked(len)?;
            catalog.ends.newest.push_back(Cid::try_from(cid).ok()?);
            *rest = after;
        }
        catalog.blocks.reserve_exact(rest.len() / 24);
        while !rest.is_empty() {
            let key = take(rest)?;
            let stretch = (
                u32::from_le_bytes(take(rest)?),
                u32::from_le_bytes(take(rest)?),
            );
            catalog.blocks.push((key, stretch));
        }
        Some(catalog)
    }
}

/// Counts here are of some hundreds.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

/// With which blocks the newest writes ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ends {
    /// The last block of a write whose end is not known yet.
    last: Option<Cid>,
    newest: VecDeque<Cid>,
}

impl Ends {
    pub(super) fn block(&mut self, cid: Cid) {
        self.last = Some(cid);
    }

    pub(super) fn end(&mut self) {
        let root = self.last.take().filter(|cid| cid.codec() == DAG_CBOR);
        if let Some(root) = root {
            self.push(root);
        }
    }

    /// Those of the pack behind.
    pub(super) fn go_on(&mut self, behind: &Self) {
        for root in &behind.newest {
            self.push(*root);
        }
        self.last = behind.last;
    }

    fn push(&mut self, root: Cid) {
        if self.newest.len() == ENDS {
            self.newest.pop_front();
        }
        self.newest.push_back(root);
    }
}

impl From<Ends> for Vec<Cid> {
    fn from(ends: Ends) -> Self {
        ends.newest.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn root(number: usize) -> Cid {
        kernel::cid_of_dag_cbor(&kernel::to_dag_cbor(&number).expect("DAG-CBOR"))
    }

    #[test]
    fn not_all_ends_of_a_large_store_are_told() {
        let mut ends = Ends::default();
        for number in 0..=ENDS {
            ends.block(root(number));
            ends.end();
            ends.end();
        }
        let newest: Vec<Cid> = (1..=ENDS).map(root).collect();
        assert_eq!(Vec::from(ends), newest);
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written_or_nothing(
            blocks in prop::collection::vec((any::<Key>(), any::<Stretch>()), 0..50),
            ends in 0..9_usize,
            flipped in prop::option::of((any::<prop::sample::Index>(), 0..8_u8)),
            pack_len in 0..3_u64,
        ) {
            let mut catalog = Catalog { blocks, ends: Ends::default() };
            for number in 0..ends {
                catalog.ends.block(root(number));
                catalog.ends.end();
            }
            let home = tempfile::tempdir().expect("a directory");
            let path = home.path().join("index");
            catalog.write(&path, 1).expect("written");
            if let Some((at, bit)) = &flipped {
                let mut bytes = fs::read(&path).expect("read");
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                fs::write(&path, bytes).expect("changed");
            }
            let is_believed = flipped.is_none() && pack_len == 1;
            prop_assert_eq!(Catalog::read(&path, pack_len), is_believed.then_some(catalog));
        }

        #[test]
        fn whatever_a_file_holds_it_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let rest = [HEADER.as_slice(), &1_u64.to_le_bytes(), &bytes].concat();
            Catalog::parse(&rest, 1);
        }
    }
}
