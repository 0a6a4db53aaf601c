//! The rows that a seal inserts. Each of them is unique in a way that only one seal can have. Leaves are many and
//! go in by COPY.

use chrono::TimeDelta;
use store::{Tx, copy::Rows};

use super::Unsealed;
use crate::{
    checkpoint::Checkpoint,
    edge::{Edge, FullTile},
    error::{Error, Result, violated},
    head::Head,
    key::LogKey,
    log::sql,
    vkey::VerifierKey,
};

pub(super) async fn insert_leaves(
    tx: &mut Tx,
    head: Option<&Head>,
    entries: &[Unsealed],
) -> Result<()> {
    let mut rows = Rows::new(3);
    let first = sql(head.map_or(0, |head| head.size));
    for (index, entry) in (first..).zip(entries) {
        rows.row()
            .bigint(index)
            .bigint(entry.seq)
            .bytea(&entry.hash);
    }
    let statement =
        "COPY journal.leaves (leaf_index, entry_seq, leaf_hash) FROM STDIN (FORMAT binary)";
    rows.copy(tx, statement).await.map_err(raced)
}

pub(super) async fn insert_tiles(tx: &mut Tx, tiles: &[FullTile]) -> Result<()> {
    if tiles.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO journal.tiles (level, n, hashes, root)
         SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[], $4::bytea[])",
        &tiles
            .iter()
            .map(|tile| i16::from(tile.level))
            .collect::<Vec<_>>(),
        &tiles.iter().map(|tile| sql(tile.index)).collect::<Vec<_>>(),
        &tiles
            .iter()
            .map(|tile| tile.hashes.clone())
            .collect::<Vec<_>>(),
        &tiles
            .iter()
            .map(|tile| tile.root.to_vec())
            .collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await
    .map_err(raced)?;
    Ok(())
}

pub(super) async fn insert_checkpoint(
    tx: &mut Tx,
    key: &LogKey,
    vkey: &VerifierKey,
    head: Option<&Head>,
    edge: &Edge,
) -> Result<()> {
    let checkpoint = Checkpoint {
        origin: vkey.name().to_owned(),
        size: edge.size(),
        root: edge.root(),
        extensions: Vec::new(),
    };
    let note = key.sign(vkey, checkpoint.to_string());
    let note = note.map_err(|error| Error::Damaged(error.to_string()))?;
    // Time advances from head to head, also where the clock was set back.
    let after = head.map(|head| head.signed_at + TimeDelta::microseconds(1));
    let signed_at = after.map_or(tx.now(), |after| after.max(tx.now()));
    sqlx::query!(
        "INSERT INTO journal.checkpoints (size, prev_size, root, note, signed_at) VALUES ($1, $2, $3, $4, $5)",
        sql(checkpoint.size),
        head.map(|head| sql(head.size)),
        &checkpoint.root[..],
        note.to_string(),
        signed_at,
    )
    .execute(tx.conn())
    .await
    .map_err(raced)?;
    Ok(())
}

/// Whatever is unique about a seal, only another seal can have taken it.
fn raced(error: sqlx::Error) -> Error {
    if violated(&error).is_some() {
        Error::Raced
    } else {
        error.into()
    }
}
