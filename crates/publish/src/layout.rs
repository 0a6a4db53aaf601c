//! The DukeNET layout: `/dukenet/agents/{id}/registration` below one root, which an IPNS name stands for.
//!
//! A follower of the journal. The root is a function of the log's beginning alone: whoever has the log makes the
//! same directories, and a blockstore that lost them makes them again. The record's sequence is the size of that
//! beginning, so it rises with the root and never goes back.

mod registration;
mod tell;

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use content::{
    Content,
    directory::{self, Grown, Growth, PLAIN_AT_MOST, Target},
    ipns::{self, Key},
};
use journal::{
    Entry, LogKey,
    follow::{self, SealedEntry},
    identity,
};
use kernel::{Bytes, Cid};
use store::{Cause, Db, Outcome, cursor};

use self::registration::Registration;
pub use self::tell::tell;
use crate::{Error, Result};

/// The name of our cursor.
const FOLLOWER: &str = "layout";

/// Most entries of one round.
const ENTRIES: i64 = 4_096;

/// For how long a record is valid (what Kubo gives its own), and for how long a reader may keep it.
const VALID: TimeDelta = TimeDelta::hours(48);
/// How long readers may go without asking again.
pub const TTL: Duration = Duration::from_mins(1);

/// What the key of the name is derived for.
const PURPOSE: &str = "chancery ipns v1";

/// The layout as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Of so many leaves of the journal; also the record's sequence.
    pub size: u64,
    /// The directory above `dukenet`.
    pub root: Cid,
    /// The IPNS record that names the root.
    pub record: Vec<u8>,
    /// Until when the record is valid.
    pub valid_until: DateTime<Utc>,
}

/// The key of the journal's name. It is not the journal's own, which signs checkpoints and nothing else, but
/// follows from it: who has kept the one has kept the other.
pub fn key(journal: &LogKey) -> Key {
    Key::from_seed(&journal.derive(PURPOSE))
}

/// The layout; `None` before anybody is registered in it.
pub async fn find(db: &Db) -> Result<Option<Layout>> {
    let row = sqlx::query!("SELECT size, root, record, valid_until FROM publish.layout")
        .fetch_optional(db.pool())
        .await?;
    row.map(|row| {
        Ok(Layout {
            size: u64::try_from(row.size).unwrap_or_default(),
            root: cid(&row.root)?,
            record: row.record,
            valid_until: row.valid_until,
        })
    })
    .transpose()
}

/// Brings what the next entries register into the layout; Idle where nothing is left.
pub async fn grow(db: &Db, content: &Content, key: &Key) -> Result<Outcome> {
    let entries = follow::next(db, FOLLOWER, ENTRIES).await?;
    let Some(last) = entries.last() else {
        return Ok(Outcome::Idle);
    };
    let size = last.leaf_index + 1;
    let registered = register(db, content, &entries).await?;
    if registered.is_empty() {
        let mut tx = db.begin(Cause::Job(FOLLOWER)).await?;
        follow::advance(&mut tx, FOLLOWER, &entries).await?;
        tx.commit().await?;
        return Ok(Outcome::Busy);
    }
    let before = sqlx::query!("SELECT agents_root FROM publish.layout")
        .fetch_optional(db.pool())
        .await?;
    let before = before.map(|row| cid(&row.agents_root)).transpose()?;
    let agents = match add(content, before.as_ref(), &registered).await {
        Err(Error::Content(error)) if matches!(*error, content::Error::Missing(_)) => {
            tracing::warn!(%error, "a directory of the layout is gone, and all are made again: {error}");
            return start_again(db).await;
        }
        other => other?,
    };
    let dukenet = directory::directory(&BTreeMap::from([("agents".to_owned(), agents)]));
    let root = directory::directory(&BTreeMap::from([("dukenet".to_owned(), dukenet.root)]));
    let above = [dukenet.blocks, root.blocks].concat();
    content.blocks().put_many(&above).await?;
    let layout = signed(key, root.root.cid, size, db.clock().now())?;
    write(db, &layout, agents, &entries).await?;
    Ok(Outcome::Busy)
}

/// Stores the registrations among `entries` as files in directories of their own, by the agents' ids.
async fn register(
    db: &Db,
    content: &Content,
    entries: &[SealedEntry],
) -> Result<BTreeMap<String, Target>> {
    let log = identity::find(db)
        .await?
        .map(|identity| identity.origin)
        .unwrap_or_default();
    let (mut registered, mut blocks) = (BTreeMap::new(), Vec::new());
    for sealed in entries {
        let entry = Entry::parse(&sealed.body).map_err(journal::Error::from)?;
        let Some(found) = Registration::of(&entry, &sealed.cid, &log, sealed.leaf_index) else {
            continue;
        };
        let bytes =
            serde_json::to_vec(&found).map_err(|error| Error::Internal(error.to_string()))?;
        let file = content::build(&bytes, content::Layout::OURS);
        let target = Target {
            cid: file.root,
            size: bytes.len() as u64,
        };
        let own = directory::directory(&BTreeMap::from([("registration".to_owned(), target)]));
        registered.insert(found.agent().to_string(), own.root);
        blocks.extend(file.blocks.into_iter().chain(own.blocks));
    }
    content.blocks().put_many(&blocks).await?;
    Ok(registered)
}

/// Adds agents to their directory, and stores what is new of it.
async fn add(
    content: &Content,
    before: Option<&Cid>,
    agents: &BTreeMap<String, Target>,
) -> Result<Target> {
    let mut known: HashMap<Cid, Bytes> = HashMap::new();
    loop {
        match directory::grow(before, agents, &known, PLAIN_AT_MOST)? {
            Growth::Missing(missing) => {
                for cid in missing {
                    known.insert(cid, content.block(&cid).await?);
                }
            }
            Growth::Done(Grown { root, blocks }) => {
                content.blocks().put_many(&blocks).await?;
                return Ok(root);
            }
        }
    }
}

/// Forgets how far the layout is: the next rounds make it from the first entry on, and come to the same root.
async fn start_again(db: &Db) -> Result<Outcome> {
    let name = format!("journal/{FOLLOWER}");
    let position = cursor::get(db, &name).await?;
    let mut tx = db.begin(Cause::Job(FOLLOWER)).await?;
    cursor::advance(&mut tx, &name, position, 0).await?;
    sqlx::query!("DELETE FROM publish.layout")
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(Outcome::Busy)
}

/// The layout under a fresh record.
fn signed(key: &Key, root: Cid, size: u64, now: DateTime<Utc>) -> Result<Layout> {
    let valid_until = now + VALID;
    let record = key.sign(&ipns::Entry {
        root,
        sequence: size,
        valid_until,
        ttl: TTL,
    })?;
    Ok(Layout {
        size,
        root,
        record,
        valid_until,
    })
}

async fn write(db: &Db, layout: &Layout, agents: Target, entries: &[SealedEntry]) -> Result<()> {
    let mut tx = db.begin(Cause::Job(FOLLOWER)).await?;
    sqlx::query!(
        "INSERT INTO publish.layout (size, root, agents_root, agents_size, record, valid_until)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (only_row) DO UPDATE SET size = $1, root = $2, agents_root = $3,
             agents_size = $4, record = $5, valid_until = $6",
        i64::try_from(layout.size).unwrap_or(i64::MAX),
        layout.root.to_string(),
        agents.cid.to_string(),
        i64::try_from(agents.size).unwrap_or(i64::MAX),
        layout.record,
        layout.valid_until,
    )
    .execute(tx.conn())
    .await?;
    follow::advance(&mut tx, FOLLOWER, entries).await?;
    Ok(tx.commit().await?)
}

fn cid(text: &str) -> Result<Cid> {
    text.parse()
        .map_err(|_| Error::Internal(format!("`{text}` of the layout is no CID")))
}
