//! Which bytes of a tile are wrong. A tile that is not what is above may still be right below: then one of its hashes
//! is not that of what it is over, and that one is named.

use std::collections::HashMap;

use super::{Wrong, hashes, next_entry, plan::Plan};
use crate::{
    checkpoint::Checkpoint,
    edge::{Edge, perfect_root},
    tile::{TILE_WIDTH, TilePath},
    tree::{Hash, leaf_hash},
};

/// Files with their bytes.
pub type Files = HashMap<TilePath, Vec<u8>>;

/// What must be read to look closer at what [`super::Audit::take`] found: at most a bundle and 2,048 tiles, mostly
/// one tile and what lies below it.
pub fn suspects(head: &Checkpoint, wrong: &Wrong) -> Vec<TilePath> {
    let tiles = match wrong {
        Wrong::Tile { path, .. } => vec![*path],
        Wrong::Root { .. } => edge_of(head).collect(),
        _ => Vec::new(),
    };
    let below: Vec<TilePath> = tiles.iter().flat_map(|tile| below(*tile)).collect();
    [tiles, below].concat()
}

/// Says more of it, by the [`suspects`] that could be read; the same where nothing more can be said.
pub fn locate(head: &Checkpoint, wrong: Wrong, files: &Files) -> Wrong {
    let found = match &wrong {
        Wrong::Tile { path, want, .. } => tile(*path, *want, files),
        Wrong::Root { .. } => edge(head, files),
        _ => None,
    };
    found.unwrap_or(wrong)
}

/// A full tile: what lies below must lead to the hash above.
fn tile(path: TilePath, want: Hash, files: &Files) -> Option<Wrong> {
    let below = hashes_below(path, files)?;
    let right = perfect_root(&below) == want;
    let tile = hashes(path, files.get(&path)?).ok()?;
    right.then(|| differing(path, &below, &tile)).flatten()
}

fn edge_of(head: &Checkpoint) -> impl Iterator<Item = TilePath> {
    let size = head.size;
    (0_u8..)
        .take(Edge::depth(size))
        .filter_map(move |level| Plan::partial(size, level))
}

/// The partial tiles: what lies below all of them must lead to the root.
fn edge(head: &Checkpoint, files: &Files) -> Option<Wrong> {
    let (mut levels, mut first) = (vec![Vec::new(); Edge::depth(head.size)], None);
    for path in edge_of(head) {
        let TilePath::Hashes { level, .. } = path else {
            continue;
        };
        let below = hashes_below(path, files)?;
        let tile = hashes(path, files.get(&path)?).ok()?;
        first = first.or_else(|| differing(path, &below, &tile));
        levels[usize::from(level)] = below;
    }
    first.filter(|_| Edge::new(head.size, levels).is_some_and(|edge| edge.root() == head.root))
}

/// The files that a tile is over.
fn below(tile: TilePath) -> Vec<TilePath> {
    let TilePath::Hashes {
        level,
        index,
        width,
    } = tile
    else {
        return Vec::new();
    };
    let Some(level) = level.checked_sub(1) else {
        return vec![TilePath::Entries { index, width }];
    };
    let first = index * TILE_WIDTH;
    let full = |index| TilePath::Hashes {
        level,
        index,
        width: 256,
    };
    (first..first + u64::from(width)).map(full).collect()
}

/// The hashes that a tile should hold, by what it is over.
fn hashes_below(tile: TilePath, files: &Files) -> Option<Vec<Hash>> {
    let mut found = Vec::new();
    for path in below(tile) {
        let bytes = files.get(&path)?;
        match path {
            TilePath::Hashes { .. } => found.push(perfect_root(&hashes(path, bytes).ok()?)),
            TilePath::Entries { width, .. } => {
                let mut rest = &bytes[..];
                for _ in 0..width {
                    found.push(leaf_hash(next_entry(&mut rest)?));
                }
            }
        }
    }
    Some(found)
}

fn differing(path: TilePath, below: &[Hash], tile: &[Hash]) -> Option<Wrong> {
    let mut pairs = below.iter().zip(tile);
    let at = pairs.position(|(want, got)| want != got)?;
    Some(Wrong::Hash {
        path,
        offset: at * 32,
        want: below[at],
        got: tile[at],
    })
}
