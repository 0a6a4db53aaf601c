//! Finding a file of IPFS: our own blocks first, then each source in turn, each block verified.
//! Blocks that one source gave are kept for the next one, so that together they may be enough.

use std::collections::{HashMap, HashSet};

use futures::future::join_all;
use kernel::{Bytes, Cid};

use crate::{Blockstore, Error, File, Limits, Result, Step, block, source::Source, unixfs};

/// How many blocks of a file are asked for at once.
const AT_ONCE: usize = 4;

/// Bytes of blocks that are held at once where they are only looked at.
const PORTION: usize = 4 << 20;

/// Why a file was not found.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Verified blocks say that there is no such file, or none that we read: for ever.
    Verdict(Error),
    /// Nobody gave it this time.
    Nowhere {
        /// The first wrong answer, where somebody gave one.
        mismatch: Option<Error>,
        /// What each source said.
        said: Vec<String>,
    },
}

/// What looked for: a file below a root.
pub(crate) struct Lookup<'a> {
    pub(crate) root: &'a Cid,
    pub(crate) path: &'a [String],
    pub(crate) limits: Limits,
    pub(crate) store: &'a Blockstore,
    /// Verified blocks that are at hand.
    pub(crate) known: HashMap<Cid, Bytes>,
}

/// Where a walk takes its blocks from.
#[derive(Clone, Copy)]
enum From<'a> {
    Store(&'a Blockstore),
    Source(&'a Source),
}

impl Lookup<'_> {
    /// Reads the file from our own blocks; `None` where some are missing.
    pub(crate) async fn local(&mut self) -> Result<Option<File>, Failure> {
        match self.walk(From::Store(self.store)).await {
            Ok(file) => Ok(Some(file)),
            Err(Stop::Verdict(error)) => Err(Failure::Verdict(error)),
            Err(Stop::Source(error)) => {
                if !matches!(error, Error::Missing(_)) {
                    tracing::warn!(%error, "blockstore: {error}");
                }
                Ok(None)
            }
        }
    }

    /// Asks `sources` in turn.
    pub(crate) async fn ask(&mut self, sources: &[&Source]) -> Result<File, Failure> {
        let (mut mismatch, mut said) = (None, Vec::new());
        for source in sources {
            if source.is_shut() {
                said.push(Error::Shut(source.name().to_owned()).to_string());
                continue;
            }
            let asked = tokio::time::timeout(source.timeout, self.ask_one(source)).await;
            match asked.unwrap_or(Err(Stop::Source(net::Error::Timeout.into()))) {
                Ok(file) => {
                    source.praise();
                    return Ok(file);
                }
                Err(Stop::Verdict(error)) => return Err(Failure::Verdict(error)),
                Err(Stop::Source(error)) => {
                    said.push(format!("{}: {error}", source.name()));
                    if matches!(error, Error::Mismatch { .. }) {
                        source.strike();
                        mismatch.get_or_insert(error);
                    }
                }
            }
        }
        Err(Failure::Nowhere { mismatch, said })
    }

    async fn ask_one(&mut self, source: &Source) -> Result<File, Stop> {
        let prefetch = source.prefetch(self.root, self.path, &mut self.known, self.limits);
        prefetch.await.map_err(Stop::Source)?;
        self.walk(From::Source(source)).await
    }

    /// Reads, and gets what is missing, until nothing is.
    async fn walk(&mut self, from: From<'_>) -> Result<File, Stop> {
        loop {
            let step = unixfs::read(self.root, self.path, &self.known, self.limits);
            let missing = match step.map_err(Stop::Verdict)? {
                Step::File(file) => return Ok(file),
                Step::Missing(missing) => missing,
            };
            for cids in missing.chunks(AT_ONCE) {
                let found = join_all(cids.iter().map(|cid| from.block(cid))).await;
                for (cid, bytes) in cids.iter().zip(found) {
                    self.known.insert(*cid, bytes.map_err(Stop::Source)?);
                }
            }
        }
    }
}

enum Stop {
    Verdict(Error),
    Source(Error),
}

impl From<'_> {
    async fn block(self, cid: &Cid) -> Result<Bytes> {
        match self {
            Self::Source(source) => source.block(cid).await,
            Self::Store(store) => store.get(cid).await?.ok_or(Error::Missing(*cid)),
        }
    }
}

impl Failure {
    /// As an error.
    pub(crate) fn into_error(self, root: Cid) -> Error {
        match self {
            Self::Verdict(error) => error,
            Self::Nowhere { mismatch, .. } => mismatch.unwrap_or(Error::Missing(root)),
        }
    }
}

/// Walks everything that a root links to, a portion at a time, as far as the store has it.
pub(crate) struct Walk<'a> {
    store: &'a Blockstore,
    max_blocks: usize,
    seen: HashSet<Cid>,
    next: Vec<Cid>,
    /// What was missing or corrupt so far.
    pub(crate) missing: Vec<Cid>,
}

impl<'a> Walk<'a> {
    /// Begins at `root`; there may be `max_blocks`.
    pub(crate) fn new(store: &'a Blockstore, root: &Cid, max_blocks: usize) -> Self {
        Self {
            store,
            max_blocks,
            seen: HashSet::from([*root]),
            next: vec![*root],
            missing: Vec::new(),
        }
    }

    /// The next blocks, until they have so many bytes; none at the end. Errors with [`Error::TooLarge`] where the
    /// root has too many.
    pub(crate) async fn portion(&mut self, bytes: usize) -> Result<Vec<block::Block>> {
        let (mut blocks, mut size) = (Vec::new(), 0);
        while size < bytes
            && let Some(cid) = self.next.pop()
        {
            if self.seen.len() > self.max_blocks {
                return Err(Error::TooLarge {
                    limit: format!("{} blocks", self.max_blocks),
                });
            }
            match self.store.get(&cid).await {
                Ok(Some(bytes)) => {
                    let links = block::links(&cid, &bytes)?.into_iter();
                    self.next
                        .extend(links.filter(|link| self.seen.insert(*link)));
                    if block::inline(&cid).is_none() {
                        size += bytes.len();
                        blocks.push((cid, bytes));
                    }
                }
                Ok(None) | Err(Error::Corrupt { .. }) => self.missing.push(cid),
                Err(error) => return Err(error),
            }
        }
        Ok(blocks)
    }
}

/// What `store` has not, or not right, of everything that `root` links to. Errors with [`Error::TooLarge`] beyond
/// `max_blocks`.
pub(crate) async fn missing(store: &Blockstore, root: &Cid, max_blocks: usize) -> Result<Vec<Cid>> {
    let mut walk = Walk::new(store, root, max_blocks);
    while !walk.portion(PORTION).await?.is_empty() {}
    Ok(walk.missing)
}
