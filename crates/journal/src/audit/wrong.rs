//! The first thing that is wrong with a log.

use std::ops::Range;

use super::chain::Break;
use crate::{entry::EntryError, tile::TilePath, tree::Hash};

/// Which file, which bytes of it, and what they should have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// There are no such leaves.
    #[error("leaves {} to {} are not in a log of {size} entries, whose first is 0", range.start, range.end.saturating_sub(1))]
    Range {
        /// Entries of the log.
        size: u64,
        /// What was asked for.
        range: Range<u64>,
    },
    /// A file that the checkpoint implies is not there.
    #[error("{path} is missing")]
    Missing {
        /// The file.
        path: TilePath,
    },
    /// A tile has not the length that its name says.
    #[error("{path} has {got} bytes, not {want}")]
    Length {
        /// The tile.
        path: TilePath,
        /// Bytes that it should have.
        want: usize,
        /// Bytes that it has.
        got: usize,
    },
    /// The partial tiles do not lead to the root.
    #[error(
        "the partial tiles of a log of {size} entries lead to the root {}, but {} is signed",
        hex::encode(got),
        hex::encode(want)
    )]
    Root {
        /// Entries of the log.
        size: u64,
        /// The signed root.
        want: Hash,
        /// The root of the tiles.
        got: Hash,
    },
    /// A full tile is not what the tile above says.
    #[error(
        "{path} hashes to {}, but the tile above says {}",
        hex::encode(got),
        hex::encode(want)
    )]
    Tile {
        /// The tile.
        path: TilePath,
        /// The hash above.
        want: Hash,
        /// Its hash.
        got: Hash,
    },
    /// A hash of a tile is not that of what lies below, which is right.
    #[error(
        "{path}, byte {offset}: the hash is {}, but what lies below hashes to {}",
        hex::encode(got),
        hex::encode(want)
    )]
    Hash {
        /// The tile.
        path: TilePath,
        /// Where the hash stands.
        offset: usize,
        /// The hash of what lies below.
        want: Hash,
        /// The hash in the tile.
        got: Hash,
    },
    /// A bundle ends before its last entry does.
    #[error("{path}, byte {offset}: the entry of leaf {leaf} is cut off")]
    Cut {
        /// The bundle.
        path: TilePath,
        /// The entry's leaf.
        leaf: u64,
        /// Where the entry begins.
        offset: usize,
    },
    /// A bundle goes on behind its last entry.
    #[error("{path}, byte {offset}: the file goes on behind its last entry")]
    Long {
        /// The bundle.
        path: TilePath,
        /// Where it should end.
        offset: usize,
    },
    /// An entry is not what its leaf says.
    #[error(
        "{path}, byte {offset}: the entry of leaf {leaf} hashes to {}, but the tree holds {}",
        hex::encode(got),
        hex::encode(want)
    )]
    Leaf {
        /// The bundle.
        path: TilePath,
        /// The leaf.
        leaf: u64,
        /// Where the entry begins.
        offset: usize,
        /// The leaf's hash in the tree.
        want: Hash,
        /// The entry's.
        got: Hash,
    },
    /// What was signed is no entry of a journal.
    #[error("{path}, byte {offset}: leaf {leaf}: {error}")]
    Entry {
        /// The bundle.
        path: TilePath,
        /// The leaf.
        leaf: u64,
        /// Where the entry begins.
        offset: usize,
        /// What is wrong.
        error: EntryError,
    },
    /// An entry does not go on from its agent's last one.
    #[error("{path}, byte {offset}: leaf {leaf}: {why}")]
    Chain {
        /// The bundle.
        path: TilePath,
        /// The leaf.
        leaf: u64,
        /// Where the entry begins.
        offset: usize,
        /// How the chain breaks.
        why: Break,
    },
    /// What an entry holds of its authors is not what they signed.
    #[error("{path}, byte {offset}: leaf {leaf}: {why}")]
    Author {
        /// The bundle.
        path: TilePath,
        /// The leaf.
        leaf: u64,
        /// Where the entry begins.
        offset: usize,
        /// What is wrong.
        why: String,
    },
}

impl Wrong {
    /// The file that is wrong, where it is one.
    pub fn path(&self) -> Option<TilePath> {
        match self {
            Self::Range { .. } | Self::Root { .. } => None,
            Self::Missing { path }
            | Self::Length { path, .. }
            | Self::Tile { path, .. }
            | Self::Hash { path, .. }
            | Self::Cut { path, .. }
            | Self::Long { path, .. }
            | Self::Leaf { path, .. }
            | Self::Entry { path, .. }
            | Self::Chain { path, .. }
            | Self::Author { path, .. } => Some(*path),
        }
    }

    /// Where in the file, in bytes from its begin.
    pub fn offset(&self) -> Option<usize> {
        match self {
            Self::Hash { offset, .. }
            | Self::Cut { offset, .. }
            | Self::Long { offset, .. }
            | Self::Leaf { offset, .. }
            | Self::Entry { offset, .. }
            | Self::Chain { offset, .. }
            | Self::Author { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    /// The leaf whose entry is wrong.
    pub fn leaf(&self) -> Option<u64> {
        match self {
            Self::Cut { leaf, .. }
            | Self::Leaf { leaf, .. }
            | Self::Entry { leaf, .. }
            | Self::Chain { leaf, .. }
            | Self::Author { leaf, .. } => Some(*leaf),
            _ => None,
        }
    }
}
