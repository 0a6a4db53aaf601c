//! Crashes, rotten disks and crowds.

use std::fs;

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
    let whole = fs::read(pack(&dir)).expect("readable");
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

/// No flipped bit anywhere gives other bytes, and no other block is lost by it.
#[tokio::test]
async fn a_flipped_bit_loses_one_block_at_most_and_is_never_shown() {
    let dir = dir();
    let all = blocks(3);
    let (store, _) = open(&dir);
    store.put_many(&all).await.expect("stored");
    drop(store);
    let whole = fs::read(pack(&dir)).expect("readable");
    for at in record::HEADER.len()..whole.len() {
        for bit in [0x01, 0x80] {
            let mut rotten = whole.clone();
            rotten[at] ^= bit;
            fs::write(pack(&dir), &rotten).expect("writable");
            let (store, report) = open(&dir);
            assert!(report.blocks >= 2, "flip at {at}: {report:?}");
            assert!(
                report.torn.is_some() || report.corrupt.len() == 1,
                "flip at {at}"
            );
            assert_eq!(
                store.put_many(&all).await.expect("healed"),
                3 - report.blocks
            );
            for (cid, bytes) in &all {
                assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
            }
        }
    }
}

#[tokio::test]
async fn a_bit_that_flips_while_the_store_is_open_is_told_and_can_be_healed() {
    let dir = dir();
    let (store, _) = open(&dir);
    let (cid, bytes) = block("a block of some length");
    store
        .put_many(&[(cid, bytes.clone())])
        .await
        .expect("stored");
    let mut rotten = fs::read(pack(&dir)).expect("readable");
    let middle = rotten.len() - 10;
    rotten[middle] ^= 4;
    fs::write(pack(&dir), rotten).expect("writable");
    let error = store.get(&cid).await;
    assert!(matches!(error, Err(Error::Corrupt { .. })), "{error:?}");
    assert!(!store.has(&cid));
    assert_eq!(
        store
            .put_many(&[(cid, bytes.clone())])
            .await
            .expect("healed"),
        1
    );
    assert_eq!(store.get(&cid).await.expect("intact"), Some(bytes.clone()));
    drop(store);
    let (store, report) = open(&dir);
    assert_eq!(report.corrupt.len(), 1, "{report:?}");
    assert_eq!(store.get(&cid).await.expect("intact"), Some(bytes));
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
    let packs = fs::read_dir(dir.path()).expect("a directory").count() - 1;
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

#[tokio::test]
async fn a_pack_whose_creation_was_cut_off_is_begun_again() {
    let dir = dir();
    for left in 0..record::HEADER.len() {
        fs::write(pack(&dir), &record::HEADER[..left]).expect("writable");
        let (store, _) = open(&dir);
        assert_eq!(
            store.put_many(&blocks(1)).await.expect("stored"),
            1,
            "{left} bytes"
        );
        drop(store);
        assert_eq!(open(&dir).1.blocks, 1);
    }
    fs::write(pack(&dir), "something else entirely").expect("writable");
    assert!(matches!(
        Blockstore::open(dir.path()),
        Err(Error::Malformed(_))
    ));
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
