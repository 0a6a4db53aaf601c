//! Looking through what is stored, bundle by bundle, against the signed head, and putting right what a disk changed.
//! The database itself computes what is put in place of it, and refuses everything else (`journal.heal_*`).

use kernel::Cid;
use store::{Db, Tx};

use crate::{
    audit::{self, Audit, Files, Reading, Wrong},
    error::{Error, Result},
    head, log,
    log::{number, sql},
    tile::{TILE_WIDTH, TilePath},
    vkey::VerifierKey,
};

/// Which stored bytes are not what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// The body of the entry of this leaf.
    Body(u64),
    /// The hash of this leaf.
    Leaf(u64),
    /// The body of this entry is archived, and could not be had.
    Archived(Cid),
    /// A full tile: its hashes, or the hash over them.
    Tile {
        /// Its level.
        level: u8,
        /// Its place in the level.
        index: u64,
    },
}

/// What is wrong with what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whose bytes these are; `None` where more is wrong than can be told apart.
    pub damage: Option<Damage>,
    /// In words: file, byte, and what it should be.
    pub why: String,
}

impl Found {
    fn of(wrong: &Wrong) -> Self {
        Self {
            damage: damage(wrong),
            why: wrong.to_string(),
        }
    }
}

/// Full tiles are rows; partial ones are read from the leaves, or from the roots of the tiles below.
fn damage(wrong: &Wrong) -> Option<Damage> {
    match wrong {
        Wrong::Leaf { leaf, .. } => Some(Damage::Body(*leaf)),
        // Where the entries below could not be read to tell which hash it is.
        Wrong::Tile {
            path:
                TilePath::Hashes {
                    level,
                    index,
                    width: 256,
                },
            ..
        } => Some(Damage::Tile {
            level: *level,
            index: *index,
        }),
        Wrong::Hash { path, offset, .. } => {
            let TilePath::Hashes {
                level,
                index,
                width,
            } = *path
            else {
                return None;
            };
            if u64::from(width) == TILE_WIDTH {
                return Some(Damage::Tile { level, index });
            }
            let index = index * TILE_WIDTH + u64::try_from(offset / 32).ok()?;
            Some(match level.checked_sub(1) {
                None => Damage::Leaf(index),
                Some(level) => Damage::Tile { level, index },
            })
        }
        _ => None,
    }
}

/// Whether this failure says that what is stored is damaged: Postgres says so, or it gives what is not of its form. Others
/// (a statement that was cancelled, a lock that could not be had) say nothing of it.
pub fn is_damage(error: &Error) -> bool {
    use sqlx::Error as E;
    match error {
        Error::Damaged(_) => true,
        Error::Store(store::Error::Internal(error)) => match error {
            // Of data, of an index, and a disk that does not give a page.
            E::Database(said) => {
                matches!(said.code().as_deref(), Some("XX001" | "XX002" | "58030"))
            }
            E::ColumnDecode { .. } | E::Decode(_) => true,
            _ => false,
        },
        _ => false,
    }
}

/// The first thing that is wrong with a bundle of entries, its leaves or the tiles above it; `None` also where the log
/// has no such bundle. An archived body that nobody gives comes last, so that it hides nothing else.
///
/// Errors with [`Error::Damaged`] where the newest head is not signed by `key`, or rows are not of their form.
pub async fn examine(db: &Db, key: &VerifierKey, bundle: u64) -> Result<Option<Found>> {
    let Some(head) = head::head(db).await? else {
        return Ok(None);
    };
    let head = audit::head(&head.note, key).map_err(|error| Error::Damaged(error.to_string()))?;
    let first = bundle.saturating_mul(TILE_WIDTH);
    if first >= head.size {
        return Ok(None);
    }
    let range = first..head.size.min(first + TILE_WIDTH);
    let audit = Audit::new(head.clone(), range, Reading::Opaque);
    let mut audit = match audit {
        Ok(audit) => audit,
        Err(wrong) => return Ok(Some(Found::of(&wrong))),
    };
    for path in audit.plan() {
        let taken = match file(db, path).await {
            Ok(Some(bytes)) => audit.take(path, &bytes),
            Ok(None) => Err(Wrong::Missing { path }),
            Err(error) => {
                // Its entries are the last of a bundle's files.
                let archived = archived(&error).ok_or(error)?;
                let found = changed_body(db, bundle).await?;
                let found = match found {
                    None => unlike(db, bundle).await?,
                    found => found,
                };
                return Ok(Some(found.unwrap_or(archived)));
            }
        };
        if let Err(wrong) = taken {
            let mut files = Files::new();
            for path in audit::suspects(&head, &wrong) {
                match file(db, path).await {
                    Ok(found) => files.extend(found.map(|bytes| (path, bytes))),
                    Err(error) if archived(&error).is_some() => {}
                    Err(error) => return Err(error),
                }
            }
            return Ok(Some(Found::of(&audit::locate(&head, wrong, &files))));
        }
    }
    unlike(db, bundle).await
}

/// The entry whose body the archive did not give.
fn archived(error: &Error) -> Option<Found> {
    let Error::Store(store::Error::Archived { name, .. }) = error else {
        return None;
    };
    Some(Found {
        damage: Cid::try_from(name.as_str()).ok().map(Damage::Archived),
        why: format!("the entry {name} is archived, and nobody gives its body"),
    })
}

/// Where a bundle cannot be read whole: an entry of it whose body is not that of its CID.
async fn changed_body(db: &Db, bundle: u64) -> Result<Option<Found>> {
    let row = sqlx::query!(
        r#"SELECT l.leaf_index, e.cid FROM journal.leaves l JOIN journal.entries e ON e.seq = l.entry_seq
            WHERE l.leaf_index >= $1 AND l.leaf_index < $2 AND journal.cid_of(e.body) <> e.cid
            ORDER BY l.leaf_index LIMIT 1"#,
        sql(bundle.saturating_mul(TILE_WIDTH)),
        sql(bundle.saturating_add(1).saturating_mul(TILE_WIDTH)),
    )
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let leaf = number(row.leaf_index)?;
    Ok(Some(Found {
        damage: Some(Damage::Body(leaf)),
        why: format!(
            "the stored bytes of leaf {leaf} are not the entry {}",
            row.cid
        ),
    }))
}

async fn file(db: &Db, path: TilePath) -> Result<Option<Vec<u8>>> {
    let file = match path {
        TilePath::Hashes {
            level,
            index,
            width,
        } => log::tile(db, level, index, width).await,
        TilePath::Entries { index, width } => log::entry_bundle(db, index, width).await,
    };
    match file {
        Err(Error::NotFound(_)) => Ok(None),
        file => file.map(Some),
    }
}

/// Once all that is served is right: copies that are not served, and differ.
async fn unlike(db: &Db, bundle: u64) -> Result<Option<Found>> {
    let row = sqlx::query!(
        r#"SELECT level AS "level!", place AS "place!" FROM journal.unlike($1) LIMIT 1"#,
        sql(bundle)
    )
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let place = number(row.place)?;
    let (damage, why) = match u8::try_from(row.level) {
        Err(_) => (
            Damage::Leaf(place),
            format!("the stored hash of leaf {place} is not that of its entry"),
        ),
        Ok(level) => (
            Damage::Tile {
                level,
                index: place,
            },
            format!("the stored root of tile {place} of level {level} is not that of its hashes"),
        ),
    };
    Ok(Some(Found {
        damage: Some(damage),
        why,
    }))
}

/// The CID of the entry of a leaf.
pub async fn cid_of(db: &Db, leaf: u64) -> Result<Cid> {
    let cid = sqlx::query_scalar!(
        "SELECT e.cid FROM journal.leaves l JOIN journal.entries e ON e.seq = l.entry_seq WHERE l.leaf_index = $1",
        sql(leaf)
    )
    .fetch_optional(db.pool())
    .await?
    .ok_or_else(|| Error::NotFound(format!("leaf {leaf}")))?;
    Cid::try_from(cid.as_str()).map_err(|_| Error::Damaged(format!("`{cid}` is no CID")))
}

/// Puts the body of a leaf's entry right; whether it was wrong, and these bytes are it.
pub async fn heal_body(tx: &mut Tx, leaf: u64, body: &[u8]) -> Result<bool> {
    let healed = sqlx::query_scalar!(
        r#"SELECT journal.heal_body($1, $2) AS "healed!""#,
        sql(leaf),
        body
    );
    Ok(healed.fetch_one(tx.conn()).await?)
}

/// Puts the hash of a leaf right; whether it was wrong and could be told.
pub async fn heal_leaf(tx: &mut Tx, leaf: u64) -> Result<bool> {
    let healed = sqlx::query_scalar!(r#"SELECT journal.heal_leaf($1) AS "healed!""#, sql(leaf));
    Ok(healed.fetch_one(tx.conn()).await?)
}

/// Puts a full tile right; whether it was wrong and could be told.
pub async fn heal_tile(tx: &mut Tx, level: u8, index: u64) -> Result<bool> {
    let healed = sqlx::query_scalar!(
        r#"SELECT journal.heal_tile($1, $2) AS "healed!""#,
        i16::from(level),
        sql(index)
    );
    Ok(healed.fetch_one(tx.conn()).await?)
}

#[cfg(test)]
mod tests;
