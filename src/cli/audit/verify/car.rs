//! A CARv1 file as blocks: read once to check them and to know where each begins, and then where it is asked for one.

use std::{
    fs::File,
    io::{BufReader, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use content::block;
use kernel::{Cid, sha256};

/// The longest CID in a CAR, and its longest header.
const MOST_HEAD: usize = 64 * 1024;

/// What a block is found by: 16 bytes of SHA-256 over its multihash, which names the same bytes in every CID. Logs have
/// many millions of blocks, and this is what is kept of each, with the place of its section.
type Key = [u8; 16];

/// An open file whose blocks are all what their CIDs say.
pub struct Car {
    file: File,
    /// Sorted.
    places: Vec<(Key, u64)>,
}

impl Car {
    /// Reads the file once, and gives the roots that it names. Errors say what is wrong with it.
    pub fn open(path: &Path) -> Result<(Vec<Cid>, Self), String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut reader = BufReader::new(&file);
        let mut offset = 0;
        let length = varint(&mut reader, &mut offset)?.ok_or("it is empty")?;
        let head = take(&mut reader, &mut offset, length, MOST_HEAD)?;
        let roots = content::car::roots(&head).map_err(|error| error.to_string())?;
        let mut places = Vec::new();
        loop {
            let start = offset;
            let Some((cid, bytes)) = section(&mut reader, &mut offset)? else {
                break;
            };
            let at = offset - bytes.len() as u64;
            match block::is_valid(&cid, &bytes) {
                Ok(true) => places.push((key(&cid), start)),
                Ok(false) => return Err(format!("byte {at}: the block {cid} does not hash to it")),
                Err(error) => return Err(format!("byte {at}: {error}")),
            }
        }
        drop(reader);
        places.sort_unstable();
        places.dedup_by_key(|(key, _)| *key);
        Ok((roots, Self { file, places }))
    }

    /// Whether the block is there.
    pub fn has(&self, cid: &Cid) -> bool {
        self.place(cid).is_some()
    }

    /// The block's bytes as the file has them now.
    pub fn block(&self, cid: &Cid) -> Result<Option<Vec<u8>>, String> {
        let Some(mut offset) = self.place(cid) else {
            return Ok(None);
        };
        let mut reader = At(&self.file, offset);
        Ok(section(&mut reader, &mut offset)?.map(|(_, bytes)| bytes))
    }

    fn place(&self, cid: &Cid) -> Option<u64> {
        let key = key(cid);
        let found = self.places.binary_search_by_key(&key, |(known, _)| *known);
        found.ok().map(|at| self.places[at].1)
    }
}

fn key(cid: &Cid) -> Key {
    let digest = sha256(&cid.hash().to_bytes());
    let mut key = Key::default();
    key.copy_from_slice(&digest[..16]);
    key
}

/// A file from a place on, whoever else reads it.
struct At<'a>(&'a File, u64);

impl Read for At<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read_at(bytes, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// The next block; `None` at the end of the file.
fn section(reader: &mut impl Read, offset: &mut u64) -> Result<Option<(Cid, Vec<u8>)>, String> {
    let Some(length) = varint(reader, offset)? else {
        return Ok(None);
    };
    let start = *offset;
    let mut section = take(reader, offset, length, MOST_HEAD + block::MAX_BLOCK)?;
    let mut rest = &section[..];
    let cid = Cid::read_bytes(&mut rest).map_err(|_| format!("byte {start}: no CID"))?;
    let head = section.len() - rest.len();
    section.drain(..head);
    Ok(Some((cid, section)))
}

/// A length; `None` at the end of the file.
fn varint(reader: &mut impl Read, offset: &mut u64) -> Result<Option<u64>, String> {
    let (mut number, mut byte) = (0_u64, [0]);
    for shift in (0..63).step_by(7) {
        match reader.read_exact(&mut byte) {
            Ok(()) => *offset += 1,
            Err(_) if shift == 0 => return Ok(None),
            Err(error) => return Err(format!("byte {offset}: {error}")),
        }
        number |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return Ok(Some(number));
        }
    }
    Err(format!("byte {offset}: no length"))
}

/// So many bytes, none kept for a length that is a lie.
fn take(
    reader: &mut impl Read,
    offset: &mut u64,
    length: u64,
    most: usize,
) -> Result<Vec<u8>, String> {
    if length > most as u64 {
        return Err(format!("byte {offset}: a section of {length} bytes"));
    }
    let mut bytes = Vec::new();
    let read = reader
        .take(length)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if (read as u64) < length {
        return Err(format!("byte {offset}: the CAR is cut off"));
    }
    *offset += length;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten million blocks are 240 MB.
    #[test]
    fn little_is_kept_of_a_block() {
        assert_eq!(size_of::<(Key, u64)>(), 24);
    }

    #[test]
    fn every_block_is_found_under_every_cid_of_its_hash_and_no_other() {
        let blocks: Vec<content::Block> = (0..2_000_u32)
            .map(|n| (n % 1_900).to_le_bytes())
            .map(|bytes| (kernel::cid_of_raw(&bytes), bytes.to_vec().into()))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.car");
        std::fs::write(&path, content::car::write(&[blocks[7].0], &blocks).unwrap()).unwrap();
        let (roots, car) = Car::open(&path).unwrap();
        assert_eq!(roots, [blocks[7].0]);
        for (cid, bytes) in &blocks {
            let other = Cid::new_v1(block::DAG_CBOR, *cid.hash());
            for cid in [cid, &other] {
                assert!(car.has(cid));
                assert_eq!(car.block(cid).unwrap().unwrap(), *bytes);
            }
        }
        let never = kernel::cid_of_raw(b"never");
        assert!(!car.has(&never));
        assert_eq!(car.block(&never).unwrap(), None);
    }
}
