//! The built-in blockstore: blocks on our own disk, in append-only pack files.
//!
//! Writing is one append and one fdatasync for any number of blocks, and a block is shown only
//! after it is durable. Every read is hashed again, so a flipped bit is an error and never bytes.
//! A tail that a crash tore off is cut when the store is opened, and reported. What a disk changed costs the block
//! whose bytes these are and no other, and never the start of the store.

mod catalog;
mod examine;
mod index;
mod pack;
mod record;
mod window;

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use kernel::{Bytes, Cid, sha256};

use self::{
    catalog::Ends,
    index::{Filling, Index},
    pack::{Pack, Packs},
};
pub use self::{
    examine::Examined,
    record::{Damage, OpenReport},
};
use crate::{
    Error, Result,
    block::{self, Block, MAX_BLOCK},
};

/// A pack file is closed before it grows beyond this, in bytes.
const ROLL_AT: u64 = 256 << 20;

/// What the index is keyed by: 16 bytes of SHA-256 over the block's multihash. CIDs of other
/// versions and codecs with the same multihash name the same bytes.
type Key = [u8; 16];

/// Where a block's bytes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    pack: u32,
    offset: u32,
    len: u32,
}

/// The store. Cheap to clone; all clones are one store.
#[derive(Debug, Clone)]
pub struct Blockstore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    index: RwLock<Index>,
    /// Files by number, for reading; the last one is written to.
    packs: RwLock<Packs>,
    /// Held while writing. `true` after a failed sync: what the disk holds is unknown until the
    /// store is opened again.
    broken: Mutex<bool>,
    /// Blocks that a read found changed, until the next look tells of them.
    noticed: Mutex<BTreeSet<Cid>>,
    roll_at: u64,
    /// Locked while the store is open.
    _lock: File,
}

impl Blockstore {
    /// Opens or creates the store in `dir`. Reads the last pack, and what the others hold: blocking, call it at start.
    ///
    /// Errors with [`Error::InUse`] where another process, or this one, has it open.
    pub fn open(dir: &Path) -> Result<(Self, OpenReport)> {
        Self::open_rolling(dir, ROLL_AT)
    }

    fn open_rolling(dir: &Path, roll_at: u64) -> Result<(Self, OpenReport)> {
        let io = |error| Error::Io {
            path: dir.to_owned(),
            error,
        };
        std::fs::create_dir_all(dir).map_err(io)?;
        let lock = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(dir.join("lock"))
            .map_err(io)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(Error::InUse(dir.to_owned())),
            Err(std::fs::TryLockError::Error(error)) => return Err(io(error)),
        }
        let mut report = OpenReport::default();
        let mut index = Filling::new();
        let mut ends = Ends::default();
        let packs = pack::open_all(dir, &mut report, |pack, catalog| {
            for (key, (offset, len)) in &catalog.blocks {
                let (offset, len) = (*offset, *len);
                index.add(*key, Place { pack, offset, len }); // the last copy counts: it replaced a corrupt one
            }
            ends.go_on(&catalog.ends);
        })?;
        let index = index.finish();
        // What a crash left without its mark.
        ends.end();
        report.blocks = index.len();
        report.ends = ends.into();
        for damage in report.torn.iter().chain(&report.corrupt) {
            tracing::warn!(pack = %damage.pack, offset = damage.offset, bytes = damage.bytes,
                "blockstore: {damage}");
        }
        let inner = Inner {
            dir: dir.to_owned(),
            index: RwLock::new(index),
            packs: RwLock::new(packs),
            broken: Mutex::new(false),
            noticed: Mutex::default(),
            roll_at,
            _lock: lock,
        };
        Ok((
            Self {
                inner: Arc::new(inner),
            },
            report,
        ))
    }

    /// Stores blocks durably: when this returns, they survive a crash. Blocks that are there
    /// already are left alone. Returns how many were new.
    ///
    /// Errors with [`Error::Mismatch`] where bytes are not their CID's; then nothing is stored.
    pub async fn put_many<B>(&self, blocks: &[(Cid, B)]) -> Result<usize>
    where
        B: Into<Bytes> + Clone,
    {
        let blocks: Vec<Block> = blocks
            .iter()
            .map(|(cid, bytes)| (*cid, bytes.clone().into()))
            .collect();
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.put(&blocks)).await
    }

    /// The block's bytes, hashed again. `None` where it is not stored, [`Error::Corrupt`] where
    /// the disk changed it.
    pub async fn get(&self, cid: &Cid) -> Result<Option<Bytes>> {
        if let Some(bytes) = block::inline(cid) {
            return Ok(Some(bytes));
        }
        if !self.has(cid) {
            return Ok(None);
        }
        let (inner, cid) = (Arc::clone(&self.inner), *cid);
        blocking(move || inner.get(&cid)).await
    }

    /// Whether the block is stored; its bytes are not looked at.
    pub fn has(&self, cid: &Cid) -> bool {
        block::inline(cid).is_some() || self.inner.index().has(&key(cid))
    }

    /// How many blocks are stored.
    pub fn len(&self) -> usize {
        self.inner.index().len()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }
}

impl Inner {
    fn put(&self, blocks: &[Block]) -> Result<usize> {
        for (cid, bytes) in blocks {
            if bytes.len() > MAX_BLOCK {
                return Err(Error::TooLarge {
                    limit: format!("{MAX_BLOCK} bytes in a block"),
                });
            }
            block::verify(cid, bytes, "the caller")?;
        }
        let mut broken = lock(&self.broken);
        if *broken {
            return Err(Error::Io {
                path: self.dir.clone(),
                error: std::io::Error::other("a write failed before; open the store again"),
            });
        }
        let mut new: HashMap<Key, &Block> = HashMap::new();
        let mut order = Vec::new();
        for block in blocks {
            let key = key(&block.0);
            if block::inline(&block.0).is_none()
                && !self.index().has(&key)
                && let Entry::Vacant(entry) = new.entry(key)
            {
                entry.insert(block);
                order.push((key, block));
            }
        }
        for batch in self.batches(&order)? {
            let pack = self.pack_for(batch)?;
            let blocks: Vec<&Block> = batch.iter().map(|(_, block)| *block).collect();
            let places = pack.append(&blocks).inspect_err(|_| {
                *broken = !pack.is_sound();
            })?;
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            for ((key, _), place) in batch.iter().zip(places) {
                index.insert(*key, place);
            }
        }
        Ok(order.len())
    }

    /// Cuts what is to be written so that each part fits into one pack.
    fn batches<'a, 'b>(
        &self,
        blocks: &'a [(Key, &'b Block)],
    ) -> Result<Vec<&'a [(Key, &'b Block)]>> {
        let mut batches = Vec::new();
        let (mut start, mut size) = (0, self.last()?.len());
        for (at, (_, block)) in blocks.iter().enumerate() {
            let next = record::size(block);
            if at > start && size + next + record::MARK as u64 > self.roll_at {
                batches.push(&blocks[start..at]);
                (start, size) = (at, record::START);
            }
            size += next;
        }
        if start < blocks.len() {
            batches.push(&blocks[start..]);
        }
        Ok(batches)
    }

    /// The pack that `batch` goes into: the last one, or a new one where it would grow too large.
    fn pack_for(&self, batch: &[(Key, &Block)]) -> Result<Arc<Pack>> {
        let last = self.last()?;
        let size: u64 = batch.iter().map(|(_, block)| record::size(block)).sum();
        if last.is_empty() || last.len() + size + record::MARK as u64 <= self.roll_at {
            return Ok(last);
        }
        let next = Arc::new(Pack::create(&self.dir, last.number + 1)?);
        last.close();
        let mut packs = self.packs.write().unwrap_or_else(PoisonError::into_inner);
        packs.push(Arc::clone(&next));
        Ok(next)
    }

    fn last(&self) -> Result<Arc<Pack>> {
        let packs = self.packs.read().unwrap_or_else(PoisonError::into_inner);
        packs.last().cloned().ok_or_else(|| Error::Io {
            path: self.dir.clone(),
            error: std::io::Error::other("no pack file"),
        })
    }

    fn get(&self, cid: &Cid) -> Result<Option<Bytes>> {
        let key = key(cid);
        let Some(place) = self.index().get(&key) else {
            return Ok(None);
        };
        let pack = {
            let packs = self.packs.read().unwrap_or_else(PoisonError::into_inner);
            packs.iter().find(|pack| pack.number == place.pack).cloned()
        };
        let Some(pack) = pack else { return Ok(None) };
        match pack.read(place.offset, place.len) {
            Ok(bytes) if block::is_valid(cid, &bytes)? => return Ok(Some(bytes.into())),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "blockstore: {error}"),
        }
        pack.distrust();
        // Forgotten, so that the block can be put again.
        self.forget(cid, place);
        lock(&self.noticed).insert(*cid);
        Err(Error::Corrupt {
            cid: *cid,
            segment: pack.name(),
        })
    }

    /// Forgets that the block stands at this place.
    fn forget(&self, cid: &Cid, place: Place) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if index.get(&key(cid)) == Some(place) {
            index.remove(&key(cid));
        }
    }

    fn index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(cid: &Cid) -> Key {
    let digest = sha256(&cid.hash().to_bytes());
    let mut key = Key::default();
    key.copy_from_slice(&digest[..16]);
    key
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs disk work where it may block. Work that began is finished even if nobody waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|stopped| {
            Err(Error::Io {
                path: PathBuf::new(),
                error: std::io::Error::other(stopped.to_string()),
            })
        })
}

#[cfg(test)]
#[path = "blockstore_tests.rs"]
mod tests;
