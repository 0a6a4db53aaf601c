//! Tiles and entry bundles, the files of a log (c2sp.org/tlog-tiles).
//!
//! A tile holds 256 hashes of every eighth level of the tree; a bundle the 256 entries under a tile of
//! level 0. Paths name them: `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`, where N is written in
//! groups of three digits, all but the last with an `x` (1234067 is `x001/x234/067`).

use std::{fmt, str::FromStr};

/// Hashes of a full tile, entries of a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// Which of the log's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TilePath {
    /// Hashes.
    Hashes {
        /// Tile level, 0 to 63: hashes over `256^level` leaves each.
        level: u8,
        /// Place in the level.
        index: u64,
        /// How many hashes: 1 to 255 in a partial tile, 256 in a full one.
        width: u16,
    },
    /// Entries.
    Entries {
        /// Place among the bundles.
        index: u64,
        /// How many entries: 1 to 255 in a partial bundle, 256 in a full one.
        width: u16,
    },
}

impl TilePath {
    /// How many hashes or entries the file holds.
    pub fn width(self) -> u16 {
        match self {
            Self::Hashes { width, .. } | Self::Entries { width, .. } => width,
        }
    }

    /// The file of the same place that holds 256.
    #[must_use]
    pub fn full(self) -> Self {
        let full = 256;
        match self {
            Self::Hashes { level, index, .. } => Self::Hashes {
                level,
                index,
                width: full,
            },
            Self::Entries { index, .. } => Self::Entries { index, width: full },
        }
    }
}

/// A path that names no tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no tile path: expected tile/<L>/<N>[.p/<W>] or tile/entries/<N>[.p/<W>]")]
pub struct TilePathError(String);

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match self {
            Self::Hashes {
                level,
                index,
                width,
            } => {
                write!(f, "tile/{level}")?;
                (*index, *width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries")?;
                (*index, *width)
            }
        };
        let digits = index.to_string();
        let padded = format!("{:0>1$}", digits, digits.len().div_ceil(3) * 3);
        for place in (0..padded.len()).step_by(3) {
            let x = if place + 3 < padded.len() { "x" } else { "" };
            write!(f, "/{x}{}", &padded[place..place + 3])?;
        }
        if u64::from(width) < TILE_WIDTH {
            write!(f, ".p/{width}")
        } else {
            Ok(())
        }
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(path: &str) -> Result<Self, TilePathError> {
        let parsed = parse(path).ok_or_else(|| TilePathError(path.to_owned()))?;
        // Leading zeros, superfluous groups and the like show in the one true form.
        if parsed.to_string() == path {
            Ok(parsed)
        } else {
            Err(TilePathError(path.to_owned()))
        }
    }
}

fn parse(path: &str) -> Option<TilePath> {
    let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    let (index, width) = match rest.split_once(".p/") {
        None => (rest, 256),
        Some((index, width)) => (index, width.parse().ok().filter(|w| (1..256).contains(w))?),
    };
    let mut number = 0_u64;
    let mut groups = index.split('/').peekable();
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() {
            group.strip_prefix('x')?
        } else {
            group
        };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        number = number
            .checked_mul(1000)?
            .checked_add(digits.parse().ok()?)?;
    }
    if level == "entries" {
        return Some(TilePath::Entries {
            index: number,
            width,
        });
    }
    let level = level.parse().ok().filter(|level| *level < 64)?;
    Some(TilePath::Hashes {
        level,
        index: number,
        width,
    })
}

/// Writes entries as a bundle: a big-endian 16-bit length and the bytes, one after the other.
/// `None` where an entry is too long.
pub fn encode_bundle<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut bundle = Vec::new();
    for entry in entries {
        bundle.extend_from_slice(&u16::try_from(entry.len()).ok()?.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Some(bundle)
}

/// Reads a bundle; `None` where the lengths do not end with the bytes.
pub fn decode_bundle(mut bundle: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bundle.is_empty() {
        let (length, rest) = bundle.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bundle = rest;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_of_the_specification() {
        for (path, want) in [
            (
                "tile/0/x001/x234/067",
                TilePath::Hashes {
                    level: 0,
                    index: 1_234_067,
                    width: 256,
                },
            ),
            (
                "tile/1/x001/000.p/17",
                TilePath::Hashes {
                    level: 1,
                    index: 1_000,
                    width: 17,
                },
            ),
            (
                "tile/8/000",
                TilePath::Hashes {
                    level: 8,
                    index: 0,
                    width: 256,
                },
            ),
            (
                "tile/63/000",
                TilePath::Hashes {
                    level: 63,
                    index: 0,
                    width: 256,
                },
            ),
            (
                "tile/entries/000.p/15",
                TilePath::Entries {
                    index: 0,
                    width: 15,
                },
            ),
        ] {
            assert_eq!(path.parse(), Ok(want));
            assert_eq!(want.to_string(), path);
        }
    }

    #[test]
    fn other_spellings_name_nothing() {
        for wrong in [
            "",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/00",
            "tile/0/0000",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/+1/000",
            "tile/0/x000/000",
            "tile/0/001/000",
            "tile/0/x001",
            "tile/0/X001/000",
            "tile/0/x001/000/",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/000.p/+1",
            "tile/0/000.p/",
            "tile/0/000.p",
            "tile/0/000.p/1/",
            "/tile/0/000",
            "tile/8/0/000",
            "tile/data/000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/００１",
            "tile/entries/000.p/1 ",
        ] {
            assert!(wrong.parse::<TilePath>().is_err(), "{wrong}");
        }
    }

    /// Tessera's golden log, its first three entries.
    #[test]
    fn a_bundle_of_another_implementation() {
        let bundle = hex::decode("00036f6e65000374776f00057468726565").expect("hex");
        let entries: [&[u8]; 3] = [b"one", b"two", b"three"];
        assert_eq!(encode_bundle(entries).expect("short"), bundle);
        assert_eq!(decode_bundle(&bundle).expect("whole"), entries);
        for cut in [1, 4, 6, 16] {
            assert_eq!(decode_bundle(&bundle[..cut]), None, "cut at {cut}");
        }
        assert_eq!(encode_bundle([&vec![0_u8; 65_536][..]]), None);
    }

    proptest! {
        /// `tlog_tiles` 0.2 writes Go's paths, with the tile's height before the level.
        #[test]
        fn paths_are_those_of_tlog_tiles(level in 0_u8..8, index: u64, width in 1_u16..=256, data: bool) {
            let index = index >> (8 + index % 48);
            let theirs = tlog_tiles::Tile::new(8, level, index, u32::from(width), data).path();
            let mine = if data {
                TilePath::Entries { index, width }
            } else {
                TilePath::Hashes { level, index, width }
            };
            let theirs = theirs.replacen("tile/8/", "tile/", 1).replacen("/data/", "/entries/", 1);
            prop_assert_eq!(mine.to_string(), theirs.clone());
            prop_assert_eq!(theirs.parse::<TilePath>(), Ok(mine));
        }
    }
}
