//! Looks through what is kept, a little at a time: the journal in the database against its signed head, our own blocks
//! against their CIDs. What a disk changed is put right from what is kept elsewhere, and each time is an incident.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use content::Content;
use journal::{
    Change, NewEntry, log,
    scrub::{self, Damage, Found},
    tile::TILE_WIDTH,
    vkey::VerifierKey,
};
use kernel::{Bytes, Cid};
use serde_json::json;
use store::{Cause, Db, Outcome, Tx, cursor, lease};
use uuid::Uuid;

use crate::Result;

/// The bundle of entries that is looked at next.
const CURSOR: &str = "journal/scrub";
/// Who looks at the journal; blocks are each process's own.
const LEASE: &str = "journal.scrub";
const LEASE_TTL: Duration = Duration::from_mins(1);

/// How many bits in one bundle are put right in one round; there is a next one.
const MOST_REPAIRS: usize = 16;
/// Bytes of our own blocks that one round reads.
const BLOCK_BYTES: u64 = 4 << 20;

/// Looks through one journal and one blockstore.
#[derive(Debug)]
pub struct Scrubber {
    key: VerifierKey,
    bundles: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where in the blockstore the next round begins.
    block: u64,
    /// What could not be put right and was told.
    told: BTreeSet<String>,
}

impl Scrubber {
    /// Looks at `bundles` of 256 entries in a round; `key` signs the journal.
    pub fn new(key: VerifierKey, bundles: u64) -> Self {
        Self {
            key,
            bundles,
            state: Mutex::default(),
        }
    }

    /// One round of a `store::Worker`.
    pub async fn round(&self, db: &Db, content: &Content, holder: Uuid) -> Result<Outcome> {
        if lease::acquire(db, LEASE, holder, LEASE_TTL)
            .await?
            .is_some()
        {
            self.journal(db, content).await?;
        }
        self.blocks(db, content).await?;
        Ok(Outcome::Idle)
    }

    async fn journal(&self, db: &Db, content: &Content) -> Result<()> {
        let size = log::head(db).await?.map_or(0, |head| head.size);
        let at = cursor::get(db, CURSOR).await?;
        let count = size.div_ceil(TILE_WIDTH);
        let first = u64::try_from(at)
            .ok()
            .filter(|first| *first < count)
            .unwrap_or(0);
        let end = count.min(first.saturating_add(self.bundles));
        for bundle in first..end {
            self.bundle(db, content, bundle).await?;
            metrics::counter!("chancery_scrubbed_entries_total").increment(TILE_WIDTH);
        }
        let next = i64::try_from(end).unwrap_or(0);
        if next == at {
            return Ok(());
        }
        let mut tx = db.begin(Cause::Job("scrub")).await?;
        cursor::advance(&mut tx, CURSOR, at, next).await?;
        Ok(tx.commit().await?)
    }

    async fn bundle(&self, db: &Db, content: &Content, bundle: u64) -> Result<()> {
        for _ in 0..MOST_REPAIRS {
            let Some(found) = scrub::examine(db, &self.key, bundle).await? else {
                return Ok(());
            };
            if !heal(db, content, &found).await? {
                return self.tell(db, &found.why).await;
            }
        }
        Ok(())
    }

    async fn blocks(&self, db: &Db, content: &Content) -> Result<()> {
        let from = self.state().block;
        let seen = content.blocks().examine(from, BLOCK_BYTES).await?;
        self.state().block = seen.next;
        metrics::counter!("chancery_scrubbed_block_bytes_total").increment(seen.bytes);
        for damage in seen.unknown {
            self.tell(db, &damage.to_string()).await?;
        }
        let lost = seen.lost.into_iter().map(|cid| (cid, false));
        let mended = seen.mended.into_iter().map(|cid| (cid, true));
        for (cid, is_mended) in lost.chain(mended) {
            let what = format!("the block {cid} in our own blockstore");
            let from = if is_mended {
                Some("its own record")
            } else {
                heal_block(db, content, &cid).await?
            };
            let Some(from) = from else {
                self.tell(db, &what).await?;
                continue;
            };
            let mut tx = db.begin(Cause::Job("scrub")).await?;
            append(&mut tx, &what, Some(from)).await?;
            tx.commit().await?;
            count(true, &what);
        }
        Ok(())
    }

    /// Tells once what nobody can put right.
    async fn tell(&self, db: &Db, what: &str) -> Result<()> {
        if !self.state().told.insert(what.to_owned()) {
            return Ok(());
        }
        let mut tx = db.begin(Cause::Job("scrub")).await?;
        append(&mut tx, what, None).await?;
        tx.commit().await?;
        count(false, what);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts right what was found, and says so in the journal, in one transaction; whether it could.
async fn heal(db: &Db, content: &Content, found: &Found) -> Result<bool> {
    let body = match found.damage {
        Some(Damage::Archived(cid)) => return Ok(content.block(&cid).await.is_ok()),
        Some(Damage::Body(leaf)) => {
            let cid = scrub::cid_of(db, leaf).await?;
            match content.block(&cid).await {
                Ok(body) => body,
                Err(error) => {
                    tracing::warn!(%error, "entry {cid} is damaged, and its block is nowhere: {error}");
                    return Ok(false);
                }
            }
        }
        _ => Bytes::new(),
    };
    let mut tx = db.begin(Cause::Job("scrub")).await?;
    let (healed, from) = match found.damage {
        Some(Damage::Body(leaf)) => (scrub::heal_body(&mut tx, leaf, &body).await?, "its block"),
        Some(Damage::Leaf(leaf)) => (scrub::heal_leaf(&mut tx, leaf).await?, "its entry"),
        Some(Damage::Tile { level, index }) => {
            let healed = scrub::heal_tile(&mut tx, level, index).await?;
            (healed, "what lies below")
        }
        Some(Damage::Archived(_)) | None => (false, ""),
    };
    if healed {
        append(&mut tx, &found.why, Some(from)).await?;
        tx.commit().await?;
        count(true, &found.why);
    }
    Ok(healed)
}

/// Gets a block again: from Kubo or a gateway, else from the journal where it is an entry. Says from where.
async fn heal_block(db: &Db, content: &Content, cid: &Cid) -> Result<Option<&'static str>> {
    if content.block(cid).await.is_ok() {
        return Ok(Some("another node"));
    }
    let Ok(entry) = journal::read::get(db, &cid.to_string()).await else {
        return Ok(None);
    };
    let block = (*cid, Bytes::from(entry.body));
    match content.blocks().put_many(&[block]).await {
        Ok(_) => Ok(Some("the journal")),
        // There it is damaged, too.
        Err(content::Error::Mismatch { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Says in the journal what was found, and from where it was put right.
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

fn count(healed: bool, what: &str) {
    if healed {
        tracing::warn!("a disk changed what is kept, and it was put right: {what}");
    } else {
        tracing::error!("a disk changed what is kept, and nobody has it as it was: {what}");
    }
    metrics::counter!("chancery_damage_total", "healed" => healed.to_string()).increment(1);
}
