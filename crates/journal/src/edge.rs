//! The right edge of the tree: the partial tile of every level. It is all that appending needs.

use crate::{
    tile::TILE_WIDTH,
    tree::{Hash, fold_peaks, node_hash, peaks},
};

/// The hashes of the tiles that are not full yet, by tile level.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

/// A tile that became full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullTile {
    /// Tile level: 0 holds leaves.
    pub level: u8,
    /// Place in the level.
    pub index: u64,
    /// Its 256 hashes, end to end.
    pub hashes: Vec<u8>,
    /// The hash over them, one hash of the tile above.
    pub root: Hash,
}

impl Edge {
    /// The edge of a stored tree. `levels[l]` holds the `size / 256^l mod 256` hashes of the partial
    /// tile of level `l`; `None` where they are not as many.
    pub fn new(size: u64, levels: Vec<Vec<Hash>>) -> Option<Self> {
        let fits = levels.len() == Self::depth(size)
            && levels
                .iter()
                .zip(0_u8..)
                .all(|(hashes, level)| hashes.len() as u64 == size_at(size, level) % TILE_WIDTH);
        fits.then_some(Self { size, levels })
    }

    /// How many levels of tiles a tree of `size` leaves touches.
    pub fn depth(size: u64) -> usize {
        (0_u8..8)
            .take_while(|level| size_at(size, *level) > 0)
            .count()
    }

    /// Leaves of the tree.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; the tiles that it filled go to `full`.
    pub fn push(&mut self, leaf: Hash, full: &mut Vec<FullTile>) {
        self.size += 1;
        let mut hash = leaf;
        for level in 0_u8.. {
            let place = usize::from(level);
            if self.levels.len() == place {
                self.levels.push(Vec::new());
            }
            self.levels[place].push(hash);
            if (self.levels[place].len() as u64) < TILE_WIDTH {
                return;
            }
            let hashes = std::mem::take(&mut self.levels[place]);
            hash = perfect_root(&hashes);
            full.push(FullTile {
                level,
                index: size_at(self.size, level) / TILE_WIDTH - 1,
                hashes: hashes.concat(),
                root: hash,
            });
        }
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let mut hashes = Vec::new();
        for level in self.levels.iter().rev() {
            for node in peaks(0..level.len() as u64) {
                let start = usize::try_from(node.index << node.level).unwrap_or(usize::MAX);
                hashes.push(perfect_root(&level[start..start + (1 << node.level)]));
            }
        }
        fold_peaks(&hashes)
    }
}

/// Hashes of a level of tiles that a tree of `size` leaves has.
pub(crate) fn size_at(size: u64, tile_level: u8) -> u64 {
    size.checked_shr(u32::from(tile_level) * 8).unwrap_or(0)
}

/// The hash over a power of two of hashes.
pub(crate) fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .map(|pair| node_hash(&pair[0], &pair[1]))
            .collect();
    }
    row.first().copied().unwrap_or_else(crate::tree::empty_root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{root, tests::leaves};

    #[test]
    fn the_edge_has_the_root_of_the_whole_at_every_size() {
        let leaves = leaves(1_100);
        let (mut edge, mut full) = (Edge::default(), Vec::new());
        assert_eq!(edge.root(), root(&[]));
        for (count, leaf) in (1..).zip(&leaves) {
            edge.push(*leaf, &mut full);
            if count % 7 == 0 || count % 256 < 2 {
                assert_eq!(edge.root(), root(&leaves[..count]), "size {count}");
            }
        }
        assert_eq!(edge.size(), 1_100);
        assert_eq!(Edge::new(1_100, edge.levels.clone()), Some(edge.clone()));
        assert_eq!(Edge::new(1_101, edge.levels), None);
        assert_eq!(
            full.iter()
                .map(|tile| (tile.level, tile.index))
                .collect::<Vec<_>>(),
            [(0, 0), (0, 1), (0, 2), (0, 3)]
        );
        assert_eq!(full[1].hashes, leaves[256..512].concat());
        assert_eq!(full[1].root, root(&leaves[256..512]));
    }

    /// The specification's example of 70,000 leaves: 273 full tiles and 112 hashes, 1 and 17, 0 and 1.
    #[test]
    fn tiles_of_seventy_thousand_leaves() {
        let (mut edge, mut full) = (Edge::default(), Vec::new());
        for _ in 0..70_000 {
            edge.push([7; 32], &mut full);
        }
        assert_eq!(
            edge.levels.iter().map(Vec::len).collect::<Vec<_>>(),
            [112, 17, 1]
        );
        assert_eq!(full.iter().filter(|tile| tile.level == 0).count(), 273);
        let upper: Vec<_> = full.iter().filter(|tile| tile.level == 1).collect();
        assert_eq!((upper.len(), upper[0].index), (1, 0));
        assert_eq!(edge.root(), root(&vec![[7; 32]; 70_000]));
    }
}
