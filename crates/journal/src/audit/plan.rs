//! Which files of a log verify a range of it, in the order in which each can be held against those before.

use std::ops::Range;

use crate::{
    edge::size_at,
    tile::{TILE_WIDTH, TilePath},
};

/// Tile levels of a tree with at most 2^64 leaves.
const LEVELS: u8 = 8;

/// First the partial tiles of all levels, which lead to the root; then, bundle by bundle, the full tiles
/// above it that did not come before, from the top down, and the bundle.
#[derive(Debug, Clone)]
pub struct Plan {
    size: u64,
    first: u64,
    end: u64,
    /// The bundle that comes next; before the first one, the partial tiles.
    bundle: Option<u64>,
    /// What comes next of the bundle, or of the partial tiles: a level, [`LEVELS`] of them, then the bundle itself.
    step: u8,
}

impl Plan {
    pub(super) fn new(size: u64, range: Range<u64>) -> Self {
        let first = range.start / TILE_WIDTH;
        let end = if range.is_empty() {
            first
        } else {
            range.end.div_ceil(TILE_WIDTH)
        };
        Self {
            size,
            first,
            end,
            bundle: None,
            step: 0,
        }
    }

    /// How many files there are beside tiles: what progress is measured in.
    pub fn bundles(&self) -> u64 {
        self.end - self.first
    }

    /// The partial tile of a level.
    pub(super) fn partial(size: u64, level: u8) -> Option<TilePath> {
        let hashes = size_at(size, level);
        let width = u16::try_from(hashes % TILE_WIDTH).unwrap_or(0);
        (width > 0).then_some(TilePath::Hashes {
            level,
            index: hashes / TILE_WIDTH,
            width,
        })
    }

    /// The full tile of a level above a bundle, unless it came with an earlier bundle.
    fn full(&self, level: u8, bundle: u64) -> Option<TilePath> {
        let index = bundle >> (8 * level);
        let new = bundle == self.first || index << (8 * level) == bundle;
        let is_full = index < size_at(self.size, level) / TILE_WIDTH;
        (new && is_full).then_some(TilePath::Hashes {
            level,
            index,
            width: 256,
        })
    }
}

impl Iterator for Plan {
    type Item = TilePath;

    fn next(&mut self) -> Option<TilePath> {
        loop {
            let step = self.step;
            self.step += 1;
            match self.bundle {
                None if step < LEVELS => {
                    if let Some(path) = Self::partial(self.size, step) {
                        return Some(path);
                    }
                }
                None => (self.bundle, self.step) = (Some(self.first), 0),
                Some(bundle) if bundle >= self.end => {
                    self.step = 0;
                    return None;
                }
                Some(bundle) if step < LEVELS => {
                    if let Some(path) = self.full(LEVELS - 1 - step, bundle) {
                        return Some(path);
                    }
                }
                Some(index) => {
                    (self.bundle, self.step) = (Some(index + 1), 0);
                    let width = (self.size - index * TILE_WIDTH).min(TILE_WIDTH);
                    let width = u16::try_from(width).unwrap_or(u16::MAX);
                    return Some(TilePath::Entries { index, width });
                }
            }
        }
    }
}
