//! The sealed log as it is stored and served: heads, tiles, bundles, proofs (c2sp.org/tlog-tiles).
//!
//! What is sealed never changes, so nothing here needs a snapshot: a proof for a size that a head
//! named is the same whenever it is asked for.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

use sqlx::PgConnection;
use store::Db;

pub use crate::head::{Head, checkpoint, checkpoints_after, head};
use crate::{
    body,
    edge::{Edge, perfect_root, size_at},
    error::{Error, Result},
    head::head_on,
    proof::{consistency_ranges, inclusion_ranges},
    tile::{TILE_WIDTH, encode_bundle},
    tree::{Hash, Node, fold_peaks, peaks},
};

/// The first `width` hashes of a tile, end to end: 256 of a full one, fewer of a partial one.
pub async fn tile(db: &Db, level: u8, index: u64, width: u16) -> Result<Vec<u8>> {
    let missing = || Error::NotFound(format!("tile {index} of level {level} with {width} hashes"));
    if width == 0 || u64::from(width) > TILE_WIDTH || level > 7 {
        return Err(missing());
    }
    let mut conn = db.pool().acquire().await?;
    let hashes = if u64::from(width) == TILE_WIDTH {
        full_tiles(&mut conn, &[(level, index)])
            .await?
            .remove(&(level, index))
            .unwrap_or_default()
    } else {
        partial_tile(&mut conn, level, index, width.into()).await?
    };
    if hashes.len() == usize::from(width) {
        Ok(hashes.concat())
    } else {
        Err(missing())
    }
}

/// The first `width` entries of a bundle, in the form of c2sp.org/tlog-tiles.
pub async fn entry_bundle(db: &Db, index: u64, width: u16) -> Result<Vec<u8>> {
    let missing = || Error::NotFound(format!("entry bundle {index} with {width} entries"));
    if width == 0 || u64::from(width) > TILE_WIDTH {
        return Err(missing());
    }
    let first = index.checked_mul(TILE_WIDTH).ok_or_else(missing)?;
    let rows = sqlx::query!(
        // Entry by entry, also where the planner does not know yet how large the tables have become.
        "SELECT e.cid, e.body
           FROM journal.leaves l CROSS JOIN LATERAL
                (SELECT cid, body FROM journal.entries WHERE seq = l.entry_seq OFFSET 0) e
          WHERE l.leaf_index >= $1 AND l.leaf_index < $2 ORDER BY l.leaf_index",
        sql(first),
        sql(first.saturating_add(width.into())),
    )
    .fetch_all(db.pool())
    .await?;
    if rows.len() != usize::from(width) {
        return Err(missing());
    }
    let rows = rows.into_iter().map(|row| (row.cid, row.body));
    let bodies = body::all(db.archive(), rows).await?;
    encode_bundle(bodies.iter().map(Vec::as_slice))
        .ok_or_else(|| Error::Damaged("an entry is longer than 65,535 bytes".to_owned()))
}

/// The hashes that prove that leaf `index` is in the tree of `size` leaves.
pub async fn inclusion(db: &Db, index: u64, size: u64) -> Result<Vec<Hash>> {
    let mut conn = db.pool().acquire().await?;
    check_sealed(&mut conn, size).await?;
    inclusion_on(&mut conn, index, size).await
}

/// As [`inclusion`], of a size that a head named.
pub(crate) async fn inclusion_on(
    conn: &mut PgConnection,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>> {
    let ranges = inclusion_ranges(index, size).ok_or_else(|| {
        Error::Range(format!(
            "a tree of {size} leaves has no leaf {index}: the first is 0"
        ))
    })?;
    range_hashes(conn, &ranges, size).await
}

/// The hashes that prove that the tree of `new` leaves begins with that of `old` leaves.
pub async fn consistency(db: &Db, old: u64, new: u64) -> Result<Vec<Hash>> {
    let ranges = consistency_ranges(old, new).ok_or_else(|| {
        Error::Range(format!(
            "the tree of {old} leaves is no beginning of one of {new}"
        ))
    })?;
    let mut conn = db.pool().acquire().await?;
    check_sealed(&mut conn, new).await?;
    range_hashes(&mut conn, &ranges, new).await
}

/// The root of the first `size` leaves.
pub async fn root(db: &Db, size: u64) -> Result<Hash> {
    let mut conn = db.pool().acquire().await?;
    check_sealed(&mut conn, size).await?;
    let hashes = range_hashes(&mut conn, std::slice::from_ref(&(0..size)), size).await?;
    Ok(fold_peaks(&hashes))
}

/// The right edge of the stored tree.
pub(crate) async fn edge(conn: &mut PgConnection, size: u64) -> Result<Edge> {
    let mut levels = Vec::new();
    for level in (0_u8..).take(Edge::depth(size)) {
        let hashes = size_at(size, level);
        levels.push(partial_tile(conn, level, hashes / TILE_WIDTH, hashes % TILE_WIDTH).await?);
    }
    Edge::new(size, levels)
        .ok_or_else(|| Error::Damaged(format!("hashes below the size {size} are missing")))
}

async fn check_sealed(conn: &mut PgConnection, size: u64) -> Result<()> {
    let sealed = head_on(conn).await?.map_or(0, |head| head.size);
    if size > sealed {
        return Err(Error::Range(format!(
            "only {sealed} entries are sealed, not {size}"
        )));
    }
    Ok(())
}

/// Hashes of ranges that RFC 6962 hashes, all inside the first `size` sealed leaves: a few tiles are read.
async fn range_hashes(
    conn: &mut PgConnection,
    ranges: &[Range<u64>],
    size: u64,
) -> Result<Vec<Hash>> {
    let nodes = nodes(ranges);
    let tiles = tiles_of(conn, &nodes, size).await?;
    let hash_of = |node: &Node| {
        let (tile, within) = place(*node);
        let hashes = tiles.get(&tile).and_then(|hashes| hashes.get(within));
        hashes.map(perfect_root).ok_or_else(|| {
            Error::Damaged(format!("tile {} of level {} lacks hashes", tile.1, tile.0))
        })
    };
    nodes
        .iter()
        .map(|nodes| {
            Ok(fold_peaks(
                &nodes.iter().map(hash_of).collect::<Result<Vec<_>>>()?,
            ))
        })
        .collect()
}

/// The nodes of the tree that each range is put together from.
fn nodes(ranges: &[Range<u64>]) -> Vec<Vec<Node>> {
    ranges.iter().cloned().map(peaks).collect()
}

/// Reads the tiles that nodes are in, each once: the full ones with one question, and one for each that is not full, at
/// the right edge. The proof of an entry is in two tiles of a level at most, and in one of the highest: in five where
/// there are ten million.
async fn tiles_of(
    conn: &mut PgConnection,
    nodes: &[Vec<Node>],
    size: u64,
) -> Result<HashMap<(u8, u64), Vec<Hash>>> {
    let places: BTreeSet<(u8, u64)> = nodes.iter().flatten().map(|node| place(*node).0).collect();
    let (full, partial): (Vec<_>, Vec<_>) = places
        .into_iter()
        .partition(|(level, index)| (index + 1) * TILE_WIDTH <= size_at(size, *level));
    let mut tiles = full_tiles(conn, &full).await?;
    for (level, index) in partial {
        let width = size_at(size, level) % TILE_WIDTH;
        tiles.insert(
            (level, index),
            partial_tile(conn, level, index, width).await?,
        );
    }
    Ok(tiles)
}

/// The tile that a node is in, by level and index, and the hashes in it that the node is over.
fn place(node: Node) -> ((u8, u64), Range<usize>) {
    let within = node.level % 8;
    let start = node.index << within;
    // Less than 256, so it fits.
    let at = usize::try_from(start % TILE_WIDTH).unwrap_or(0);
    ((node.level / 8, start / TILE_WIDTH), at..at + (1 << within))
}

async fn full_tiles(
    conn: &mut PgConnection,
    tiles: &[(u8, u64)],
) -> Result<HashMap<(u8, u64), Vec<Hash>>> {
    if tiles.is_empty() {
        return Ok(HashMap::new());
    }
    let (levels, indexes): (Vec<i16>, Vec<i64>) = tiles
        .iter()
        .map(|(level, index)| (i16::from(*level), sql(*index)))
        .unzip();
    let rows = sqlx::query!(
        "SELECT level, n, hashes FROM journal.tiles
          WHERE (level, n) IN (SELECT * FROM unnest($1::smallint[], $2::bigint[]))",
        &levels,
        &indexes,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let level = u8::try_from(row.level).map_err(|_| damaged_number())?;
            let (hashes, _) = row.hashes.as_chunks::<32>();
            Ok(((level, number(row.n)?), hashes.to_vec()))
        })
        .collect()
}

/// Up to `width` hashes of a tile, read from the leaves or from the roots of the tiles below.
async fn partial_tile(
    conn: &mut PgConnection,
    level: u8,
    index: u64,
    width: u64,
) -> Result<Vec<Hash>> {
    let first = index.saturating_mul(TILE_WIDTH);
    let (first, end) = (sql(first), sql(first.saturating_add(width)));
    let hashes = if level == 0 {
        sqlx::query_scalar!(
            "SELECT leaf_hash FROM journal.leaves WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index",
            first,
            end
        )
        .fetch_all(conn)
        .await?
    } else {
        sqlx::query_scalar!(
            "SELECT root FROM journal.tiles WHERE level = $1 AND n >= $2 AND n < $3 ORDER BY n",
            i16::from(level) - 1,
            first,
            end
        )
        .fetch_all(conn)
        .await?
    };
    hashes.into_iter().map(hash).collect()
}

/// A number for Postgres; one that it cannot hold is beyond all rows.
pub(crate) fn sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A size or index that Postgres had.
pub(crate) fn number(stored: i64) -> Result<u64> {
    u64::try_from(stored).map_err(|_| damaged_number())
}

fn damaged_number() -> Error {
    Error::Damaged("a size or index is out of its range".to_owned())
}

pub(crate) fn hash(bytes: Vec<u8>) -> Result<Hash> {
    bytes
        .try_into()
        .map_err(|_| Error::Damaged("a hash has not 32 bytes".to_owned()))
}

#[cfg(test)]
mod tests;
