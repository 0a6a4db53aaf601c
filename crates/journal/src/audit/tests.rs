use std::collections::BTreeMap;

use chrono::DateTime;
use kernel::AgentId;
use proptest::prelude::*;

use super::*;
use crate::{Change, EntryKind, tile::encode_bundle, tree::root};

/// A log as files.
#[derive(Clone)]
struct Log {
    head: Checkpoint,
    files: BTreeMap<String, Vec<u8>>,
}

fn log(entries: &[Vec<u8>]) -> Log {
    let (mut edge, mut full) = (Edge::default(), Vec::new());
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    for leaf in &leaves {
        edge.push(*leaf, &mut full);
    }
    let size = entries.len() as u64;
    let mut files = BTreeMap::new();
    for tile in &full {
        let (level, index) = (tile.level, tile.index);
        let path = TilePath::Hashes {
            level,
            index,
            width: 256,
        };
        files.insert(path.to_string(), tile.hashes.clone());
    }
    for level in 0..8 {
        if let Some(path) = Plan::partial(size, level) {
            let below: Vec<Hash> = match level.checked_sub(1) {
                None => leaves[leaves.len() / 256 * 256..].to_vec(),
                Some(below) => full
                    .iter()
                    .filter(|tile| tile.level == below)
                    .map(|tile| tile.root)
                    .collect(),
            };
            let width = usize::from(path.width());
            files.insert(path.to_string(), below[below.len() - width..].concat());
        }
    }
    for (index, bundle) in (0..).zip(entries.chunks(256)) {
        let width = u16::try_from(bundle.len()).unwrap();
        let path = TilePath::Entries { index, width };
        let bytes = encode_bundle(bundle.iter().map(Vec::as_slice)).unwrap();
        files.insert(path.to_string(), bytes);
    }
    let head = Checkpoint {
        origin: "example.com/log".to_owned(),
        size,
        root: root(&leaves),
        extensions: Vec::new(),
    };
    Log { head, files }
}

fn words(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|n| format!("entry {n}").into()).collect()
}

impl Log {
    fn verify(&self, range: Range<u64>) -> Result<Sum, Wrong> {
        let mut audit = Audit::new(self.head.clone(), range, Reading::AsTheyAre)?;
        for path in audit.plan() {
            let file = self.files.get(&path.to_string());
            let taken = match file {
                Some(bytes) => audit.take(path, bytes),
                None => Err(Wrong::Missing { path }),
            };
            if let Err(wrong) = taken {
                let read =
                    |path: TilePath| Some((path, self.files.get(&path.to_string())?.clone()));
                let files = suspects(&self.head, &wrong).into_iter().filter_map(read);
                return Err(locate(&self.head, wrong, &files.collect()));
            }
        }
        Ok(audit.sum())
    }

    fn whole(&self) -> Result<Sum, Wrong> {
        self.verify(0..self.head.size)
    }

    fn with(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut log = self.clone();
        change(log.files.get_mut(path).unwrap());
        log
    }
}

#[test]
fn every_file_of_a_log_is_read_once_and_the_log_verifies() {
    for size in [
        0, 1, 2, 255, 256, 257, 511, 512, 700, 65_535, 65_536, 66_100,
    ] {
        let log = log(&words(size));
        let sum = log
            .whole()
            .unwrap_or_else(|wrong| panic!("{size}: {wrong}"));
        let bundles = size.div_ceil(256);
        assert_eq!((sum.entries, sum.chains), (size, None));
        assert_eq!(sum.tiles + bundles, log.files.len() as u64, "size {size}");
        let plan = Plan::new(size, 0..size);
        assert_eq!(plan.bundles(), bundles);
        assert_eq!(plan.count(), log.files.len());
    }
}

#[test]
fn a_range_is_verified_by_the_tiles_above_it() {
    let log = log(&words(66_100));
    for (range, files) in [
        // Partial tiles of levels 0, 1 and 2, then the full ones above it and the bundle.
        (0..1, 3 + 2 + 1),
        (255..257, 3 + 3 + 2),
        (65_535..65_536, 3 + 2 + 1),
        (65_536..65_537, 3 + 1 + 1),
        (66_099..66_100, 3 + 1),
        (300..300, 3),
    ] {
        let sum = log.verify(range.clone()).unwrap();
        assert_eq!(sum.entries, range.end - range.start);
        assert_eq!(Plan::new(66_100, range.clone()).count(), files, "{range:?}");
    }
    assert!(matches!(
        log.verify(66_100..66_101),
        Err(Wrong::Range { .. })
    ));
    let error = log.verify(7..66_101).unwrap_err();
    assert_eq!(
        error.to_string(),
        "leaves 7 to 66100 are not in a log of 66100 entries, whose first is 0"
    );
}

/// Who anchored an earlier head may look for it in the log of today.
#[test]
fn roots_of_earlier_sizes_are_told_by_the_last_leaf_of_each() {
    let entries = words(66_100);
    let log = log(&entries);
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    for size in [
        1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 66_047, 66_048, 66_099, 66_100,
    ] {
        let range = size - 1..size;
        let mut audit = Audit::new(log.head.clone(), range, Reading::Opaque).unwrap();
        assert_eq!(audit.root_of(size), None);
        for path in audit.plan() {
            audit.take(path, &log.files[&path.to_string()]).unwrap();
        }
        let until = usize::try_from(size).unwrap();
        assert_eq!(
            audit.root_of(size),
            Some(root(&leaves[..until])),
            "size {size}"
        );
    }
}

/// Any one byte of any file: the file is named, and where in it.
#[test]
fn a_flipped_bit_anywhere_is_named() {
    let log = log(&words(66_100));
    for (path, bytes) in &log.files {
        let tile: TilePath = path.parse().unwrap();
        let index = match tile {
            TilePath::Hashes { index, .. } | TilePath::Entries { index, .. } => index,
        };
        // Not each of some hundred equal files.
        if index % 50 != 0 && u64::from(tile.width()) == TILE_WIDTH {
            continue;
        }
        for at in [0, 1, 40, bytes.len() / 2, bytes.len() - 1] {
            let at = at.min(bytes.len() - 1);
            let wrong = log.with(path, |bytes| bytes[at] ^= 4).whole().unwrap_err();
            assert_eq!(wrong.path(), Some(tile), "byte {at} of {path}: {wrong}");
            let offset = wrong.offset().unwrap();
            match tile {
                TilePath::Hashes { .. } => {
                    assert!(matches!(wrong, Wrong::Hash { .. }), "{wrong}");
                    assert_eq!(offset, at / 32 * 32, "{path}");
                }
                // A length that is too small shifts what follows; one that is too large cuts the last.
                TilePath::Entries { .. } => assert!(offset <= at, "{path}: {offset}, {at}"),
            }
        }
    }
}

#[test]
fn files_that_are_cut_lengthened_or_gone_are_named() {
    let log = log(&words(700));
    for path in log.files.keys() {
        let tile: TilePath = path.parse().unwrap();
        for cut in 1..40 {
            let short = log.with(path, |bytes| bytes.truncate(bytes.len() - cut));
            assert_eq!(short.whole().unwrap_err().path(), Some(tile));
        }
        for more in [&b"\0"[..], b"\0\0", &[0; 32], &[255; 9_000]] {
            let grown = log.with(path, |bytes| bytes.extend_from_slice(more));
            let wrong = grown.whole().unwrap_err();
            assert_eq!(wrong.path(), Some(tile), "{wrong}");
        }
        let mut gone = log.clone();
        gone.files.remove(path);
        assert_eq!(gone.whole(), Err(Wrong::Missing { path: tile }));
    }
    let grown = log.with("tile/entries/002.p/188", |bytes| bytes.push(7));
    let wrong = grown.whole().unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "tile/entries/002.p/188, byte 2068: the file goes on behind its last entry"
    );
}

/// Where a tile and what lies below were changed together, the tile is named with the hash above it.
#[test]
fn who_changes_an_entry_and_its_tile_is_named_too() {
    let mut entries = words(700);
    entries[300] = b"another".to_vec();
    let (honest, forged) = (log(&words(700)), log(&entries));
    let mut log = honest.clone();
    for path in ["tile/entries/001", "tile/0/001"] {
        log.files
            .insert(path.to_owned(), forged.files[path].clone());
    }
    let wrong = log.whole().unwrap_err();
    assert!(matches!(wrong, Wrong::Tile { .. }), "{wrong}");
    assert_eq!(wrong.path(), "tile/0/001".parse().ok());
    // All of it, but not the signature.
    let log = Log {
        head: honest.head,
        ..forged
    };
    let wrong = log.whole().unwrap_err();
    assert!(wrong.to_string().contains("is signed"), "{wrong}");
}

fn journal(prevs: impl Fn(usize, Option<String>) -> Option<String>) -> Vec<Vec<u8>> {
    let mut last: BTreeMap<Option<AgentId>, String> = BTreeMap::new();
    let mut entries = Vec::new();
    for n in 0..600 {
        let agent = (n % 7 != 0).then(|| AgentId::of_did(&format!("did:test:{}", n % 5)));
        let kind = if agent.is_some() {
            EntryKind::Agent
        } else {
            EntryKind::Act
        };
        let change = Change {
            column: "name".to_owned(),
            value: n.into(),
            cause: "act:1".to_owned(),
            time: DateTime::UNIX_EPOCH,
        };
        let entry = Entry {
            kind,
            agent,
            time: DateTime::UNIX_EPOCH,
            changes: vec![change],
            said: Vec::new(),
            prev: prevs(n, last.get(&agent).cloned()),
        };
        let bytes = entry.encode().unwrap();
        last.insert(agent, Entry::cid_of(&bytes).to_string());
        entries.push(bytes);
    }
    entries
}

#[test]
fn entries_of_a_journal_are_chained() {
    let whole = log(&journal(|_, prev| prev));
    assert_eq!(whole.whole().unwrap().chains, Some(6));
    // The chains' first entries lie before the range.
    assert_eq!(whole.verify(100..600).unwrap().chains, Some(6));

    let wrong = log(&journal(|n, prev| prev.filter(|_| n != 301)));
    let wrong = wrong.whole().unwrap_err();
    assert_eq!(wrong.leaf(), Some(301), "{wrong}");
    assert!(wrong.to_string().contains("names none before it"));

    let stranger = Entry::cid_of(b"x").to_string();
    for at in [0, 3, 302] {
        let wrong = log(&journal(|n, prev| {
            if n == at {
                Some(stranger.clone())
            } else {
                prev
            }
        }));
        let wrong = wrong.whole().unwrap_err();
        assert_eq!(wrong.leaf(), Some(at as u64), "{wrong}");
        assert!(wrong.to_string().contains(&stranger));
    }
}

#[test]
fn bytes_among_entries_of_a_journal_are_named_and_in_other_logs_they_are_all() {
    let mut entries = journal(|_, prev| prev);
    entries.push(b"\xa0".to_vec());
    let log = log(&entries);
    let wrong = log.whole().unwrap_err();
    assert_eq!(wrong.leaf(), Some(600));
    assert!(matches!(wrong, Wrong::Entry { .. }), "{wrong}");
    let mut audit = Audit::new(log.head.clone(), 0..601, Reading::Opaque).unwrap();
    for path in audit.plan() {
        audit.take(path, &log.files[&path.to_string()]).unwrap();
    }
    assert_eq!(audit.sum().chains, None);
}

#[test]
fn whoever_knows_what_authors_sign_looks_at_every_entry() {
    let look: Look = |entry, origin| {
        assert_eq!(origin, "example.com/log");
        match entry.changes[0].value.as_u64() {
            Some(301) => Err("301 was not signed".to_owned()),
            Some(n) => Ok(Signatures {
                verified: n,
                told: 1,
            }),
            None => Ok(Signatures::default()),
        }
    };
    let log = log(&journal(|_, prev| prev));
    let read = |range: Range<u64>| {
        let mut audit = Audit::new(log.head.clone(), range, Reading::AsTheyAre)?.with(look);
        let mut plan = audit.plan();
        plan.try_for_each(|path| audit.take(path, &log.files[&path.to_string()]))?;
        Ok::<Sum, Wrong>(audit.sum())
    };
    let signatures = read(2..6).unwrap().signatures;
    assert_eq!((signatures.verified, signatures.told), (2 + 3 + 4 + 5, 4));
    assert_eq!(log.whole().unwrap().signatures, Signatures::default());
    let wrong = read(0..600).unwrap_err();
    assert_eq!(wrong.leaf(), Some(301), "{wrong}");
    assert!(matches!(&wrong, Wrong::Author { why, .. } if why.contains("was not signed")));
    assert!(wrong.path().is_some() && wrong.offset().is_some());
}

/// `tests/vectors/journal/README.md` says whose log it is.
#[test]
fn tesseras_golden_log_verifies() {
    let dir = std::path::Path::new("../../tests/vectors/journal/tessera");
    let key = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
    let note = std::fs::read_to_string(dir.join("checkpoint")).unwrap();
    let head = head(&note, &key.parse().unwrap()).unwrap();
    let mut audit = Audit::new(head, 0..15, Reading::AsTheyAre).unwrap();
    for path in audit.plan() {
        let file = std::fs::read(dir.join(path.to_string())).unwrap();
        audit.take(path, &file).unwrap();
    }
    let sum = audit.sum();
    assert_eq!((sum.entries, sum.tiles, sum.chains), (15, 1, None));
}

#[test]
fn a_head_must_be_signed_for_its_own_log() {
    let note = include_str!("../../../../tests/vectors/journal/tessera-15.note");
    let key = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";
    let key: VerifierKey = key.parse().unwrap();
    assert_eq!(head(note, &key).unwrap().size, 15);
    for wrong in [&note[1..], &note.replace("15", "16"), ""] {
        assert!(head(wrong, &key).is_err(), "{wrong}");
    }
    let key = crate::LogKey::from_seed(&[7; 32]);
    let vkey = key.verifier("example.com/a").unwrap();
    let text = "example.com/b\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    let note = key.sign(&vkey, text.to_owned()).unwrap().to_string();
    assert!(matches!(head(&note, &vkey), Err(HeadError::Origin { .. })));
}

#[test]
fn wider_files_serve_for_narrower_ones() {
    let log = log(&words(256));
    let narrow = |path: &str| narrow(path.parse().unwrap(), &log.files[&path[..path.len() - 4]]);
    assert_eq!(narrow("tile/0/000.p/9").unwrap().len(), 9 * 32);
    let bundle = encode_bundle(words(9).iter().map(Vec::as_slice)).unwrap();
    assert_eq!(narrow("tile/entries/000.p/9"), Some(&bundle[..]));
    assert_eq!(super::narrow("tile/0/000.p/9".parse().unwrap(), b"x"), None);
    let path = "tile/entries/000.p/9".parse().unwrap();
    assert_eq!(super::narrow(path, &bundle[..30]), None);
}

proptest! {
    /// Whatever a signed checkpoint claims and files hold.
    #[test]
    fn hostile_sizes_and_bytes_end_in_an_error(
        size in prop_oneof![any::<u64>(), u64::MAX - 3..=u64::MAX, 0_u64..1_000],
        at: u64, bytes: Vec<u8>, zeros in 0_usize..256,
    ) {
        let head = Checkpoint { origin: "x".to_owned(), size, root: [1; 32], extensions: vec![] };
        let start = at % size.max(1);
        let end = start.saturating_add(3).min(size);
        let Ok(mut audit) = Audit::new(head.clone(), start..end, Reading::AsTheyAre) else {
            return Ok(());
        };
        let plan: Vec<_> = audit.plan().take(40).collect();
        prop_assert!(plan.len() < 40);
        for path in plan {
            prop_assert_eq!(path.to_string().parse(), Ok(path));
            let file = match path {
                TilePath::Hashes { width, .. } if zeros > 0 => vec![0; usize::from(width) * 32],
                _ => bytes.clone(),
            };
            if let Err(wrong) = audit.take(path, &file) {
                let read = |path: TilePath| (path, vec![0; usize::from(path.width()) * 32]);
                let files = suspects(&head, &wrong).into_iter().take(9).map(read);
                locate(&head, wrong, &files.collect());
                return Ok(());
            }
        }
        prop_assert!(false, "nobody found a root for it");
    }
}
