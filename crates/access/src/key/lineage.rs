//! Which key made which: a key ends with the key that it was made with, and nobody makes keys without end. Which one
//! took which one's place: of such a line two hold at most.
//!
//! A key is made with the key that asked for it, by creation or by rotation: whoever had that one knows this one's
//! secret, too. A successor takes over what its predecessor made.

use chrono::{DateTime, Utc};
use store::Tx;

use super::unknown;
use crate::{Error, Result};

/// Keys in force that one principal may have; of the operator's, those that his keys made.
pub const MOST_KEYS: i64 = 100;
/// Keys in force that one key may have made, for whomever they act.
pub const MOST_MADE: i64 = 1_000;

/// Waits until nobody else changes keys, so that none is made with a key that ends meanwhile, and no two take the last
/// place. Each change raises the number in this row anyway, and waits for it then. Gives when the key that asks ends by
/// itself. Errors with [`Error::Unproven`] where it has ended.
pub(super) async fn take_turn(
    tx: &mut Tx,
    asked_with: Option<&str>,
) -> Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("SELECT revision FROM access.revision FOR UPDATE")
        .fetch_one(tx.conn())
        .await?;
    let Some(key_id) = asked_with else {
        return Ok(None);
    };
    let now = tx.now();
    let end = sqlx::query_scalar!(
        "SELECT expires_at FROM access.api_keys
          WHERE key_id = $1 AND active AND (expires_at IS NULL OR expires_at > $2)",
        key_id,
        now,
    )
    .fetch_optional(tx.conn())
    .await?;
    let over = || Error::Unproven("this API key was revoked, or is over".to_owned());
    end.ok_or_else(over)
}

/// Whether a principal may have one more key. Errors with [`Error::Conflict`] where it has too many.
pub(super) async fn leave_room(tx: &mut Tx, owner: &str) -> Result<()> {
    let now = tx.now();
    let live = sqlx::query_scalar!(
        r#"SELECT count(*) AS "live!" FROM access.api_keys
            WHERE principal = $1 AND active AND (expires_at IS NULL OR expires_at > $2)
              AND (principal <> 'operator' OR made_with IS NOT NULL)"#,
        owner,
        now,
    )
    .fetch_one(tx.conn())
    .await?;
    if live < MOST_KEYS {
        return Ok(());
    }
    Err(Error::Conflict(if owner == "operator" {
        format!(
            "{MOST_KEYS} of the operator's keys that keys made are in force, which is the most: revoke one first, or \
             ask with the operator's token"
        )
    } else {
        format!("{MOST_KEYS} keys are in force, which is the most: revoke one first")
    }))
}

/// Whether a key may make one more. Errors with [`Error::Conflict`] where it made too many.
pub(super) async fn leave_room_under(tx: &mut Tx, maker: &str) -> Result<()> {
    let now = tx.now();
    let live = sqlx::query_scalar!(
        r#"SELECT count(*) AS "live!" FROM access.api_keys
            WHERE made_with = $1 AND active AND (expires_at IS NULL OR expires_at > $2)"#,
        maker,
        now,
    )
    .fetch_one(tx.conn())
    .await?;
    if live < MOST_MADE {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "{MOST_MADE} keys that this API key made are in force, which is the most: revoke one first, or ask with the \
         operator's token"
    )))
}

/// Ends the key that this one replaced, where it still holds, and names it: who rotates again and again would hold
/// many. It is over then, not revoked: what it made stays.
pub(super) async fn end_replaced(tx: &mut Tx, key_id: &str) -> Result<Option<String>> {
    let now = tx.now();
    // Both are locked in one order, for what is written of their use locks the same rows.
    let ended = sqlx::query_scalar!(
        "WITH pair AS (
             SELECT k.key_id FROM access.api_keys k
              WHERE k.key_id = $1
                 OR k.key_id = (SELECT successor.replaces FROM access.api_keys successor WHERE successor.key_id = $1)
              ORDER BY k.key_id FOR UPDATE
         )
         UPDATE access.api_keys k SET expires_at = $2
           FROM pair WHERE k.key_id = pair.key_id AND k.key_id <> $1
            AND k.active AND (k.expires_at IS NULL OR k.expires_at > $2)
         RETURNING k.key_id",
        key_id,
        now,
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(ended)
}

/// Hands what a key made over to its successor; but not those through which the key that asks came of it. The successor
/// hangs below the one that asks: the two would hold each other, and nothing would end them.
pub(super) async fn hand_over(
    tx: &mut Tx,
    key_id: &str,
    successor: &str,
    asked_with: Option<&str>,
) -> Result<()> {
    sqlx::query!(
        "WITH RECURSIVE asks AS (
             SELECT k.key_id, k.made_with FROM access.api_keys k WHERE k.key_id = $3::text
             UNION
             SELECT k.key_id, k.made_with FROM access.api_keys k JOIN asks ON k.key_id = asks.made_with
         )
         UPDATE access.api_keys k SET made_with = $2
          WHERE k.made_with = $1 AND NOT EXISTS (SELECT FROM asks WHERE asks.key_id = k.key_id)",
        key_id,
        successor,
        asked_with,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Hands what a key made over to the one that it was made with. Two may have made each other.
pub(super) async fn hand_up(tx: &mut Tx, key_id: &str) -> Result<()> {
    sqlx::query!(
        "UPDATE access.api_keys AS made SET made_with = nullif(k.made_with, made.key_id)
           FROM access.api_keys k WHERE k.key_id = $1 AND made.made_with = k.key_id",
        key_id,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends a key at once, and those that were made with it, and with these: the answer names them. One that was revoked
/// stays as it is; what was made with it ends all the same. The key that asks, and what was made with that, stay: a
/// program that rotated its key may revoke the old one with the new one.
pub async fn revoke(tx: &mut Tx, key_id: &str, asked_with: Option<&str>) -> Result<Vec<String>> {
    take_turn(tx, asked_with).await?;
    let now = tx.now();
    let found = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM access.api_keys WHERE key_id = $1) AS "found!""#,
        key_id,
    );
    if !found.fetch_one(tx.conn()).await? {
        return Err(unknown());
    }
    // In one order, for what is written of their use locks the same rows.
    let ended = sqlx::query_scalar!(
        "WITH RECURSIVE made AS (
             SELECT $1::text AS key_id
             UNION
             SELECT k.key_id::text FROM access.api_keys k JOIN made ON k.made_with = made.key_id
              WHERE k.key_id IS DISTINCT FROM $3::text
         ), ending AS (
             SELECT k.key_id FROM access.api_keys k
              WHERE k.key_id IN (SELECT key_id FROM made) AND k.active
                AND (k.key_id = $1 OR k.expires_at IS NULL OR k.expires_at > $2)
              ORDER BY k.key_id FOR UPDATE
         )
         UPDATE access.api_keys k SET active = false, revoked_at = $2
           FROM ending WHERE k.key_id = ending.key_id
         RETURNING k.key_id",
        key_id,
        now,
        asked_with,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut others: Vec<String> = ended.into_iter().filter(|ended| ended != key_id).collect();
    others.sort_unstable();
    Ok(others)
}
