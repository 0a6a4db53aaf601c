//! The DukeNET layout: `/dukenet/agents/{id}/registration` below one root, which an IPNS name stands for.
//!
//! A follower of the journal. The root is a function of the log's beginning alone: whoever has the log makes the
//! same directories, and a blockstore that lost them, or another process's that never had them, makes them again.
//! The record's sequence is the size of that beginning, so it rises with the root and never goes back.

mod registration;
mod remake;
mod tell;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use content::{
    Block, Content,
    directory::{self, Growth, PLAIN_AT_MOST, Target},
    ipns::{self, Key},
};
use journal::{
    Entry, LogKey,
    follow::{self, SealedEntry},
    identity,
};
use kernel::{Bytes, Cid};
use store::{Db, Outcome, Tx, lease::Lease};
use uuid::Uuid;

use self::registration::Registration;
pub(crate) use self::remake::Remade;
pub use self::tell::tell;
use crate::{Error, Result, publisher};

/// The name of our cursor.
const FOLLOWER: &str = "layout";

/// Most entries of one round. The more agents it adds, the fewer of the directories above them are made again for each.
const ENTRIES: u64 = 16_384;
/// Entries that are in memory at once.
const ENTRIES_AT_ONCE: u64 = 4_096;
/// Agents that are added at once: the directories on their way are in memory.
const AGENTS_AT_ONCE: usize = 2_048;

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

/// Builds the layout in one process's blockstore.
#[derive(Debug, Default)]
pub struct Builder {
    /// Set while blocks of the layout are made again.
    remade: Mutex<Option<Remade>>,
}

impl Builder {
    /// Brings what the next entries register into the layout; Idle where these are all that were sealed when it began,
    /// or another process than `holder` publishes. Whoever registers meanwhile waits for others: each round makes the
    /// directories above its agents again, which of a million agents take megabytes.
    ///
    /// Where nobody has a block of the layout as it stands, rounds make all of it again before they go on.
    pub async fn round(
        &self,
        db: &Db,
        content: &Content,
        key: &Key,
        holder: Uuid,
    ) -> Result<Outcome> {
        let Some(lease) = publisher::lead(db, holder).await? else {
            return Ok(Outcome::Idle);
        };
        let remade = self.remade();
        let error = match self.go_on(db, content, key, &lease).await {
            Err(Error::Content(error)) if matches!(*error, content::Error::Missing(_)) => error,
            done => return done,
        };
        tracing::warn!(%error, "of the layout a block is gone, and all are made again: {error}");
        self.remember(Some(Remade::default()));
        // What was made again is gone too: that is no moment to hurry.
        Ok(remade.map_or(Outcome::Busy, |_| Outcome::Idle))
    }

    async fn go_on(&self, db: &Db, content: &Content, key: &Key, lease: &Lease) -> Result<Outcome> {
        let done = follow::position(db, FOLLOWER).await?;
        let remade = self.remade();
        if let Some(remade) = remade.filter(|remade| remade.size < done) {
            let mut remade = remade.go_on(db, content, done).await?;
            let ended = remade.filter(|remade| remade.size == done);
            if let Some(agents) = ended.and_then(|remade| remade.agents) {
                // An earlier version made another root of the same log, and nobody has all of that any more.
                let layout = signed(key, above(agents).0, done, db.clock().now())?;
                let mut tx = publisher::begin(db, lease, FOLLOWER).await?;
                write(&mut tx, &layout, &agents).await?;
                tx.commit().await?;
                remade = None;
            }
            self.remember(remade);
            return Ok(Outcome::Busy);
        }
        if remade.is_none()
            && let Some(layout) = find(db).await?
            && !content.blocks().has(&layout.root)
        {
            // Another process made it, and may be gone for good.
            content.block(&layout.root).await?;
        }
        let sealed = journal::log::head(db).await?.map_or(0, |head| head.size);
        let (size, registered) = gather(db, content, done, sealed).await?;
        if size == done {
            return Ok(Outcome::Idle);
        }
        let mut layout = None;
        if !registered.is_empty() {
            let before = match remade {
                Some(remade) => remade.agents.map(|agents| agents.cid),
                None => stored_agents(db).await?,
            };
            let agents = add(content, before.as_ref(), registered).await?;
            let (root, blocks) = above(agents);
            content.blocks().put_many(&blocks).await?;
            layout = Some((signed(key, root, size, db.clock().now())?, agents));
        }
        let mut tx = publisher::begin(db, lease, FOLLOWER).await?;
        if let Some((layout, agents)) = &layout {
            write(&mut tx, layout, agents).await?;
        }
        follow::advance_to(&mut tx, FOLLOWER, done, size).await?;
        tx.commit().await?;
        if layout.is_some() {
            self.remember(None);
        }
        Ok(if size < sealed {
            Outcome::Busy
        } else {
            Outcome::Idle
        })
    }

    fn remade(&self) -> Option<Remade> {
        *self.remade.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, remade: Option<Remade>) {
        *self.remade.lock().unwrap_or_else(PoisonError::into_inner) = remade;
    }
}

/// The directory of agents that the layout has as it stands.
async fn stored_agents(db: &Db) -> Result<Option<Cid>> {
    let root = sqlx::query_scalar!("SELECT agents_root FROM publish.layout")
        .fetch_optional(db.pool())
        .await?;
    root.as_deref().map(cid).transpose()
}

/// The directories above that of the agents: the root, and the blocks of all of them.
fn above(agents: Target) -> (Cid, Vec<Block>) {
    let dukenet = directory::directory(&BTreeMap::from([("agents".to_owned(), agents)]));
    let root = directory::directory(&BTreeMap::from([("dukenet".to_owned(), dukenet.root)]));
    (root.root.cid, [dukenet.blocks, root.blocks].concat())
}

/// Stores what the leaves from `from` on and before `to` register, or as many of them as one round takes. Gives the leaf
/// that comes next, and the agents' directories by their ids.
async fn gather(
    db: &Db,
    content: &Content,
    from: u64,
    to: u64,
) -> Result<(u64, BTreeMap<String, Target>)> {
    let log = identity::find(db)
        .await?
        .map(|identity| identity.origin)
        .unwrap_or_default();
    let (mut size, mut registered, mut hashes) = (from, BTreeMap::new(), HashSet::new());
    let to = to.min(from + ENTRIES);
    while size < to {
        let most = i64::try_from(ENTRIES_AT_ONCE.min(to - size)).unwrap_or(i64::MAX);
        let entries = follow::sealed(db, size, most).await?;
        let Some(last) = entries.last() else {
            return Err(Error::Internal(format!("leaf {size} has no entry")));
        };
        size = last.leaf_index + 1;
        register(content, &entries, &log, &mut registered, &mut hashes).await?;
    }
    Ok((size, registered))
}

/// Stores the registrations among `entries` as files in directories of their own, and adds them to those before, of whose
/// ids these are the hashes.
async fn register(
    content: &Content,
    entries: &[SealedEntry],
    log: &str,
    registered: &mut BTreeMap<String, Target>,
    hashes: &mut HashSet<u64>,
) -> Result<()> {
    let mut blocks = Vec::new();
    for sealed in entries {
        let entry = Entry::parse(&sealed.body).map_err(journal::Error::from)?;
        let Some(found) = Registration::of(&entry, &sealed.cid, log, sealed.leaf_index) else {
            continue;
        };
        let name = found.agent().to_string();
        // Whoever is earlier in the log has the place, so that in whatever portions it is the same.
        if !hashes.insert(directory::hash(&name)) && !registered.contains_key(&name) {
            left_out(&name);
            continue;
        }
        let bytes =
            serde_json::to_vec(&found).map_err(|error| Error::Internal(error.to_string()))?;
        let file = content::build(&bytes, content::Layout::OURS);
        let target = Target {
            cid: file.root,
            size: bytes.len() as u64,
        };
        let own = directory::directory(&BTreeMap::from([("registration".to_owned(), target)]));
        registered.insert(name, own.root);
        blocks.extend(file.blocks.into_iter().chain(own.blocks));
    }
    content.blocks().put_many(&blocks).await?;
    Ok(())
}

/// Adds agents, of whom there are some, to their directory, and stores what is new of it: those of one part of the trie
/// together, so that hardly a node but the root is made again twice.
async fn add(
    content: &Content,
    before: Option<&Cid>,
    agents: BTreeMap<String, Target>,
) -> Result<Target> {
    let mut agents: Vec<(String, Target)> = agents.into_iter().collect();
    agents.sort_by_cached_key(|(name, _)| directory::hash(name));
    let mut grown = None;
    for part in agents.chunks(AGENTS_AT_ONCE) {
        let before = grown
            .as_ref()
            .map_or(before, |grown: &Target| Some(&grown.cid));
        grown = Some(add_part(content, before, &part.iter().cloned().collect()).await?);
    }
    grown.ok_or_else(|| Error::Internal("nobody is added to the layout".to_owned()))
}

async fn add_part(
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
            Growth::Done(grown) => {
                content.blocks().put_many(&grown.blocks).await?;
                grown.left_out.iter().for_each(|name| left_out(name));
                return Ok(grown.root);
            }
        }
    }
}

/// Ids are hashes, so that two of one place were made on purpose.
fn left_out(name: &str) {
    tracing::warn!("agent {name} is not in the layout: an earlier one's id has the same hash");
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

/// Writes the layout down in place of an earlier one. Readers keep the record of the highest sequence that they saw,
/// so no later one may have less; of two with the same one they keep that which is valid for longer.
async fn write(tx: &mut Tx, layout: &Layout, agents: &Target) -> Result<()> {
    let written = sqlx::query!(
        "INSERT INTO publish.layout AS l (size, root, agents_root, agents_size, record, valid_until)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (only_row) DO UPDATE SET size = $1, root = $2, agents_root = $3,
             agents_size = $4, record = $5, valid_until = $6 WHERE l.size < $1 OR l.size = $1 AND l.root <> $2",
        i64::try_from(layout.size).unwrap_or(i64::MAX),
        layout.root.to_string(),
        agents.cid.to_string(),
        i64::try_from(agents.size).unwrap_or(i64::MAX),
        layout.record,
        layout.valid_until,
    )
    .execute(tx.conn())
    .await?
    .rows_affected();
    if written == 1 {
        return Ok(());
    }
    let size = layout.size;
    Err(Error::Internal(format!(
        "the layout is beyond {size} leaves already, though its follower is not"
    )))
}

fn cid(text: &str) -> Result<Cid> {
    text.parse()
        .map_err(|_| Error::Internal(format!("`{text}` of the layout is no CID")))
}
