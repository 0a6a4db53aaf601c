//! Reading the packs again, a stretch at a time, to see what the disk changed.

use std::sync::{Arc, PoisonError};

use kernel::Cid;

use super::{Blockstore, Inner, blocking};
use crate::Result;

/// What a look at a stretch of the packs saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// Where the next look begins; 0 after the last pack.
    pub next: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Blocks whose record is not what was written. A right copy may stand elsewhere in the store.
    pub corrupt: Vec<Cid>,
}

impl Blockstore {
    /// Sums the records from `from` on again, some `budget` bytes of them. `from` is 0, or what the look before gave.
    pub async fn examine(&self, from: u64, budget: u64) -> Result<Examined> {
        let inner = Arc::clone(&self.inner);
        blocking(move || inner.examine(from, budget)).await
    }
}

impl Inner {
    /// A position is the pack's number and the offset in it: packs end far below 4 GiB.
    fn examine(&self, from: u64, budget: u64) -> Result<Examined> {
        let (number, offset) = (from >> 32, from & u64::from(u32::MAX));
        let packs = {
            let packs = self.packs.read().unwrap_or_else(PoisonError::into_inner);
            packs.clone()
        };
        let at = packs
            .iter()
            .position(|pack| u64::from(pack.number) >= number);
        let Some(at) = at else {
            return Ok(Examined::default());
        };
        let pack = &packs[at];
        let offset = if u64::from(pack.number) == number {
            offset
        } else {
            0
        };
        let (end, corrupt) = pack.examine(offset, budget)?;
        let next = if end < pack.len() {
            u64::from(pack.number) << 32 | end
        } else {
            packs
                .get(at + 1)
                .map_or(0, |next| u64::from(next.number) << 32)
        };
        Ok(Examined {
            next,
            bytes: end.saturating_sub(offset),
            corrupt,
        })
    }
}
