//! Looks through what is kept, a little at a time: the journal in the database against its signed head, our own blocks
//! against their CIDs, and whether every block is there that was published. What a disk changed is put right from what
//! is kept elsewhere, and each time is an incident.
//!
//! Whatever cannot be read or put right stops nothing: it is told once, and looked at again each time around.

mod blocks;
mod incident;
mod rows;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use content::{Content, Giver};
use journal::{log, tile::TILE_WIDTH, vkey::VerifierKey};
use kernel::Kind;
use store::{Cause, Db, Outcome, cursor, lease};
use uuid::Uuid;

use crate::{Result, publisher};

/// The bundle of entries that is looked at next.
const CURSOR: &str = "journal/scrub";
/// Who looks at the journal; blocks are each process's own.
const LEASE: &str = "journal.scrub";
const LEASE_TTL: Duration = Duration::from_mins(1);

/// What became of something that is not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Healed {
    /// It was put right, from there.
    From(&'static str),
    /// Nobody has it as it was.
    Not,
    /// Who may have it cannot be asked now.
    Later,
}

/// Who gave a block, as the journal says it; `ours` is for our own blockstore. Which Kubo or gateway it was is nobody's
/// business: entries are public.
fn giver(giver: Giver, ours: &'static str) -> &'static str {
    match giver {
        Giver::Ours => ours,
        Giver::Kubo => "Kubo",
        Giver::Gateway => "a gateway",
    }
}

/// Looks through one journal and one blockstore.
#[derive(Debug)]
pub struct Scrubber {
    key: VerifierKey,
    bundles: u64,
    state: Mutex<blocks::State>,
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

    /// One round of a `store::Worker`. Errors with the first failure, when all has been looked at that could be.
    pub async fn round(&self, db: &Db, content: &Content, holder: Uuid) -> Result<Outcome> {
        let blocks = self.blocks(db, content).await;
        let published = self.published(db, content, holder).await;
        let told = self.tell(db, content, holder).await;
        let journal = self.journal(db, content, holder).await;
        blocks.and(published).and(told).and(journal)?;
        Ok(Outcome::Idle)
    }

    async fn published(&self, db: &Db, content: &Content, holder: Uuid) -> Result<()> {
        // Only who publishes should have all of it.
        let publishes = publisher::lead(db, holder).await?.is_some();
        self.look_for_published(db, content, publishes).await?;
        self.look_for_layout(db, content).await
    }

    async fn journal(&self, db: &Db, content: &Content, holder: Uuid) -> Result<()> {
        let lease = lease::acquire(db, LEASE, holder, LEASE_TTL).await?;
        if lease.is_none() {
            return Ok(());
        }
        let size = log::head(db).await?.map_or(0, |head| head.size);
        let at = cursor::get(db, CURSOR).await?;
        let count = size.div_ceil(TILE_WIDTH);
        let first = u64::try_from(at)
            .ok()
            .filter(|first| *first < count)
            .unwrap_or(0);
        let end = count.min(first.saturating_add(self.bundles));
        let mut failed = Ok(());
        for bundle in first..end {
            match rows::look(db, content, &self.key, bundle).await {
                Ok(()) => {
                    metrics::counter!("chancery_scrubbed_entries_total").increment(TILE_WIDTH);
                }
                // What fails with one bundle keeps nobody from the next; it is tried again the next time around.
                Err(error) if error.kind() == Kind::Internal => {
                    tracing::warn!(bundle, %error, "bundle {bundle} was not looked at: {error}");
                    failed = Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        let next = i64::try_from(end).unwrap_or(0);
        if next != at {
            let mut tx = db.begin(Cause::Job("scrub")).await?;
            cursor::advance(&mut tx, CURSOR, at, next).await?;
            tx.commit().await?;
        }
        failed
    }

    fn state(&self) -> MutexGuard<'_, blocks::State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
