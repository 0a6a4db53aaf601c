//! CARv1: blocks in a row, each with its CID (IPLD CAR specification, version 1).

use kernel::{Bytes, Cid};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    block::{self, Block, MAX_BLOCK},
    dag_pb::{put_varint, varint},
};

/// The longest header that is read, in bytes: some 1,700 roots.
const MAX_HEADER: usize = 64 * 1024;
/// The longest CID in bytes.
const MAX_CID: usize = 100;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    roots: Vec<Cid>,
    version: u64,
}

/// Writes a CAR of `blocks` that names `roots`.
pub fn write<'a>(
    roots: &[Cid],
    blocks: impl IntoIterator<Item = &'a (Cid, Bytes)>,
) -> Result<Vec<u8>> {
    let header = kernel::to_dag_cbor(&Header {
        roots: roots.to_vec(),
        version: 1,
    })
    .map_err(|error| Error::Malformed(error.to_string()))?;
    let mut out = Vec::new();
    put_varint(&mut out, header.len() as u64);
    out.extend_from_slice(&header);
    for (cid, bytes) in blocks {
        let cid = cid.to_bytes();
        put_varint(&mut out, (cid.len() + bytes.len()) as u64);
        out.extend_from_slice(&cid);
        out.extend_from_slice(bytes);
    }
    Ok(out)
}

/// The roots that a CAR's header names, from the header's bytes without their length: a claim.
pub fn roots(header: &[u8]) -> Result<Vec<Cid>> {
    let header: Header = kernel::from_dag_cbor(header)
        .map_err(|error| Error::Malformed(format!("no CAR header: {error}")))?;
    if header.version != 1 {
        return Err(Error::Unsupported(format!(
            "CAR version {}",
            header.version
        )));
    }
    Ok(header.roots)
}

/// Reads a CAR, block by block, each verified against its CID. A stream that ends inside a block
/// gives the blocks before it and then an error.
#[derive(Debug)]
pub struct Reader<'a> {
    roots: Vec<Cid>,
    rest: &'a [u8],
    from: &'a str,
}

impl<'a> Reader<'a> {
    /// Reads the header of `bytes`, which `from` gave.
    pub fn new(bytes: &'a [u8], from: &'a str) -> Result<Self> {
        let mut rest = bytes;
        let header = section(&mut rest, MAX_HEADER)?;
        Ok(Self {
            roots: roots(header)?,
            rest,
            from,
        })
    }

    /// The roots that the header names: a claim, not to be relied on.
    pub fn roots(&self) -> &[Cid] {
        &self.roots
    }

    fn block(&mut self) -> Result<Block> {
        let section = section(&mut self.rest, MAX_BLOCK + MAX_CID)?;
        let mut bytes = section;
        let cid = Cid::read_bytes(&mut bytes)
            .map_err(|_| Error::Malformed("a CAR section without a CID".to_owned()))?;
        block::verify(&cid, bytes, self.from)?;
        Ok((cid, Bytes::copy_from_slice(bytes)))
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let block = self.block();
        if block.is_err() {
            self.rest = &[]; // what follows cannot be told apart any more
        }
        Some(block)
    }
}

/// Takes a length and that many bytes off `rest`.
fn section<'a>(rest: &mut &'a [u8], most: usize) -> Result<&'a [u8]> {
    let cut = || Error::Malformed("the CAR is cut off".to_owned());
    let size = varint(rest).map_err(|_| cut())?;
    let size = usize::try_from(size).ok().filter(|size| *size <= most);
    let size = size.ok_or_else(|| Error::TooLarge {
        limit: format!("{most} bytes in a CAR section"),
    })?;
    let (section, after) = rest.split_at_checked(size).ok_or_else(cut)?;
    *rest = after;
    Ok(section)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks() -> Vec<Block> {
        [&b"one"[..], b"two", b""]
            .map(|bytes| (kernel::cid_of_raw(bytes), Bytes::from_static(bytes)))
            .to_vec()
    }

    #[test]
    fn a_car_reads_back_what_was_written() {
        let blocks = blocks();
        let bytes = write(&[blocks[0].0], &blocks).expect("writes");
        let reader = Reader::new(&bytes, "test").expect("a header");
        assert_eq!(reader.roots(), [blocks[0].0]);
        assert_eq!(
            reader.collect::<Result<Vec<_>>>().expect("verified"),
            blocks
        );
    }

    #[test]
    fn a_flipped_bit_or_a_cut_anywhere_is_never_another_block() {
        let blocks = blocks();
        let bytes = write(&[], &blocks).expect("writes");
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            for (flipped, cut) in [(&flipped[..], false), (&bytes[..at], true)] {
                let Ok(reader) = Reader::new(flipped, "test") else {
                    continue;
                };
                let read: Vec<_> = reader.collect();
                for (index, block) in read.iter().enumerate() {
                    match block {
                        Ok(block) if cut => assert_eq!(block, &blocks[index], "cut at {at}"),
                        Ok(block) => assert!(block::is_valid(&block.0, &block.1).expect("hash")),
                        Err(_) => assert_eq!(index + 1, read.len(), "an error ends it"),
                    }
                }
            }
        }
    }

    #[test]
    fn sections_that_claim_gigabytes_are_refused_without_memory_for_them() {
        let mut bytes = write(&[], &[]).expect("writes");
        put_varint(&mut bytes, u64::MAX);
        let last = Reader::new(&bytes, "test").expect("a header").last();
        assert!(
            matches!(last, Some(Err(Error::TooLarge { .. }))),
            "{last:?}"
        );
    }
}
