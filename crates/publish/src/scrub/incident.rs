//! What the journal is told of damages: each that was put right, and once each that nobody can.

use journal::{Change, NewEntry};
use serde_json::json;
use store::{Cause, Db, Tx};

use crate::Result;

/// Something that is kept and is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damaged {
    /// Where it is kept: one process's blockstore, or a bundle of the journal.
    pub store: String,
    /// Its name there.
    pub thing: String,
    /// In words.
    pub what: String,
}

/// Says in the journal that it was put right, in the transaction that did it.
pub(super) async fn healed(tx: &mut Tx, damaged: &Damaged, from: &str) -> Result<()> {
    sqlx::query!(
        "DELETE FROM publish.damages WHERE store = $1 AND thing = $2",
        damaged.store,
        damaged.thing,
    )
    .execute(tx.conn())
    .await?;
    append(tx, &damaged.what, Some(from)).await
}

/// The same, of what was put right outside of the database.
pub(super) async fn tell_healed(db: &Db, damaged: &Damaged, from: &str) -> Result<()> {
    let mut tx = db.begin(Cause::Job("scrub")).await?;
    healed(&mut tx, damaged, from).await?;
    tx.commit().await?;
    count(&damaged.what, true);
    Ok(())
}

/// Says in the journal that nobody has it as it was, unless that is said and stands.
pub(super) async fn tell_lost(db: &Db, damaged: &Damaged) -> Result<()> {
    let mut tx = db.begin(Cause::Job("scrub")).await?;
    let now = tx.now();
    let is_new = sqlx::query!(
        "INSERT INTO publish.damages (store, thing, what, told_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (store, thing) DO NOTHING",
        damaged.store,
        damaged.thing,
        damaged.what,
        now,
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    if is_new == 0 {
        return Ok(());
    }
    append(&mut tx, &damaged.what, None).await?;
    tx.commit().await?;
    count(&damaged.what, false);
    Ok(())
}

/// Says of what was told as lost from `store` that it is there again, whoever brought it, where `is_back` says so of
/// its name.
pub(super) async fn tell_back(
    db: &Db,
    store: &str,
    is_back: impl Fn(&str) -> bool + Send + Sync,
) -> Result<()> {
    let lost = sqlx::query_as!(
        Damaged,
        "SELECT store, thing, what FROM publish.damages WHERE store = $1",
        store
    )
    .fetch_all(db.pool())
    .await?;
    for damaged in lost.iter().filter(|damaged| is_back(&damaged.thing)) {
        tell_healed(db, damaged, "somebody else").await?;
    }
    Ok(())
}

async fn append(tx: &mut Tx, what: &str, healed_from: Option<&str>) -> Result<()> {
    let incident = NewEntry::incident(vec![Change {
        column: "damaged".to_owned(),
        value: json!({ "what": what, "healed": healed_from.is_some(), "from": healed_from }),
        cause: "scrub".to_owned(),
        time: tx.now(),
    }]);
    journal::append(tx, vec![incident]).await?;
    Ok(())
}

/// Once it is committed.
pub(super) fn count(what: &str, healed: bool) {
    if healed {
        tracing::warn!("a disk changed what is kept, and it was put right: {what}");
    } else {
        tracing::error!("a disk changed what is kept, and nobody has it as it was: {what}");
    }
    metrics::counter!("chancery_damage_total", "healed" => healed.to_string()).increment(1);
}
