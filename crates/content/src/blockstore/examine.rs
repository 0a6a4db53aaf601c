//! Reading the packs again, a stretch at a time, to see what the disk changed.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use kernel::{Bytes, Cid};

use super::{Blockstore, Damage, Inner, Pack, Place, blocking, key, lock, window::What};
use crate::Result;

/// What a look at a stretch of the packs saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// Where the next look begins; 0 after the last pack.
    pub next: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Blocks whose bytes are not what was written, and which stand nowhere else in the store: they are missing, and
    /// can be put again. Also those, wherever they stand, that a read found so since the look before; they may have
    /// been put again meanwhile.
    pub lost: BTreeSet<Cid>,
    /// Blocks of which only what stands around them changed. They were written again.
    pub mended: Vec<Cid>,
    /// Bytes of which nobody can tell what they were.
    pub unknown: Vec<Damage>,
}

impl Blockstore {
    /// Sums the records from `from` on again, some `budget` bytes of them. `from` is 0, or what the look before gave.
    ///
    /// What was changed stays where it is, and is not told of again once its block stands elsewhere.
    pub async fn examine(&self, from: u64, budget: u64) -> Result<Examined> {
        let inner = Arc::clone(&self.inner);
        blocking(move || Ok(inner.examine(from, budget))).await
    }
}

impl Inner {
    /// A position is the pack's number and the offset in it: packs end far below 4 GiB.
    fn examine(&self, from: u64, budget: u64) -> Examined {
        let (number, offset) = (from >> 32, from & u64::from(u32::MAX));
        let packs = {
            let packs = self.packs.read().unwrap_or_else(PoisonError::into_inner);
            packs.clone()
        };
        let at = packs
            .iter()
            .position(|pack| u64::from(pack.number) >= number);
        let Some(at) = at else {
            return Examined::default();
        };
        let pack = &packs[at];
        let offset = if u64::from(pack.number) == number {
            offset
        } else {
            0
        };
        let (end, changed) = pack.examine(offset, budget);
        if !changed.is_empty() {
            pack.distrust();
        }
        let next = if end < pack.len() {
            u64::from(pack.number) << 32 | end
        } else {
            packs
                .get(at + 1)
                .map_or(0, |next| u64::from(next.number) << 32)
        };
        let mut seen = Examined {
            next,
            bytes: end.saturating_sub(offset),
            ..Examined::default()
        };
        for piece in changed {
            match piece.what {
                What::Whole(cid, shape) => {
                    let place = pack.place(piece.offset, shape);
                    if self.is_only_copy(&cid, place) {
                        match self.put_again(pack, &cid, place) {
                            Ok(true) => seen.mended.push(cid),
                            Ok(false) => {}
                            // It is tried again the next time around: a full disk keeps nobody from looking on.
                            Err(error) => tracing::warn!(
                                %cid, %error,
                                "blockstore: the damaged record of {cid} cannot be written again: {error}"
                            ),
                        }
                    }
                }
                What::Lost(cid, shape) => {
                    let place = pack.place(piece.offset, shape);
                    if self.is_only_copy(&cid, place) {
                        self.forget(&cid, place);
                        seen.lost.insert(cid);
                    }
                }
                What::Unknown => seen.unknown.push(pack.damage(piece.offset, piece.end)),
                What::Mark | What::Intact(..) => {}
            }
        }
        seen.lost.append(&mut lock(&self.noticed));
        seen
    }

    /// Whether the block stands at this place or nowhere.
    fn is_only_copy(&self, cid: &Cid, place: Place) -> bool {
        let known = self.index().get(&key(cid));
        known.is_none_or(|known| known == place)
    }

    /// Writes a block again that stands in a damaged record; whether it was still right there.
    fn put_again(&self, pack: &Pack, cid: &Cid, place: Place) -> Result<bool> {
        let block = (*cid, Bytes::from(pack.read(place.offset, place.len)?));
        self.forget(cid, place);
        let written = self.put(&[block]);
        if written.is_err() {
            // As it was: it can still be read where it is.
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            index.insert(key(cid), place);
        }
        written.map(|written| written > 0)
    }
}
