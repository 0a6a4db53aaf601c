//! Our own blocks: whether the disk still has what was written, and whether everything is there that was published.

use std::collections::{BTreeMap, BTreeSet};

use content::Content;
use journal::{
    log,
    publication::{self, Publication},
};
use kernel::{Bytes, Cid, Kind, from_dag_cbor};
use store::Db;
use uuid::Uuid;

use super::{
    Healed, Scrubber, giver,
    incident::{self, Damaged},
};
use crate::{Error, Manifest, Result, layout::Remade, mirror};

/// Bytes of our own blocks that one round reads.
const BYTES: u64 = 4 << 20;
/// Manifests whose blocks one round looks for. It asks the index alone where they are there.
const MANIFESTS: i64 = 16;
/// After so many blocks that were not put right a round goes on with something else: each may have been searched for in
/// networks, for seconds.
const IN_VAIN: usize = 16;
/// Our own blockstore has the block a second time.
const ANOTHER_COPY: &str = "another copy";

/// How far one process has looked.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Where in the packs the next round begins.
    pack: u64,
    /// The publication that was looked at last; `None` where the next round begins with the first.
    published: Option<Publication>,
    /// Blocks that are missing and are to be put right, and whether the disk changed them here.
    missing: BTreeMap<Cid, bool>,
    /// Blocks that the disk changed and nobody gave: they may yet be made again with what was published.
    lost: BTreeSet<Cid>,
    /// Those of them that were known when the look at what was published began.
    waiting: BTreeSet<Cid>,
    /// Those that were not published with the log: they may yet be made again with the layout.
    unmade: BTreeSet<Cid>,
    /// How far the layout is made again for them.
    layout: Remade,
    /// Those that are not of the layout either, and were told so.
    told: BTreeSet<Cid>,
    /// All packs were read since it was looked what came back.
    is_round: bool,
    /// What the journal is to be told, by its name: what it was, and from where it was put right.
    untold: BTreeMap<String, (String, Option<&'static str>)>,
}

impl Scrubber {
    /// Reads the packs again, and puts right what the disk changed. What is left of the rounds before comes first.
    pub(super) async fn blocks(&self, db: &Db, content: &Content) -> Result<()> {
        let from = {
            let state = self.state();
            state.missing.is_empty().then_some(state.pack)
        };
        if let Some(from) = from {
            let seen = content.blocks().examine(from, BYTES).await?;
            metrics::counter!("chancery_scrubbed_block_bytes_total").increment(seen.bytes);
            for cid in seen.mended {
                self.say_block(&cid, Some("its own record"));
            }
            for damage in seen.unknown {
                let what = damage.to_string();
                self.say(what.clone(), what, None);
            }
            let mut state = self.state();
            // What is not put right is seen again the next time around.
            state.pack = seen.next;
            state.is_round |= seen.next == 0;
            state.missing = seen.lost.into_iter().map(|cid| (cid, true)).collect();
        }
        self.put_right(db, content).await
    }

    /// Puts right what is missing, until too much of it was tried in vain.
    async fn put_right(&self, db: &Db, content: &Content) -> Result<()> {
        let (mut in_vain, mut failed) = (0, Ok(()));
        while in_vain < IN_VAIN {
            let next = self.state().missing.pop_first();
            let Some((cid, is_damaged)) = next else { break };
            match heal(db, content, &cid).await {
                Ok(Healed::From(from)) if is_damaged => self.say_block(&cid, Some(from)),
                Ok(Healed::From(_)) => {
                    metrics::counter!("chancery_restored_blocks_total").increment(1);
                }
                Ok(Healed::Not) if is_damaged => {
                    self.state().lost.insert(cid);
                    in_vain += 1;
                }
                Ok(Healed::Not) => {
                    self.say_block(&cid, None);
                    in_vain += 1;
                }
                Ok(Healed::Later) => in_vain += 1,
                Err(error) => {
                    failed = Err(error);
                    in_vain += 1;
                }
            }
        }
        failed
    }

    /// Looks for the blocks of some publications, and puts again what is missing. `publishes`: whether this process
    /// should have all of them; else it looks only for what its own disk changed.
    pub(super) async fn look_for_published(
        &self,
        db: &Db,
        content: &Content,
        publishes: bool,
    ) -> Result<()> {
        if !self.state().missing.is_empty() {
            return Ok(());
        }
        let mut before = self.state().published.clone();
        if before.is_none() {
            let mut state = self.state();
            let mut lost = std::mem::take(&mut state.lost);
            state.waiting.append(&mut lost);
        }
        let wanted = (!publishes).then(|| self.state().waiting.clone());
        let after = before.as_ref().map_or(0, |before| before.size);
        let mut found = Vec::new();
        if wanted.as_ref().is_none_or(|wanted| !wanted.is_empty()) {
            found = publication::after(db, publication::State::Stored, after, MANIFESTS).await?;
        }
        let is_last = i64::try_from(found.len()).is_ok_and(|found| found < MANIFESTS);
        for stored in found {
            let missing = match &wanted {
                None => missing(content, &stored).await?,
                Some(wanted) => lost_of(content, &stored, wanted).await?,
            };
            if !missing.is_empty() {
                self.put_again(db, content, before.as_ref(), &stored, &missing)
                    .await;
            }
            before = Some(stored);
            self.state().published.clone_from(&before);
        }
        if is_last {
            let mut state = self.state();
            state.published = None;
            // Where the layout is made again already, what comes later waits for the next time.
            if state.unmade.is_empty() {
                state.unmade = std::mem::take(&mut state.waiting);
            }
        }
        self.put_right(db, content).await
    }

    /// Makes the layout again where blocks that the disk changed may be of it, and tells what became of them.
    pub(super) async fn look_for_layout(&self, db: &Db, content: &Content) -> Result<()> {
        let (is_open, layout) = {
            let state = self.state();
            let mut unmade = state.unmade.difference(&state.told);
            let is_open = unmade.any(|cid| !content.blocks().has(cid));
            (is_open, state.layout)
        };
        if is_open {
            self.state().layout = Remade::default();
            match layout.some(db, content).await {
                Ok(None) => {}
                Ok(Some(layout)) => {
                    self.state().layout = layout;
                    return Ok(());
                }
                // What it is made of is lost, too.
                Err(error) if error.is_archived() => {
                    tracing::warn!(%error, "the layout cannot be made again: {error}");
                }
                Err(error) => return Err(error),
            }
        }
        let unmade = std::mem::take(&mut self.state().unmade);
        for cid in unmade {
            let is_back = content.blocks().has(&cid);
            self.say_block(&cid, is_back.then_some("the journal"));
            if is_back {
                self.state().told.remove(&cid);
            } else {
                self.state().told.insert(cid);
            }
        }
        Ok(())
    }

    /// Makes again what is missing of one publication; what this does not give is to be put right otherwise.
    async fn put_again(
        &self,
        db: &Db,
        content: &Content,
        before: Option<&Publication>,
        stored: &Publication,
        missing: &[Cid],
    ) {
        if let Err(error) = make_again(db, content, before, stored).await {
            tracing::warn!(%error, "not all of {} can be made again: {error}", stored.reference);
            if error.kind() == Kind::Unavailable && !error.is_archived() {
                // For now: nothing is known to be lost.
                return;
            }
        }
        let (there, left): (Vec<Cid>, Vec<Cid>) = missing
            .iter()
            .copied()
            .partition(|cid| content.blocks().has(cid));
        let put = there.len();
        metrics::counter!("chancery_restored_blocks_total").increment(put as u64);
        tracing::warn!(
            missing = missing.len(),
            put,
            "{} blocks of the first {} entries were not in our own blockstore; {put} were made again",
            missing.len(),
            stored.size,
        );
        let mut state = self.state();
        for cid in left {
            state.missing.entry(cid).or_insert(false);
        }
    }

    fn say_block(&self, cid: &Cid, from: Option<&'static str>) {
        let what = format!("the block {cid} in our own blockstore");
        self.say(cid.to_string(), what, from);
    }

    fn say(&self, thing: String, what: String, from: Option<&'static str>) {
        self.state().untold.insert(thing, (what, from));
    }

    /// Tells of the blockstore of `holder`. What cannot be told now is told in another round.
    pub(super) async fn tell(&self, db: &Db, content: &Content, holder: Uuid) -> Result<()> {
        let store = holder.to_string();
        loop {
            let next = {
                let state = self.state();
                let next = state.untold.first_key_value();
                next.map(|(thing, (what, from))| (thing.clone(), what.clone(), *from))
            };
            let Some((thing, what, from)) = next else {
                break;
            };
            let store = store.clone();
            let damaged = Damaged { store, thing, what };
            match from {
                Some(from) => incident::tell_healed(db, &damaged, from).await?,
                None => incident::tell_lost(db, &damaged).await?,
            }
            self.state().untold.remove(&damaged.thing);
        }
        if !std::mem::take(&mut self.state().is_round) {
            return Ok(());
        }
        // A block that somebody else put again is whole: it was hashed when it came.
        let is_back = |thing: &str| {
            let cid = thing.parse::<Cid>();
            cid.is_ok_and(|cid| content.blocks().has(&cid))
        };
        incident::tell_back(db, &store, is_back).await
    }
}

/// Puts a block again that is not there: from the journal where it is an entry, else from Kubo or a gateway.
async fn heal(db: &Db, content: &Content, cid: &Cid) -> Result<Healed> {
    if content.blocks().has(cid) {
        return Ok(Healed::From(ANOTHER_COPY));
    }
    if let Ok(entry) = journal::read::get(db, &cid.to_string()).await {
        let block = (*cid, Bytes::from(entry.body));
        match content.blocks().put_many(&[block]).await {
            Ok(_) => return Ok(Healed::From("the journal")),
            // There it is damaged, too.
            Err(content::Error::Mismatch { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match content.given(cid).await {
        Ok((_, who)) => Ok(Healed::From(giver(who, ANOTHER_COPY))),
        Err(content::Error::Missing(_)) => Ok(Healed::Not),
        Err(error @ content::Error::Io { .. }) => Err(error.into()),
        Err(error) => {
            tracing::warn!(%cid, %error, "the block {cid} cannot be had now: {error}");
            Ok(Healed::Later)
        }
    }
}

/// The blocks of a publication that our own blockstore has not; none where this cannot be known now.
async fn missing(content: &Content, stored: &Publication) -> Result<Vec<Cid>> {
    let root = root(stored)?;
    let bytes = match content.block(&root).await {
        Ok(bytes) => bytes,
        Err(content::Error::Missing(_)) => return Ok(vec![root]),
        Err(error @ content::Error::Io { .. }) => return Err(error.into()),
        Err(error) => {
            tracing::warn!(%root, %error, "the manifest {root} cannot be had now: {error}");
            return Ok(Vec::new());
        }
    };
    let mut missing = links(&root, &bytes);
    missing.retain(|cid| !content.blocks().has(cid));
    Ok(missing)
}

/// Those of `wanted` that were published so, as far as our own blocks tell.
async fn lost_of(
    content: &Content,
    stored: &Publication,
    wanted: &BTreeSet<Cid>,
) -> Result<Vec<Cid>> {
    let root = root(stored)?;
    let mut lost = match content.blocks().get(&root).await {
        Ok(Some(bytes)) => links(&root, &bytes),
        Ok(None) => vec![root],
        Err(content::Error::Corrupt { .. }) => return Ok(vec![root]),
        Err(error) => return Err(error.into()),
    };
    lost.retain(|cid| wanted.contains(cid));
    Ok(lost)
}

fn root(stored: &Publication) -> Result<Cid> {
    let root = stored.reference.parse();
    root.map_err(|_| Error::Internal(format!("`{}` of a publication is no CID", stored.reference)))
}

/// What a manifest links to.
fn links(root: &Cid, bytes: &[u8]) -> Vec<Cid> {
    let manifest: Manifest = match from_dag_cbor(bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            tracing::error!(%root, %error, "{root} is no manifest: {error}");
            return Vec::new();
        }
    };
    let mut links = manifest.entries;
    links.push(manifest.checkpoint);
    links.extend(manifest.tiles.into_values());
    links
}

/// Makes everything again that was published with `stored`.
async fn make_again(
    db: &Db,
    content: &Content,
    before: Option<&Publication>,
    stored: &Publication,
) -> Result<()> {
    let Some(head) = log::checkpoint(db, stored.size).await? else {
        return Err(Error::Internal(format!(
            "there is no checkpoint of {} entries",
            stored.size
        )));
    };
    let from = before.map_or(0, |before| before.size);
    let prev = before.map(|before| before.reference.clone());
    mirror::put(db, content, from, &head, prev).await?;
    Ok(())
}
