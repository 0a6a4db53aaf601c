//! Directories in memory. What Kubo makes of the same entries is in `tests/kubo.rs`.

use super::*;
use crate::{Limits, Step, read};

const LIMITS: Limits = Limits {
    max_bytes: 1024,
    max_blocks: 100,
    max_depth: 8,
};

fn entries(numbers: impl IntoIterator<Item = u32>) -> BTreeMap<String, Target> {
    numbers
        .into_iter()
        .map(|number| {
            let text = format!("file {number}");
            let target = Target {
                cid: cid_of_raw(text.as_bytes()),
                size: text.len() as u64,
            };
            (format!("{number}.txt"), target)
        })
        .collect()
}

/// Adds, fetching what is missing from `store`, and puts what is new there. Tells how often it had to fetch.
fn add(
    store: &mut HashMap<Cid, Bytes>,
    root: Option<&Cid>,
    entries: &BTreeMap<String, Target>,
    plain_at_most: usize,
) -> (Grown, usize) {
    let mut known: HashMap<Cid, Bytes> = HashMap::new();
    let mut rounds = 0;
    loop {
        match grow(root, entries, &known, plain_at_most).expect("grows") {
            Growth::Done(grown) => {
                store.extend(grown.blocks.iter().cloned());
                return (grown, rounds);
            }
            Growth::Missing(missing) => {
                rounds += 1;
                known.extend(missing.into_iter().map(|cid| (cid, store[&cid].clone())));
            }
        }
    }
}

#[test]
fn a_directory_depends_on_its_entries_and_not_on_how_they_came() {
    for (count, plain_at_most) in [(1, 0), (2, 0), (40, 10_000), (300, 0), (3_000, 10_000)] {
        let mut store = HashMap::new();
        let whole = add(&mut store, None, &entries(0..count), plain_at_most).0;
        let mut root = None;
        for step in (0..count).step_by(97) {
            // Backwards, and each portion twice.
            let portion = entries((0..count).rev().skip(step as usize).take(97));
            for _ in 0..2 {
                let grown = add(&mut store, root.as_ref(), &portion, plain_at_most).0;
                root = Some(grown.root.cid);
            }
        }
        assert_eq!(root, Some(whole.root.cid), "{count} entries");
        for (name, target) in entries(0..count) {
            let path = [name];
            let Ok(Step::Missing(missing)) = read(&whole.root.cid, &path, &store, LIMITS) else {
                panic!("the file itself is not in the store")
            };
            assert_eq!(missing, [target.cid], "{path:?} of {count}");
        }
    }
}

/// Three names of one hash, made by running the hash backwards. Kubo makes no directory of them at all.
#[test]
fn of_names_with_one_hash_the_first_has_the_place_whatever_comes_with_it() {
    let same = ["agent-number-001", "8jS%V9L`TOXx|ezP", "gmRp?+d,V$H&Csj0"];
    assert_eq!(same.map(hash), [hash(same[0]); 3]);
    let one = |name: &str, text: &str| {
        let (cid, size) = (cid_of_raw(text.as_bytes()), text.len() as u64);
        BTreeMap::from([(name.to_owned(), Target { cid, size })])
    };
    let mut store = HashMap::new();
    for (first, rest) in [(0..10, 10..400), (0..3_000, 3_000..3_010)] {
        let without = add(&mut store, None, &entries(0..rest.end), 10_000).0;
        let with = add(
            &mut store,
            Some(&without.root.cid),
            &one(same[0], "a"),
            10_000,
        );
        let whole = with.0.root;
        let mut root = None;
        let mut left_out = Vec::new();
        for portion in [
            entries(first),
            one(same[0], "replaced"),
            one(same[1], "b"),
            [one(same[0], "a"), one(same[2], "c")]
                .into_iter()
                .flatten()
                .collect(),
            entries(rest),
            one(same[2], "c"),
        ] {
            let grown = add(&mut store, root.as_ref(), &portion, 10_000).0;
            left_out.extend(grown.left_out);
            root = Some(grown.root.cid);
        }
        assert_eq!(root, Some(whole.cid));
        assert_eq!(left_out, [same[1], same[2], same[2]]);
    }
}

#[test]
fn an_entry_among_many_rewrites_its_path_alone() {
    let mut store = HashMap::new();
    let all = add(&mut store, None, &entries(0..100_000), PLAIN_AT_MOST).0;
    assert!(all.blocks.len() > 256);
    for number in 100_000..100_050 {
        let (grown, rounds) = add(
            &mut store,
            Some(&all.root.cid),
            &entries([number]),
            PLAIN_AT_MOST,
        );
        assert!(grown.blocks.len() <= 5, "{} blocks", grown.blocks.len());
        assert!(rounds <= 4, "{rounds} rounds");
        assert_eq!(
            grown.root.size - all.root.size,
            grown
                .blocks
                .iter()
                .map(|(_, bytes)| bytes.len() as u64)
                .sum::<u64>()
                + entries([number])
                    .values()
                    .map(|target| target.size)
                    .sum::<u64>()
                - rewritten(&store, &all.root.cid, &grown),
        );
    }
}

/// Bytes of the nodes that `grown` replaced: those on the way to its entry in the trie before.
fn rewritten(store: &HashMap<Cid, Bytes>, root: &Cid, grown: &Grown) -> u64 {
    let new: HashMap<Cid, Bytes> = grown.blocks.iter().cloned().collect();
    let (mut old, mut at, mut bytes) = (*root, grown.root.cid, 0);
    loop {
        bytes += store[&old].len() as u64;
        let (before, after) = (
            dag_pb::decode(&store[&old]).expect("a node"),
            dag_pb::decode(&new[&at]).expect("a node"),
        );
        let next = after.links.iter().find_map(|link| {
            let same = before.links.iter().find(|other| other.name == link.name)?;
            (same.cid != link.cid).then_some((same.cid, link.cid))
        });
        let Some(next) = next else { return bytes };
        (old, at) = next;
    }
}

#[test]
fn an_entry_is_replaced_under_its_name() {
    for plain_at_most in [0, 10_000] {
        let mut store = HashMap::new();
        let all = add(&mut store, None, &entries(0..20), plain_at_most).0;
        let mut other = entries(0..20);
        let changed = entries([77])["77.txt"];
        other.insert("3.txt".to_owned(), changed);
        let one = BTreeMap::from([("3.txt".to_owned(), changed)]);
        let grown = add(&mut store, Some(&all.root.cid), &one, plain_at_most).0;
        let whole = add(&mut store, None, &other, plain_at_most).0;
        assert_eq!(grown.root, whole.root, "{plain_at_most}");
    }
}

#[test]
fn names_and_roots_that_cannot_be_are_refused() {
    let target = entries([1])["1.txt"];
    for wrong in ["", "a/b"] {
        let one = BTreeMap::from([(wrong.to_owned(), target)]);
        let error = grow(None, &one, &HashMap::<Cid, Bytes>::new(), 0).expect_err("refused");
        assert!(matches!(error, Error::Malformed(_)), "{error}");
    }
    let file = crate::build(&vec![0; 3 << 20], crate::Layout::OURS);
    let known: HashMap<Cid, Bytes> = file.blocks.into_iter().collect();
    let error = grow(Some(&file.root), &entries([1]), &known, 0).expect_err("a file");
    assert!(matches!(error, Error::Malformed(_)), "{error}");
}
