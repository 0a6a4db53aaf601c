//! Which bytes of a tile are wrong. A tile that is not what is above may still be right below: then one of its hashes
//! is not that of what it is over, and that one is named.

use super::{Wrong, hashes, next_entry, plan::Plan};
use crate::{
    checkpoint::Checkpoint,
    edge::{Edge, perfect_root},
    tile::{TILE_WIDTH, TilePath},
    tree::{Hash, leaf_hash},
};

/// Looks closer at what [`super::Audit::take`] found, through whoever reads files (`None`: it cannot be read). Gives
/// the same back where nothing more can be said.
pub async fn locate(
    head: &Checkpoint,
    wrong: Wrong,
    mut read: impl AsyncFnMut(TilePath) -> Option<Vec<u8>>,
) -> Wrong {
    let found = match &wrong {
        Wrong::Tile { path, want, .. } => tile(*path, *want, &mut read).await,
        Wrong::Root { .. } => edge(head, &mut read).await,
        _ => None,
    };
    found.unwrap_or(wrong)
}

/// A full tile: what lies below must lead to the hash above.
async fn tile(
    path: TilePath,
    want: Hash,
    read: &mut impl AsyncFnMut(TilePath) -> Option<Vec<u8>>,
) -> Option<Wrong> {
    let below = below(path, read).await?;
    let right = perfect_root(&below) == want;
    let tile = hashes(path, &read(path).await?).ok()?;
    right.then(|| differing(path, &below, &tile)).flatten()
}

/// The partial tiles: what lies below all of them must lead to the root.
async fn edge(
    head: &Checkpoint,
    read: &mut impl AsyncFnMut(TilePath) -> Option<Vec<u8>>,
) -> Option<Wrong> {
    let (mut levels, mut first) = (Vec::new(), None);
    for level in (0_u8..).take(Edge::depth(head.size)) {
        let Some(path) = Plan::partial(head.size, level) else {
            levels.push(Vec::new());
            continue;
        };
        let below = below(path, read).await?;
        let tile = hashes(path, &read(path).await?).ok()?;
        first = first.or_else(|| differing(path, &below, &tile));
        levels.push(below);
    }
    first.filter(|_| Edge::new(head.size, levels).is_some_and(|edge| edge.root() == head.root))
}

/// The hashes that a tile should hold, by what it is over.
async fn below(
    path: TilePath,
    read: &mut impl AsyncFnMut(TilePath) -> Option<Vec<u8>>,
) -> Option<Vec<Hash>> {
    let TilePath::Hashes {
        level,
        index,
        width,
    } = path
    else {
        return None;
    };
    let mut found = Vec::new();
    let Some(level) = level.checked_sub(1) else {
        let bundle = read(TilePath::Entries { index, width }).await?;
        let mut rest = &bundle[..];
        for _ in 0..width {
            found.push(leaf_hash(next_entry(&mut rest)?));
        }
        return Some(found);
    };
    for index in index * TILE_WIDTH..index * TILE_WIDTH + u64::from(width) {
        let child = TilePath::Hashes {
            level,
            index,
            width: 256,
        };
        found.push(perfect_root(&hashes(child, &read(child).await?).ok()?));
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
