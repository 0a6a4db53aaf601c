//! The disk of the blockstore is full, and has space again.
//!
//! It needs the right to mount a tmpfs, which root has; without it the test fails and says so.

use std::{fs, path::Path, process::Command};

use content::{Block, Blockstore, Error};
use kernel::Kind;
use tempfile::TempDir;

/// A small file system at a folder, as long as this lives.
struct Mounted(TempDir);

impl Mounted {
    fn new(options: &str) -> Self {
        let mounted = Self(tempfile::tempdir().expect("a folder"));
        mounted.mount(options);
        mounted
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn mount(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]);
        let done = mount.arg(self.path()).status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "a full disk is made of a tmpfs, which only root may mount: run this test as root"
        );
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// Ten blocks of this many bytes each.
fn blocks(round: usize, length: usize) -> Vec<Block> {
    let block = |number: usize| {
        let mut bytes = (round * 10 + number).to_string().into_bytes();
        bytes.resize(length, b' ');
        (kernel::cid_of_raw(&bytes), bytes.into())
    };
    (0..10).map(block).collect()
}

/// Every block that was stored, as it was.
async fn all_are_there(store: &Blockstore, stored: &[Block]) {
    for (cid, bytes) in stored {
        assert_eq!(store.get(cid).await.expect("intact").as_ref(), Some(bytes));
    }
}

#[tokio::test]
async fn nothing_stored_is_lost_on_a_full_disk_and_all_goes_on_with_space() {
    // Pages of 4 KiB, so that a write ends in the middle of a record, and one that ends with a record.
    for length in [3_000, 4_096 - 48, 100_000] {
        let small = Mounted::new("size=4m");
        let (store, _) = Blockstore::open(small.path()).expect("opens");
        let (mut stored, mut round) = (Vec::new(), 0);
        let full = loop {
            let blocks = blocks(round, length);
            match store.put_many(&blocks).await {
                Ok(new) => assert_eq!(new, 10),
                Err(error) => break error,
            }
            stored.extend(blocks);
            round += 1;
        };
        assert!(stored.len() >= 10, "room for some");
        assert_eq!(full.kind(), Kind::Unavailable, "{full}");
        assert!(matches!(full, Error::Io { .. }), "{full}");
        assert!(full.to_string().contains("No space left"), "{full}");
        // Nothing of the write that failed is there, or in the way.
        assert_eq!(store.len(), stored.len());
        all_are_there(&store, &stored).await;
        let again = store.put_many(&blocks(round, length)).await;
        assert_eq!(again.expect_err("it is full").kind(), Kind::Unavailable);
        let seen = store.examine(0, u64::MAX).await.expect("looks");
        assert!(seen.lost.is_empty() && seen.unknown.is_empty(), "{seen:?}");
        drop(store);

        // It opens on a full disk, too.
        let (store, report) = Blockstore::open(small.path()).expect("opens");
        assert_eq!((report.blocks, report.corrupt), (stored.len(), vec![]));
        all_are_there(&store, &stored).await;
        small.mount("remount,size=16m");
        for round in round..round + 3 {
            let blocks = blocks(round, length);
            assert_eq!(store.put_many(&blocks).await.expect("there is room"), 10);
            stored.extend(blocks);
        }
        all_are_there(&store, &stored).await;
        drop(store);
        let (store, report) = Blockstore::open(small.path()).expect("opens");
        assert_eq!((report.blocks, report.torn), (stored.len(), None));
        all_are_there(&store, &stored).await;
    }
}

#[tokio::test]
async fn a_pack_that_finds_no_room_to_begin_is_begun_later() {
    let small = Mounted::new("size=64k,nr_inodes=4");
    // The folder, the lock, the first pack and one more file.
    let (store, _) = Blockstore::open(small.path()).expect("opens");
    let stored = blocks(0, 1_000);
    store.put_many(&stored).await.expect("stored");
    drop(store);
    // Its first pack is set aside, and there is no inode for another.
    let pack = small.path().join("blocks-000001.pack");
    let mut bytes = fs::read(&pack).expect("readable");
    bytes[0] ^= 1;
    fs::write(&pack, bytes).expect("written");
    fs::write(small.path().join("other"), "").expect("written");
    let full = Blockstore::open(small.path()).expect_err("it cannot be written to");
    assert_eq!(full.kind(), Kind::Unavailable, "{full}");
    assert!(!small.path().join("blocks-000002.pack").exists());
    fs::remove_file(small.path().join("other")).expect("removed");
    let (store, report) = Blockstore::open(small.path()).expect("opens");
    assert_eq!(report.blocks, 10);
    store.put_many(&blocks(1, 1_000)).await.expect("stored");
    all_are_there(&store, &stored).await;
}
