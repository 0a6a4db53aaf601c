//! One checkpoint after the other into the blockstores.

use std::collections::BTreeMap;

use content::{Block, Content, block::MAX_BLOCK, pin};
use journal::{
    follow, log,
    log::Head,
    publication::{self, Publication, State},
    tile::{TILE_WIDTH, TilePath},
};
use kernel::{Bytes, Cid, cid_of_dag_cbor, cid_of_raw, to_dag_cbor};
use store::{Cause, Db, Outcome};
use uuid::Uuid;

use crate::{Error, Manifest, Result, publisher};

/// The name of our cursor.
const FOLLOWER: &str = "publish";

/// Most checkpoints that are looked at to find the next one that is worth a manifest.
const LOOK_AHEAD: i64 = 64;

/// Most entries of one manifest; more only where one seal brought more.
const ENTRIES: u64 = 4_096;

/// Tiles are stored when so many bytes of them are together.
const TILE_BYTES: usize = 8 << 20;

/// How many manifests one round confirms.
const CONFIRMED_AT_ONCE: i64 = 64;

/// Publishes up to the next checkpoint; Idle where everything is published, or another process than `holder`
/// publishes.
pub async fn mirror(db: &Db, content: &Content, holder: Uuid) -> Result<Outcome> {
    let Some(lease) = publisher::lead(db, holder).await? else {
        return Ok(Outcome::Idle);
    };
    let from = follow::position(db, FOLLOWER).await?;
    let heads = log::checkpoints_after(db, from, LOOK_AHEAD).await?;
    // Several small checkpoints may share a manifest: the last of them implies the others' tiles.
    let within = heads
        .iter()
        .rposition(|head| head.size - from <= ENTRIES)
        .unwrap_or(0);
    let Some(head) = heads.get(within) else {
        return Ok(Outcome::Idle);
    };
    let prev = publication::latest(db, State::Stored)
        .await?
        .map(|before| before.reference);
    let root = put(db, content, from, head, prev).await?;

    let mut tx = publisher::begin(db, &lease, "publish").await?;
    let stored = Publication {
        size: head.size,
        state: State::Stored,
        reference: root.to_string(),
    };
    publication::record(&mut tx, &stored).await?;
    pin::want(&mut tx, content, &[root]).await?;
    follow::advance_to(&mut tx, FOLLOWER, from, head.size).await?;
    tx.commit().await?;
    Ok(Outcome::Busy)
}

/// Stores everything that a checkpoint brought, and last the manifest of it, whose CID it gives.
pub(crate) async fn put(
    db: &Db,
    content: &Content,
    from: u64,
    head: &Head,
    prev: Option<String>,
) -> Result<Cid> {
    let entries = put_entries(db, content, from, head.size).await?;
    let mut portion = Portion::of(content);
    let tiles = put_tiles(db, from, head, &mut portion).await?;
    let note = head.note.clone().into_bytes();
    let checkpoint = cid_of_raw(&note);
    portion.add(checkpoint, note.into()).await?;
    let manifest = Manifest {
        v: 1,
        size: head.size,
        from,
        checkpoint,
        entries,
        tiles,
        prev,
    };
    let bytes = to_dag_cbor(&manifest).map_err(|error| Error::Internal(error.to_string()))?;
    let root = cid_of_dag_cbor(&bytes);
    portion.add(root, bytes.into()).await?;
    portion.store().await?;
    Ok(root)
}

/// Stores the entries of these leaves and gives their CIDs. They are many, or large, and never all at hand.
async fn put_entries(db: &Db, content: &Content, from: u64, size: u64) -> Result<Vec<Cid>> {
    let mut links = Vec::new();
    let mut next = from;
    while next < size {
        let left = i64::try_from(size - next).unwrap_or(i64::MAX);
        let mut blocks = Vec::new();
        for entry in follow::sealed(db, next, left).await? {
            let cid: Cid = entry.cid.parse().map_err(|_| {
                Error::Internal(format!("`{}` in the journal is no CID", entry.cid))
            })?;
            next = entry.leaf_index + 1;
            links.push(cid);
            blocks.push((cid, Bytes::from(entry.body)));
        }
        if blocks.is_empty() {
            return Err(Error::Internal(format!("leaf {next} has no entry")));
        }
        content.blocks().put_many(&blocks).await?;
    }
    Ok(links)
}

/// Blocks that wait until it is worth to store them.
struct Portion<'a> {
    content: &'a Content,
    blocks: Vec<Block>,
    bytes: usize,
}

impl<'a> Portion<'a> {
    fn of(content: &'a Content) -> Self {
        Self {
            content,
            blocks: Vec::new(),
            bytes: 0,
        }
    }

    async fn add(&mut self, cid: Cid, bytes: Bytes) -> Result<()> {
        self.bytes += bytes.len();
        self.blocks.push((cid, bytes));
        if self.bytes >= TILE_BYTES {
            self.store().await?;
        }
        Ok(())
    }

    async fn store(&mut self) -> Result<()> {
        self.content.blocks().put_many(&self.blocks).await?;
        self.blocks.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// Every tile and bundle that a tree of this size has and one of size `from` had not, or not as wide.
async fn put_tiles(
    db: &Db,
    from: u64,
    head: &Head,
    portion: &mut Portion<'_>,
) -> Result<BTreeMap<String, Cid>> {
    let mut out = BTreeMap::new();
    let (mut level, mut before, mut after) = (0_u8, from, head.size);
    while after > 0 {
        for (index, width) in grown(before, after) {
            let path = TilePath::Hashes {
                level,
                index,
                width,
            };
            let bytes = log::tile(db, level, index, width).await?;
            put_tile(path, bytes, &mut out, portion).await?;
            // Entries are blocks of their own, from which whoever wants a bundle puts it together. One that is not
            // full would be stored anew for each entry that comes; one that is too large cannot be a block.
            if level == 0 && u64::from(width) == TILE_WIDTH {
                let bytes = log::entry_bundle(db, index, width).await?;
                if bytes.len() <= MAX_BLOCK {
                    put_tile(TilePath::Entries { index, width }, bytes, &mut out, portion).await?;
                }
            }
        }
        before /= TILE_WIDTH;
        after /= TILE_WIDTH;
        level += 1;
    }
    Ok(out)
}

async fn put_tile(
    path: TilePath,
    bytes: Vec<u8>,
    out: &mut BTreeMap<String, Cid>,
    portion: &mut Portion<'_>,
) -> Result<()> {
    let cid = cid_of_raw(&bytes);
    out.insert(path.to_string(), cid);
    portion.add(cid, bytes.into()).await
}

/// The tiles of one level that grew from `before` to `after` hashes, with their widths.
fn grown(before: u64, after: u64) -> impl Iterator<Item = (u64, u16)> {
    (before / TILE_WIDTH..after.div_ceil(TILE_WIDTH)).filter_map(move |index| {
        let width = (after - index * TILE_WIDTH).min(TILE_WIDTH);
        let grew = index * TILE_WIDTH + width > before;
        grew.then(|| (index, u16::try_from(width).unwrap_or(u16::MAX)))
    })
}

/// Says `pinned` of what Kubo confirmed, manifest after manifest: each links only its own entries, so
/// a later pin says nothing of an earlier one.
pub async fn confirm(db: &Db) -> Result<Outcome> {
    let pinned = publication::latest(db, State::Pinned)
        .await?
        .map_or(0, |pinned| pinned.size);
    let mut confirmed = Vec::new();
    for stored in publication::after(db, State::Stored, pinned, CONFIRMED_AT_ONCE).await? {
        let root: Cid = stored.reference.parse().map_err(|_| {
            Error::Internal(format!("`{}` of a publication is no CID", stored.reference))
        })?;
        let pins = pin::find(db, &root).await?;
        if !pins
            .iter()
            .any(|pin| pin.store == "kubo" && pin.state == "pinned")
        {
            break;
        }
        confirmed.push(Publication {
            state: State::Pinned,
            ..stored
        });
    }
    if confirmed.is_empty() {
        return Ok(Outcome::Idle);
    }
    let mut tx = db.begin(Cause::Job("publish")).await?;
    for publication in &confirmed {
        publication::record(&mut tx, publication).await?;
    }
    tx.commit().await?;
    Ok(Outcome::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tiles_that_grew_are_published_again() {
        let tiles = |before, after| grown(before, after).collect::<Vec<_>>();
        assert_eq!(tiles(0, 3), [(0, 3)]);
        assert_eq!(tiles(3, 3), []);
        assert_eq!(tiles(255, 257), [(0, 256), (1, 1)]);
        assert_eq!(tiles(256, 257), [(1, 1)]);
        assert_eq!(tiles(0, 512), [(0, 256), (1, 256)]);
    }
}
