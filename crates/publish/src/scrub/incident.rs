//! What the journal is told of damages: each that was put right, and once each that nobody can.

use journal::{Change, NewEntry};
use serde_json::json;
use store::{Cause, Db, Tx};

use crate::Result;

/// Says in the journal that `what` was put right, in the transaction that did it.
pub(super) async fn healed(tx: &mut Tx, what: &str, from: &str) -> Result<()> {
    sqlx::query!("DELETE FROM publish.damages WHERE what = $1", what)
        .execute(tx.conn())
        .await?;
    append(tx, what, Some(from)).await
}

/// The same, of what was put right outside of the database.
pub(super) async fn tell_healed(db: &Db, what: &str, from: &str) -> Result<()> {
    let mut tx = db.begin(Cause::Job("scrub")).await?;
    healed(&mut tx, what, from).await?;
    tx.commit().await?;
    count(what, true);
    Ok(())
}

/// Says in the journal that nobody has `what` as it was, unless that is said and stands.
pub(super) async fn tell_lost(db: &Db, what: &str) -> Result<()> {
    let mut tx = db.begin(Cause::Job("scrub")).await?;
    let now = tx.now();
    let is_new = sqlx::query!(
        "INSERT INTO publish.damages (what, told_at) VALUES ($1, $2) ON CONFLICT (what) DO NOTHING",
        what,
        now,
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    if is_new == 0 {
        return Ok(());
    }
    append(&mut tx, what, None).await?;
    tx.commit().await?;
    count(what, false);
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
