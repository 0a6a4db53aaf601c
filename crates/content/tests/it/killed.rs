//! A process that is killed while it writes blocks.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use content::{Block, Blockstore};
use kernel::cid_of_raw;

/// Tells the test's own binary, started again, where to write.
const DIR: &str = "CHANCERY_TEST_BLOCKS";
/// Before the number of each batch that is durable.
const DURABLE: &str = "durable ";

fn batch(number: usize) -> Vec<Block> {
    (0..200)
        .map(|at| {
            let bytes = format!("{number} {at} {}", "x".repeat(at * 7)).into_bytes();
            (cid_of_raw(&bytes), bytes.into())
        })
        .collect()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a child learns by the environment that it is one"
)]
fn directory() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

/// Writes until it is killed, where it is a child; else there is nothing to do.
#[tokio::test]
async fn child() {
    let Some(dir) = directory() else { return };
    let (store, _) = Blockstore::open(&dir).expect("opens");
    for number in 0.. {
        store.put_many(&batch(number)).await.expect("stored");
        println!("\n{DURABLE}{number}");
    }
}

/// Starts the child, and kills it (SIGKILL) once so many batches are durable; gives the last that it told.
fn killed_after(dir: &Path, batches: usize) -> usize {
    let mut child = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "killed::child", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut last = 0;
    for line in lines.map_while(Result::ok) {
        if let Some(number) = line.strip_prefix(DURABLE) {
            last = number.trim().parse().expect("a number");
            if last + 1 == batches {
                child.kill().expect("killed");
            }
        }
    }
    child.wait().expect("ended");
    last
}

#[tokio::test]
async fn what_was_durable_is_there_after_a_kill_in_the_middle_of_writing() {
    let dir = tempfile::tempdir().expect("a directory");
    for batches in [1, 4, 9, 40] {
        let last = killed_after(dir.path(), batches);
        let (store, report) = Blockstore::open(dir.path()).expect("opens");
        assert_eq!(report.corrupt, [], "{batches}");
        for number in 0..=last {
            for (cid, bytes) in batch(number) {
                assert_eq!(
                    store.get(&cid).await.expect("intact"),
                    Some(bytes),
                    "{number}"
                );
            }
        }
    }
}
