//! Crashes, rotten disks and crowds.

use std::{fs, os::unix::fs::FileExt, path::Path};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn block(text: &str) -> Block {
    (
        kernel::cid_of_raw(text.as_bytes()),
        Bytes::copy_from_slice(text.as_bytes()),
    )
}

fn blocks(count: usize) -> Vec<Block> {
    (0..count)
        .map(|number| block(&format!("block {number}")))
        .collect()
}

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn open(dir: &TempDir) -> (Blockstore, OpenReport) {
    Blockstore::open(dir.path()).expect("opens")
}

fn pack(dir: &TempDir) -> PathBuf {
    dir.path().join("blocks-000001.pack")
}

#[tokio::test]
async fn blocks_survive_reopening_and_are_stored_once() {
    let dir = dir();
    let blocks = blocks(100);
    let (store, report) = open(&dir);
    assert_eq!(report, OpenReport::default());
    assert_eq!(store.put_many(&blocks).await.expect("stored"), 100);
    assert_eq!(store.put_many(&blocks).await.expect("stored"), 0);
    let twice = [block("twice"), block("twice")];
    assert_eq!(store.put_many(&twice).await.expect("stored"), 1);
    drop(store);
    let size = fs::metadata(pack(&dir)).expect("a pack").len();
    let (store, report) = open(&dir);
    assert_eq!(
        report,
        OpenReport {
            blocks: 101,
            ..OpenReport::default()
        }
    );
    for (cid, bytes) in &blocks {
        assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
    }
    assert_eq!(store.put_many(&blocks).await.expect("stored"), 0);
    assert_eq!(fs::metadata(pack(&dir)).expect("a pack").len(), size);
    assert_eq!(store.get(&block("never").0).await.expect("no error"), None);
}

fn root(number: usize) -> Block {
    let bytes = kernel::to_dag_cbor(&number).expect("DAG-CBOR");
    (kernel::cid_of_dag_cbor(&bytes), bytes.into())
}

#[tokio::test]
async fn an_opened_store_tells_the_ends_of_its_newest_writes() {
    let dir = dir();
    let (store, report) = open(&dir);
    assert!(report.ends.is_empty());
    for write in [
        // What is below a root, also where that is of its kind; and what others store in between.
        vec![block("leaf"), root(1), root(2)],
        vec![root(3), block("file")],
        vec![root(4)],
    ] {
        store.put_many(&write).await.expect("stored");
    }
    drop(store);
    let ends = [root(2).0, root(4).0];
    assert_eq!(open(&dir).1.ends, ends);
    // A crash may leave the newest write without its mark.
    let file = File::options().write(true).open(pack(&dir));
    let file = file.expect("a pack");
    let len = file.metadata().expect("a length").len();
    file.set_len(len - record::MARK as u64).expect("cut");
    drop(file);
    assert_eq!(open(&dir).1.ends, ends);
}

#[tokio::test]
async fn a_block_is_found_under_every_cid_of_its_hash_and_an_inline_one_without_storing() {
    let dir = dir();
    let (store, _) = open(&dir);
    let (cid, bytes) = block("one");
    store
        .put_many(&[(cid, bytes.clone())])
        .await
        .expect("stored");
    let v0 = Cid::new_v0(*cid.hash()).expect("sha2-256");
    assert_eq!(store.get(&v0).await.expect("intact"), Some(bytes));
    let inline = crate::block::parse_cid("bafkqaaa").expect("a CID");
    assert_eq!(
        store.get(&inline).await.expect("inline"),
        Some(Bytes::new())
    );
    assert_eq!(
        store
            .put_many(&[(inline, Bytes::new())])
            .await
            .expect("inline"),
        0
    );
}

#[tokio::test]
async fn wrong_and_oversized_blocks_are_refused_and_nothing_of_their_batch_is_stored() {
    let dir = dir();
    let (store, _) = open(&dir);
    let wrong = (block("a").0, Bytes::from_static(b"b"));
    let error = store.put_many(&[block("good"), wrong]).await;
    assert!(matches!(error, Err(Error::Mismatch { .. })), "{error:?}");
    let large = vec![0; MAX_BLOCK + 1];
    let error = store.put_many(&[(kernel::cid_of_raw(&large), large)]).await;
    assert!(matches!(error, Err(Error::TooLarge { .. })), "{error:?}");
    assert!(store.is_empty());
}

/// A crash may leave any part of the last write behind.
#[tokio::test]
async fn a_write_torn_at_any_byte_is_cut_and_all_before_it_stays() {
    let dir = dir();
    let (store, _) = open(&dir);
    let (first, last) = (blocks(3), block("the last one"));
    store.put_many(&first).await.expect("stored");
    let before = fs::metadata(pack(&dir)).expect("a pack").len();
    store
        .put_many(std::slice::from_ref(&last))
        .await
        .expect("stored");
    drop(store);
    let mut whole = fs::read(pack(&dir)).expect("readable");
    // The mark behind a write is written when the write is durable.
    whole.truncate(whole.len() - record::MARK);
    let start = usize::try_from(before).expect("small");
    for end in start..whole.len() {
        // Cut short, and the same length with zeros where data did not reach the disk.
        let mut zeros = whole[..end].to_vec();
        zeros.resize(whole.len(), 0);
        for torn in [&whole[..end], &zeros] {
            fs::write(pack(&dir), torn).expect("writable");
            let (store, report) = open(&dir);
            assert_eq!(report.blocks, 3, "torn at {end}");
            assert_eq!(report.corrupt, [], "torn at {end}");
            assert_eq!(
                report.torn.map(|torn| torn.offset),
                (torn.len() > start).then_some(before)
            );
            assert_eq!(fs::metadata(pack(&dir)).expect("a pack").len(), before);
            assert_eq!(store.get(&last.0).await.expect("no error"), None);
            assert_eq!(
                store
                    .put_many(std::slice::from_ref(&last))
                    .await
                    .expect("stored"),
                1
            );
            assert_eq!(
                store.get(&last.0).await.expect("intact").as_ref(),
                Some(&last.1)
            );
        }
    }
}

/// Pages of one write reach the disk in any order, so that a crash may leave a hole in front of what is whole.
#[tokio::test]
async fn a_write_torn_with_a_hole_in_it_is_cut_and_none_of_it_is_called_damage() {
    let (durable, torn) = (blocks(3), blocks(6)[3..].to_vec());
    // Behind what was durable, and as the first write of a pack.
    for before in [&durable[..], &[]] {
        for hit in 0..torn.len() {
            let home = dir();
            let (store, _) = open(&home);
            store.put_many(before).await.expect("stored");
            let start = fs::metadata(pack(&home)).expect("a pack").len();
            store.put_many(&torn).await.expect("stored");
            drop(store);
            let mut whole = fs::read(pack(&home)).expect("readable");
            // The mark behind a write is written when the write is durable.
            whole.truncate(whole.len() - record::MARK);
            let gap = at(&whole, &torn[hit].1);
            whole[gap.start - 20..gap.end].fill(0);
            fs::write(pack(&home), &whole).expect("writable");

            let case = format!("{} before, a hole in {hit}", before.len());
            let (store, report) = open(&home);
            assert_eq!(report.corrupt, [], "{case}");
            let cut = report.torn.expect("torn").offset;
            assert!(cut >= start && cut <= gap.start as u64, "{case}: {cut}");
            assert_eq!(report.blocks, before.len() + hit, "{case}");
            let seen = examined(&store).await;
            assert_eq!((seen.lost.len(), seen.unknown.len()), (0, 0), "{case}");
            let put = store.put_many(&torn).await.expect("stored");
            assert_eq!(put, torn.len() - hit, "{case}");
            drop(store);
            let (_, report) = open(&home);
            let all = before.len() + torn.len();
            assert_eq!((report.blocks, report.torn), (all, None), "{case}");
        }
    }
}

/// Looks through all packs.
async fn examined(store: &Blockstore) -> Examined {
    let (mut all, mut from) = (Examined::default(), 0);
    loop {
        let seen = store.examine(from, 100).await.expect("looks");
        all.bytes += seen.bytes;
        all.lost.extend(seen.lost);
        all.mended.extend(seen.mended);
        all.unknown.extend(seen.unknown);
        from = seen.next;
        if from == 0 {
            return all;
        }
    }
}

fn at(whole: &[u8], part: &[u8]) -> std::ops::Range<usize> {
    let mut windows = whole.windows(part.len());
    let start = windows.position(|window| window == part).expect("is there");
    start..start + part.len()
}

/// Three blocks in two writes, and the pack with them.
async fn three(dir: &TempDir) -> (Vec<Block>, Vec<u8>) {
    let all = blocks(3);
    let (store, _) = open(dir);
    store.put_many(&all[..2]).await.expect("stored");
    store.put_many(&all[2..]).await.expect("stored");
    (all, fs::read(pack(dir)).expect("readable"))
}

/// No flipped bit anywhere gives other bytes, and none costs more than the block whose bytes it is in, the last one of
/// a pack included: of what stands around a block, the rest tells what it was.
#[tokio::test]
async fn a_flipped_bit_loses_the_block_that_it_is_in_and_no_other_and_is_never_shown() {
    let home = dir();
    let (all, whole) = three(&home).await;
    let bodies: Vec<_> = all.iter().map(|(_, bytes)| at(&whole, bytes)).collect();
    let marks = [record::HEADER.len(), bodies[1].end + 4, bodies[2].end + 4];
    let marks = marks.map(|at| at..at + record::MARK);
    for place in 0..whole.len() {
        for bit in [0x01, 0x10, 0x80] {
            let case = format!("flip {bit:#x} at {place}");
            let mut rotten = whole.clone();
            rotten[place] ^= bit;
            fs::write(pack(&home), &rotten).expect("writable");
            let hit = bodies.iter().position(|body| body.contains(&place));
            let in_header = place < record::HEADER.len();
            let in_mark = marks.iter().any(|mark| mark.contains(&place));

            let (store, report) = open(&home);
            assert_eq!(report.blocks, 3 - usize::from(hit.is_some()), "{case}");
            assert_eq!(report.torn.is_some(), marks[2].contains(&place), "{case}");
            assert_eq!(report.corrupt.len(), usize::from(!in_mark), "{case}");
            for (number, (cid, bytes)) in all.iter().enumerate() {
                let want = (hit != Some(number)).then_some(bytes);
                assert_eq!(
                    store.get(cid).await.expect("intact").as_ref(),
                    want,
                    "{case}"
                );
            }
            let seen = examined(&store).await;
            let lost: BTreeSet<Cid> = hit.map(|hit| all[hit].0).into_iter().collect();
            assert_eq!(seen.lost, lost, "{case}");
            let around = hit.is_none() && !in_header && !in_mark;
            assert_eq!(seen.mended.len(), usize::from(around), "{case}");
            assert_eq!(seen.unknown, [], "{case}");
            assert_eq!(store.put_many(&all).await.expect("healed"), lost.len());
            drop(store);

            let (store, report) = open(&home);
            assert_eq!((report.blocks, report.torn), (3, None), "{case}");
            for (cid, bytes) in &all {
                assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
            }
            let seen = examined(&store).await;
            assert_eq!(
                (seen.lost, seen.mended),
                (BTreeSet::new(), vec![]),
                "{case}"
            );
            drop(store);
            let _ = fs::remove_file(home.path().join("blocks-000002.pack"));
        }
    }
}

#[tokio::test]
async fn a_bit_that_flips_while_the_store_is_open_is_told_and_can_be_healed() {
    let home = dir();
    let (all, whole) = three(&home).await;
    let body = at(&whole, &all[2].1);
    // In its bytes, in its length, in its CID.
    for (place, is_lost) in [
        (body.start, true),
        (body.start - 40, false),
        (body.start - 9, false),
    ] {
        fs::write(pack(&home), &whole).expect("writable");
        let (store, _) = open(&home);
        let file = File::options()
            .write(true)
            .open(pack(&home))
            .expect("opens");
        file.write_all_at(&[whole[place] ^ 4], place as u64)
            .expect("written");
        for (cid, bytes) in &all[..2] {
            assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
        }
        let (cid, bytes) = &all[2];
        let got = store.get(cid).await;
        assert_eq!(
            matches!(got, Err(Error::Corrupt { .. })),
            is_lost,
            "{got:?}"
        );
        assert_eq!(store.has(cid), !is_lost);
        let seen = examined(&store).await;
        let lost: Vec<Cid> = seen.lost.into_iter().collect();
        let (named, other) = if is_lost {
            (lost, seen.mended)
        } else {
            (seen.mended, lost)
        };
        assert_eq!((named, other.len(), seen.unknown.len()), (vec![*cid], 0, 0));
        store.put_many(&all).await.expect("healed");
        assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
        assert!(examined(&store).await.lost.is_empty());
        drop(store);
        let (store, report) = open(&home);
        assert_eq!(report.corrupt.len(), 1, "{report:?}");
        assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_written_again_keeps_nobody_from_what_comes_behind_it() {
    let home = dir();
    let (all, mut bytes) = three(&home).await;
    // In front of the first block, and in the last one.
    let (first, last) = (at(&bytes, &all[0].1), at(&bytes, &all[2].1));
    bytes[first.start - 1] ^= 1;
    bytes[last.start] ^= 1;
    fs::write(pack(&home), &bytes).expect("writable");
    let (store, _) = open(&home);
    *lock(&store.inner.broken) = true;
    let seen = examined(&store).await;
    assert_eq!(
        (seen.mended, seen.lost),
        (vec![], BTreeSet::from([all[2].0]))
    );
    assert_eq!(
        store.get(&all[0].0).await.expect("intact").as_ref(),
        Some(&all[0].1)
    );
    *lock(&store.inner.broken) = false;
    assert_eq!(examined(&store).await.mended, [all[0].0]);
}

#[tokio::test]
async fn a_pack_that_is_cut_short_while_it_is_read_loses_what_was_cut_off() {
    let home = dir();
    let (all, whole) = three(&home).await;
    let (store, _) = open(&home);
    let file = File::options()
        .write(true)
        .open(pack(&home))
        .expect("opens");
    file.set_len(at(&whole, &all[1].1).start as u64 + 3)
        .expect("cut");
    assert_eq!(
        store.get(&all[0].0).await.expect("intact").as_ref(),
        Some(&all[0].1)
    );
    let seen = examined(&store).await;
    assert_eq!(seen.lost, BTreeSet::from([all[1].0]));
    assert_eq!(seen.unknown.len(), 1, "{seen:?}");
    let got = store.get(&all[2].0).await;
    assert!(matches!(got, Err(Error::Corrupt { .. })), "{got:?}");
    assert_eq!(store.put_many(&all).await.expect("healed"), 2);
}

/// What an older version wrote has no marks.
#[tokio::test]
async fn a_pack_without_marks_is_read_and_goes_on_with_them() {
    let home = dir();
    let all = blocks(4);
    let mut bytes = record::HEADER.to_vec();
    for block in &all[..3] {
        record::put(&mut bytes, block);
    }
    fs::write(pack(&home), &bytes).expect("writable");
    let (store, report) = open(&home);
    assert_eq!(
        (report.blocks, &report.torn, &report.corrupt[..]),
        (3, &None, &[][..])
    );
    store.put_many(&all).await.expect("stored");
    drop(store);
    let mut rotten = fs::read(pack(&home)).expect("readable");
    // The last record of the older version was durable when the newer one opened it.
    rotten[bytes.len() - 6] ^= 1;
    fs::write(pack(&home), &rotten).expect("writable");
    let (_, report) = open(&home);
    assert_eq!(
        (report.blocks, report.torn, report.corrupt.len()),
        (3, None, 1)
    );
}

/// Reads all packs of a store of many small ones, most of the records not the last of theirs.
async fn many_packs(dir: &Path) -> Vec<Block> {
    let (store, _) = Blockstore::open_rolling(dir, 600).expect("opens");
    let all: Vec<Block> = (0..30)
        .map(|n| block(&"many ".repeat(1 + n % 7 * 5 + n / 7)))
        .collect();
    for chunk in all.chunks(4) {
        store.put_many(chunk).await.expect("stored");
    }
    all
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("a directory");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|name| name == "pack"));
    files.sort();
    files
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever stands in the packs: the store opens, gives no wrong bytes, has every block whose record nobody
    /// touched and that a mark says was durable, and can be filled again.
    #[test]
    fn whatever_a_disk_does_to_packs_nothing_wrong_is_given_and_what_it_left_is_there(
        damages in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..80)), 1..6),
        cut in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let home = dir();
        let all = runtime.block_on(many_packs(home.path()));
        let before: Vec<_> = files(home.path()).into_iter().map(|path| (fs::read(&path).expect("read"), path)).collect();
        let mut after: Vec<Vec<u8>> = before.iter().map(|(bytes, _)| bytes.clone()).collect();
        for (file, place, bytes) in &damages {
            let file = file.get_mut(&mut after);
            let start = place.index(file.len());
            let end = file.len().min(start + bytes.len());
            file[start..end].copy_from_slice(&bytes[..end - start]);
        }
        if let Some((file, place)) = cut {
            let file = file.get_mut(&mut after);
            file.truncate(place.index(file.len()));
        }
        let after_count = after.len();
        let same = |before: &[u8], after: &[u8], range: std::ops::Range<usize>|
            after.get(range.clone()).is_some_and(|after| *after == before[range]);
        let untouched = |(cid, bytes): &Block| before.iter().zip(&after).enumerate().any(|(file, ((before, _), after))| {
            let mut record = Vec::new();
            record::put(&mut record, &(*cid, bytes.clone()));
            let place = before.windows(record.len()).position(|window| window == record);
            let Some(at) = place else { return false };
            let mark = |at: &usize| record::is_mark(&before[*at..], *at as u64) && same(before, after, *at..*at + record::MARK);
            // Behind the last mark of the last pack everything must be as it was.
            let marked = (0..before.len()).rev().find(mark).unwrap_or(0);
            let from = if file + 1 == after_count && at > marked { marked } else { at };
            same(before, after, from..at + record.len())
        });
        let left: Vec<bool> = all.iter().map(untouched).collect();
        for ((_, path), bytes) in before.iter().zip(&after) {
            fs::write(path, bytes).expect("writable");
        }
        runtime.block_on(async {
            for _ in 0..2 {
                let (store, _) = Blockstore::open_rolling(home.path(), 600).expect("opens");
                for (block, is_left) in all.iter().zip(&left) {
                    match store.get(&block.0).await {
                        Ok(Some(bytes)) => assert_eq!(bytes, block.1),
                        // A pack that was closed is not read before somebody wants a block of it.
                        Ok(None) | Err(Error::Corrupt { .. }) => assert!(!is_left, "{} is lost", block.0),
                        Err(error) => panic!("{error}"),
                    }
                }
                examined(&store).await;
                store.put_many(&all).await.expect("healed");
                for (cid, bytes) in &all {
                    assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
                }
            }
        });
    }
}

#[tokio::test]
async fn packs_roll_and_all_of_them_are_read_again() {
    let dir = dir();
    let (store, _) = Blockstore::open_rolling(dir.path(), 300).expect("opens");
    let all = blocks(40);
    store.put_many(&all[..30]).await.expect("stored");
    for block in &all[30..] {
        store
            .put_many(std::slice::from_ref(block))
            .await
            .expect("stored");
    }
    drop(store);
    let packs = files(dir.path()).len();
    assert!(packs >= 8, "{packs} packs");
    for number in 1..=packs {
        let size = fs::metadata(dir.path().join(format!("blocks-{number:06}.pack")));
        assert!(size.expect("numbered without a gap").len() <= 300);
    }
    let (store, report) = Blockstore::open_rolling(dir.path(), 300).expect("opens");
    assert_eq!(
        report,
        OpenReport {
            blocks: 40,
            ..OpenReport::default()
        }
    );
    for (cid, bytes) in &all {
        assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
    }
}

fn catalog(dir: &TempDir, number: usize) -> PathBuf {
    dir.path().join(format!("blocks-{number:06}.index"))
}

/// A store of three packs with one write each, of which two are closed; closed and opened again.
async fn three_packs(dir: &TempDir) -> Vec<Block> {
    let (store, _) = Blockstore::open_rolling(dir.path(), 100).expect("opens");
    let all: Vec<Block> = (0..3).map(root).collect();
    for block in &all {
        let stored = store.put_many(std::slice::from_ref(block)).await;
        stored.expect("stored");
    }
    all
}

#[tokio::test]
async fn a_closed_pack_is_not_read_again_before_somebody_wants_its_blocks() {
    let dir = dir();
    let all = three_packs(&dir).await;
    let is_there = [1, 2, 3].map(|number| catalog(&dir, number).exists());
    assert_eq!(is_there, [true, true, false]);
    let whole = OpenReport {
        blocks: 3,
        ends: all.iter().map(|(cid, _)| *cid).collect(),
        ..OpenReport::default()
    };
    let (store, report) = open(&dir);
    assert_eq!(report, whole);
    for (cid, bytes) in &all {
        assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
    }
    drop(store);

    // What the disk changes there does not keep the store from opening, and is found by who reads it.
    let mut bytes = fs::read(pack(&dir)).expect("read");
    let last = bytes.len() - record::MARK - 5;
    bytes[last] ^= 1;
    fs::write(pack(&dir), bytes).expect("changed");
    let (store, report) = open(&dir);
    assert_eq!(report, whole);
    let got = store.get(&all[0].0).await;
    assert!(matches!(got, Err(Error::Corrupt { .. })), "{got:?}");
    // From then on it is told at each start, and the block can be put again.
    drop(store);
    let (store, report) = open(&dir);
    assert_eq!((report.blocks, report.corrupt.len()), (2, 1));
    assert_eq!(store.put_many(&all).await.expect("stored"), 1);
    drop(store);
    let (_, report) = open(&dir);
    assert_eq!((report.blocks, report.corrupt.len()), (3, 1));
}

#[tokio::test]
async fn without_its_index_or_with_that_of_another_length_a_pack_is_read() {
    let dir = dir();
    let all = three_packs(&dir).await;
    let written = fs::read(catalog(&dir, 1)).expect("read");
    for index in [None, Some(&written[..written.len() - 1]), Some(&b""[..])] {
        fs::remove_file(catalog(&dir, 1)).expect("removed");
        if let Some(bytes) = index {
            fs::write(catalog(&dir, 1), bytes).expect("written");
        }
        let (store, report) = open(&dir);
        assert_eq!(report.blocks, 3);
        let got = store.get(&all[0].0).await.expect("intact");
        assert_eq!(got.as_ref(), Some(&all[0].1));
        // It is written for the next time.
        assert_eq!(fs::read(catalog(&dir, 1)).expect("read"), written);
    }
    // A pack that was cut short is not what its index says.
    let len = fs::metadata(pack(&dir)).expect("a pack").len();
    let file = File::options().write(true).open(pack(&dir));
    let cut = file.expect("a pack").set_len(len - record::MARK as u64 - 1);
    cut.expect("cut");
    let (store, report) = open(&dir);
    assert_eq!((report.blocks, report.corrupt.len()), (2, 1));
    assert_eq!(store.get(&all[0].0).await.expect("no error"), None);
}

#[tokio::test]
async fn a_pack_whose_creation_was_cut_off_is_begun_again() {
    let dir = dir();
    for left in 0..record::start().len() {
        fs::write(pack(&dir), &record::start()[..left]).expect("writable");
        let (store, _) = open(&dir);
        assert_eq!(
            store.put_many(&blocks(1)).await.expect("stored"),
            1,
            "{left} bytes"
        );
        drop(store);
        assert_eq!(open(&dir).1.blocks, 1);
    }
}

#[tokio::test]
async fn a_pack_that_does_not_begin_as_one_is_read_and_left_alone() {
    let home = dir();
    let (all, mut bytes) = three(&home).await;
    bytes[3] ^= 2;
    for (bytes, left) in [
        (&bytes[..], 3),
        (b"something else entirely", 0),
        (b"short", 0),
        (b"", 0),
    ] {
        fs::write(pack(&home), bytes).expect("writable");
        let (store, report) = open(&home);
        assert_eq!(report.blocks, left);
        assert_eq!(store.put_many(&all).await.expect("stored"), 3 - left);
        let more = [block("more")];
        assert_eq!(store.put_many(&more).await.expect("stored"), 1);
        drop(store);
        assert_eq!(open(&home).1.blocks, 4);
        if !bytes.is_empty() {
            assert_eq!(report.corrupt[0].offset, 0);
            assert_eq!(fs::read(pack(&home)).expect("readable"), bytes);
            fs::remove_file(home.path().join("blocks-000002.pack")).expect("removed");
        }
    }
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_is_gone() {
    let dir = dir();
    let (store, _) = open(&dir);
    let error = Blockstore::open(dir.path()).expect_err("in use");
    assert!(matches!(error, Error::InUse(_)), "{error}");
    assert_eq!(error.kind(), kernel::Kind::Conflict);
    drop(store);
    open(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_put_and_get_the_same_blocks() {
    let dir = dir();
    let (store, _) = open(&dir);
    let all = Arc::new(blocks(200));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (store, all) = (store.clone(), Arc::clone(&all));
            tokio::spawn(async move {
                let mut new = 0;
                for chunk in all.chunks(5 + task) {
                    new += store.put_many(chunk).await.expect("stored");
                    let (cid, bytes) = &chunk[0];
                    assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
                }
                new
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += task.await.expect("no panic");
    }
    assert_eq!((new, store.len()), (200, 200));
    drop(store);
    assert_eq!(
        open(&dir).1,
        OpenReport {
            blocks: 200,
            ..OpenReport::default()
        }
    );
}

/// `cp -r` of the directory, file by file in any order, while somebody writes and packs roll.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_copy_that_is_made_while_blocks_are_written_is_a_store_of_all_that_was_durable_before() {
    let (dir, copies) = (dir(), dir());
    let (store, _) = Blockstore::open_rolling(dir.path(), 20_000).expect("opens");
    let all = Arc::new(blocks(6_000));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = tokio::spawn({
        let (store, all, stop) = (store.clone(), Arc::clone(&all), Arc::clone(&stop));
        async move {
            for chunk in all.chunks(37) {
                store.put_many(chunk).await.expect("stored");
                if stop.load(std::sync::atomic::Ordering::SeqCst) {
                    return;
                }
            }
        }
    });
    for round in 0..8 {
        let copy = copies.path().join(round.to_string());
        fs::create_dir(&copy).expect("made");
        let durable = store.len();
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        names.sort();
        if round % 2 == 1 {
            names.reverse();
        }
        for name in names {
            fs::copy(dir.path().join(&name), copy.join(&name)).expect("copied");
        }
        let (opened, report) = Blockstore::open(&copy).expect("the copy opens");
        assert!(
            report.blocks >= durable,
            "{durable} were durable: {report:?}"
        );
        assert_eq!(report.corrupt, [], "nothing was changed");
        for (at, (cid, bytes)) in all.iter().enumerate() {
            match opened.get(cid).await.expect("intact") {
                Some(found) => assert_eq!(&found, bytes),
                None => assert!(at >= durable, "block {at} of {durable} is lost"),
            }
        }
        assert_eq!(
            opened.put_many(&all).await.expect("goes on"),
            6_000 - report.blocks
        );
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    writer.await.expect("no panic");
}
