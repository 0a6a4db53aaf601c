//! Verifying a log, or a range of it, as a stranger does: from the signed root down to the bytes of entries.
//!
//! Who reads the files (a directory, a URL, a CAR) asks [`Plan`] for the next one and gives its bytes to
//! [`Audit::take`]; nothing is read here, so everything is tried without a disk or a network. Each file
//! is held against a hash that was verified before it, so the first file that is refused is the first one
//! that is wrong; [`locate`] then says which of its bytes are. What is kept is one tile for each level,
//! whatever the log's size, and 32 bytes for each agent.

mod chain;
mod locate;
mod plan;
mod wrong;

use std::ops::Range;

use self::chain::Chains;
pub use self::{
    locate::{Files, locate, suspects},
    plan::Plan,
    wrong::Wrong,
};
use crate::{
    checkpoint::Checkpoint,
    edge::{Edge, perfect_root, size_at},
    entry::Entry,
    note::{Note, NoteError},
    tile::{TILE_WIDTH, TilePath},
    tree::{Hash, empty_root, leaf_hash},
    vkey::VerifierKey,
};

/// Most bytes of a file of a log: 256 entries with their lengths.
pub const MAX_FILE: usize = 256 * (2 + u16::MAX as usize);

/// A checkpoint that is not what the key's log signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// No note, or not signed by the key.
    #[error("checkpoint: {0}")]
    Note(#[from] NoteError),
    /// Signed, and no checkpoint.
    #[error("checkpoint: {0}")]
    Form(#[from] crate::checkpoint::CheckpointError),
    /// Of another log.
    #[error("checkpoint: it is that of the log {origin}, and the key is that of {name}")]
    Origin {
        /// The log that it names.
        origin: String,
        /// The key's log.
        name: String,
    },
}

/// Reads a checkpoint that `key` signed for its own log.
pub fn head(note: &str, key: &VerifierKey) -> Result<Checkpoint, HeadError> {
    let note = Note::parse(note)?;
    note.verify(std::slice::from_ref(key))?;
    let head = Checkpoint::parse(note.text())?;
    if head.origin == key.name() {
        Ok(head)
    } else {
        let (origin, name) = (head.origin, key.name().to_owned());
        Err(HeadError::Origin { origin, name })
    }
}

/// What entries of a log are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// Entries of a journal if the first one that is read is one; else bytes.
    #[default]
    AsTheyAre,
    /// Bytes, as in other people's logs.
    Opaque,
}

/// Signatures of authors in entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signatures {
    /// By keys, which were verified.
    pub verified: u64,
    /// By contracts: their chains alone can tell.
    pub told: u64,
}

/// Verifies what an entry holds of its authors, in the log of this name. Errors say what is wrong.
pub type Look = fn(&Entry, &str) -> Result<Signatures, String>;

/// What was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum {
    /// Entries whose bytes are their leaves'.
    pub entries: u64,
    /// Tiles that lead to the root.
    pub tiles: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Chains of entries that were followed, one for each agent and one for those that speak of none; `None`
    /// where entries were taken as bytes.
    pub chains: Option<u64>,
    /// Signatures of authors, as far as somebody looked at them ([`Audit::with`]).
    pub signatures: Signatures,
}

/// One log being verified.
#[derive(Debug)]
pub struct Audit {
    head: Checkpoint,
    range: Range<u64>,
    /// The partial tile of each level, empty where there is none.
    edge: Vec<Vec<Hash>>,
    /// The full tile of each level that is above the bundle that comes next.
    path: Vec<Vec<Hash>>,
    reading: Reading,
    chains: Option<Chains>,
    look: Option<Look>,
    sum: Sum,
}

impl Audit {
    /// Of the leaves `range` under a checkpoint whose signature the caller has checked ([`head`]).
    ///
    /// Errors with [`Wrong::Range`] where the log has no such leaves, with [`Wrong::Root`] where an empty log has
    /// not the empty root.
    pub fn new(head: Checkpoint, range: Range<u64>, reading: Reading) -> Result<Self, Wrong> {
        let size = head.size;
        if range.start > range.end || range.end > size {
            return Err(Wrong::Range { size, range });
        }
        if size == 0 && head.root != empty_root() {
            let (want, got) = (head.root, empty_root());
            return Err(Wrong::Root { size, want, got });
        }
        let depth = Edge::depth(size);
        Ok(Self {
            head,
            range,
            edge: vec![Vec::new(); depth],
            path: vec![Vec::new(); depth],
            reading,
            chains: None,
            look: None,
            sum: Sum::default(),
        })
    }

    /// The same, for somebody who knows what authors sign: he looks at every entry of a journal.
    #[must_use]
    pub fn with(self, look: Look) -> Self {
        Self {
            look: Some(look),
            ..self
        }
    }

    /// The files to give to [`Audit::take`], in their order.
    pub fn plan(&self) -> Plan {
        Plan::new(self.head.size, self.range.clone())
    }

    /// What was verified so far.
    pub fn sum(&self) -> Sum {
        Sum {
            chains: self.chains.as_ref().map(Chains::count),
            ..self.sum
        }
    }

    /// Holds the next file of the plan against what was verified before.
    pub fn take(&mut self, path: TilePath, bytes: &[u8]) -> Result<(), Wrong> {
        self.sum.bytes += bytes.len() as u64;
        match path {
            TilePath::Hashes { level, index, .. } => {
                let hashes = hashes(path, bytes)?;
                self.sum.tiles += 1;
                let place = usize::from(level);
                if hashes.len() as u64 == TILE_WIDTH {
                    let (want, got) = (self.hash_at(level + 1, index), perfect_root(&hashes));
                    if want != Some(got) {
                        let want = want.unwrap_or_default();
                        return Err(Wrong::Tile { path, want, got });
                    }
                    self.path[place] = hashes;
                    return Ok(());
                }
                self.edge[place] = hashes;
                self.check_root()
            }
            TilePath::Entries { index, .. } => self.bundle(path, index, bytes),
        }
    }

    /// Once every partial tile is there, they must lead to the root.
    fn check_root(&self) -> Result<(), Wrong> {
        let Some(edge) = Edge::new(self.head.size, self.edge.clone()) else {
            return Ok(());
        };
        let (size, want, got) = (self.head.size, self.head.root, edge.root());
        if want == got {
            Ok(())
        } else {
            Err(Wrong::Root { size, want, got })
        }
    }

    /// Hash `index` of a level: of its partial tile, or of the full one that was taken last.
    fn hash_at(&self, level: u8, index: u64) -> Option<Hash> {
        let partial = index / TILE_WIDTH == size_at(self.head.size, level) / TILE_WIDTH;
        let tiles = if partial { &self.edge } else { &self.path };
        let within = usize::try_from(index % TILE_WIDTH).ok()?;
        tiles.get(usize::from(level))?.get(within).copied()
    }

    /// The root that the log had with its first `size` leaves; asked when the last bundle taken is that of the leaf
    /// `size - 1`. `None` where nothing was taken.
    pub fn root_of(&self, size: u64) -> Option<Hash> {
        let mut levels = Vec::new();
        for level in (0_u8..).take(Edge::depth(size)) {
            let end = size_at(size, level);
            let first = end / TILE_WIDTH * TILE_WIDTH;
            let hashes = (first..end).map(|index| self.hash_at(level, index));
            levels.push(hashes.collect::<Option<Vec<Hash>>>()?);
        }
        Some(Edge::new(size, levels)?.root())
    }

    fn bundle(&mut self, path: TilePath, index: u64, bytes: &[u8]) -> Result<(), Wrong> {
        let first = index * TILE_WIDTH;
        let mut rest = bytes;
        for leaf in first..first + u64::from(path.width()) {
            let offset = bytes.len() - rest.len();
            let entry = next_entry(&mut rest).ok_or(Wrong::Cut { path, leaf, offset })?;
            let (want, got) = (self.hash_at(0, leaf), leaf_hash(entry));
            if want != Some(got) {
                let want = want.unwrap_or_default();
                return Err(Wrong::Leaf {
                    path,
                    leaf,
                    offset,
                    want,
                    got,
                });
            }
            if self.range.contains(&leaf) {
                self.sum.entries += 1;
                self.entry(path, leaf, offset, entry)?;
            }
        }
        let offset = bytes.len() - rest.len();
        if rest.is_empty() {
            Ok(())
        } else {
            Err(Wrong::Long { path, offset })
        }
    }

    /// The entry must be canonical and go on from its agent's last one, unless the log is no journal.
    fn entry(
        &mut self,
        path: TilePath,
        leaf: u64,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), Wrong> {
        if self.reading == Reading::Opaque {
            return Ok(());
        }
        match (Entry::parse(bytes), &mut self.chains) {
            (Ok(entry), chains) => {
                chains
                    .get_or_insert_with(|| Chains::new(self.range.start == 0))
                    .add(&entry, bytes)
                    .map_err(|why| Wrong::Chain {
                        path,
                        leaf,
                        offset,
                        why,
                    })?;
                let Some(look) = self.look else {
                    return Ok(());
                };
                let found = look(&entry, &self.head.origin);
                let Signatures { verified, told } = found.map_err(|why| Wrong::Author {
                    path,
                    leaf,
                    offset,
                    why,
                })?;
                self.sum.signatures.verified += verified;
                self.sum.signatures.told += told;
                Ok(())
            }
            (Err(_), None) => {
                self.reading = Reading::Opaque;
                Ok(())
            }
            (Err(error), Some(_)) => Err(Wrong::Entry {
                path,
                leaf,
                offset,
                error,
            }),
        }
    }
}

/// The hashes of a tile with the width that its path says.
fn hashes(path: TilePath, bytes: &[u8]) -> Result<Vec<Hash>, Wrong> {
    let want = usize::from(path.width()) * 32;
    if bytes.len() != want {
        let got = bytes.len();
        return Err(Wrong::Length { path, want, got });
    }
    Ok(bytes.as_chunks::<32>().0.to_vec())
}

/// Takes an entry off a bundle.
fn next_entry<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<2>()?;
    let (entry, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    *rest = after;
    Some(entry)
}

/// What a narrower file than this one holds: partial files may be deleted once there are full ones.
/// `None` where `bytes` are no such file.
pub fn narrow(path: TilePath, bytes: &[u8]) -> Option<&[u8]> {
    match path {
        TilePath::Hashes { width, .. } => bytes.get(..usize::from(width) * 32),
        TilePath::Entries { width, .. } => {
            let mut rest = bytes;
            for _ in 0..width {
                next_entry(&mut rest)?;
            }
            bytes.get(..bytes.len() - rest.len())
        }
    }
}

#[cfg(test)]
mod tests;
