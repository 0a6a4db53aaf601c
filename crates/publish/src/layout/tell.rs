//! What Kubo is told of the layout: blocks that it lacks, the pin, the name.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use content::{
    Block, Content, Kubo,
    block::{self, RAW},
    car,
    ipns::Key,
};
use kernel::Cid;
use store::{Db, Outcome, Tx};
use uuid::Uuid;

use super::{FOLLOWER, Layout, VALID, cid, find, signed};
use crate::{Result, publisher};

/// A CAR is sent when it has grown to this, in bytes.
const CAR_BYTES: usize = 16 << 20;

/// What Kubo may take for a command: it walks the whole layout, or tells its network.
const PATIENCE: Duration = Duration::from_mins(10);

/// Pause between two attempts to have Kubo take one record: telling its network may take it long.
const AGAIN: TimeDelta = TimeDelta::minutes(1);

/// Has Kubo keep the newest root and take its record, and signs a record anew before it ends. Idle where all
/// of that is done, nothing is there to tell, or another process than `holder` publishes.
pub async fn tell(db: &Db, content: &Content, key: &Key, holder: Uuid) -> Result<Outcome> {
    let Some(lease) = publisher::lead(db, holder).await? else {
        return Ok(Outcome::Idle);
    };
    let Some(layout) = find(db).await? else {
        return Ok(Outcome::Idle);
    };
    let now = db.clock().now();
    if layout.valid_until - now < VALID / 2 {
        let layout = signed(key, layout.root, layout.size, now)?;
        let mut tx = publisher::begin(db, &lease, FOLLOWER).await?;
        set_record(&mut tx, &layout).await?;
        tx.commit().await?;
        return Ok(Outcome::Busy);
    }
    let Some(kubo) = content.kubo().map(|kubo| kubo.patient(PATIENCE)) else {
        return Ok(Outcome::Idle);
    };
    let state = sqlx::query!("SELECT pinned, told, tried_at FROM publish.layout")
        .fetch_one(db.pool())
        .await?;
    let root = layout.root.to_string();
    if state.pinned.as_ref() != Some(&root) {
        let old = state.pinned.as_deref().map(cid).transpose()?;
        pin(content, &kubo, &layout.root, old.as_ref()).await?;
        let mut tx = publisher::begin(db, &lease, FOLLOWER).await?;
        set_pinned(&mut tx, &root).await?;
        tx.commit().await?;
    }
    let waits = state.tried_at.is_some_and(|tried| now - tried < AGAIN);
    if state.told != Some(layout.valid_until) && !waits {
        let mut tx = publisher::begin(db, &lease, FOLLOWER).await?;
        set_tried(&mut tx).await?;
        tx.commit().await?;
        kubo.put_name(&key.name()?, layout.record.clone()).await?;
        let mut tx = publisher::begin(db, &lease, FOLLOWER).await?;
        set_told(&mut tx, layout.valid_until).await?;
        tx.commit().await?;
    }
    Ok(Outcome::Idle)
}

/// The root that Kubo keeps.
async fn set_pinned(tx: &mut Tx, root: &str) -> Result<()> {
    sqlx::query!("UPDATE publish.layout SET pinned = $1", root)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Kubo is given the record now.
async fn set_tried(tx: &mut Tx) -> Result<()> {
    let now = tx.now();
    sqlx::query!("UPDATE publish.layout SET tried_at = $1", now)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Kubo took the record that is valid until then.
async fn set_told(tx: &mut Tx, valid_until: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "UPDATE publish.layout SET told = $1, tried_at = NULL",
        valid_until
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The same root under a record that is valid for longer, unless the root has moved on meanwhile.
async fn set_record(tx: &mut Tx, layout: &Layout) -> Result<()> {
    sqlx::query!(
        "UPDATE publish.layout SET record = $1, valid_until = $2 WHERE size = $3",
        layout.record,
        layout.valid_until,
        i64::try_from(layout.size).unwrap_or(i64::MAX),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Pins `new` in place of `old`, of which Kubo has all blocks, or had.
async fn pin(content: &Content, kubo: &Kubo, new: &Cid, old: Option<&Cid>) -> Result<()> {
    if let Some(old) = old {
        match replace(content, kubo, new, old).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                tracing::warn!(%new, %error, "Kubo gets all of {new} and not only what is new: {error}");
            }
        }
    }
    give(content, kubo, new, None).await?;
    Ok(kubo.pin(new).await?)
}

async fn replace(content: &Content, kubo: &Kubo, new: &Cid, old: &Cid) -> Result<()> {
    give(content, kubo, new, Some(old)).await?;
    Ok(kubo.repin(old, new).await?)
}

/// Gives Kubo the blocks below `new` that `old` has not. Both are walked level by level; what both link to on
/// one level is left out on both sides, so that little of two large trees is looked at.
async fn give(content: &Content, kubo: &Kubo, new: &Cid, old: Option<&Cid>) -> Result<()> {
    let mut fresh = HashSet::from([*new]);
    let mut stale: HashSet<Cid> = old.into_iter().copied().collect();
    let (mut blocks, mut size) = (Vec::<Block>::new(), 0);
    while !fresh.is_empty() {
        let mut below = (HashSet::new(), HashSet::new());
        for cid in fresh.difference(&stale) {
            let bytes = content.block(cid).await?;
            below.0.extend(block::links(cid, &bytes)?);
            size += bytes.len();
            blocks.push((*cid, bytes));
            if size >= CAR_BYTES {
                kubo.put_car(car::write(&[*new], &blocks)?).await?;
                blocks.clear();
                size = 0;
            }
        }
        for cid in stale.difference(&fresh).filter(|cid| cid.codec() != RAW) {
            let bytes = content.block(cid).await?;
            below.1.extend(block::links(cid, &bytes)?);
        }
        (fresh, stale) = below;
    }
    if !blocks.is_empty() {
        kubo.put_car(car::write(&[*new], &blocks)?).await?;
    }
    Ok(())
}
