use super::*;
use crate::tree::tests::{leaves, mth};
use crate::tree::{leaf_hash, root};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use tlog_tiles::{HashReader, stored_hashes};

fn hash_of(leaves: &[Hash], range: &Range<u64>) -> Hash {
    let at = |n: u64| usize::try_from(n).expect("small");
    mth(&leaves[at(range.start)..at(range.end)])
}

pub fn prove_inclusion(leaves: &[Hash], index: u64, size: u64) -> Vec<Hash> {
    let ranges = inclusion_ranges(index, size).expect("in the tree");
    ranges.iter().map(|range| hash_of(leaves, range)).collect()
}

pub fn prove_consistency(leaves: &[Hash], old: u64, new: u64) -> Vec<Hash> {
    let ranges = consistency_ranges(old, new).expect("in order");
    ranges.iter().map(|range| hash_of(leaves, range)).collect()
}

fn base64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}

/// Entries, roots and proofs of Tessera's `testdata/log`.
#[test]
fn tesseras_golden_log() {
    let leaves: Vec<Hash> = [
        "one", "two", "three", "four", "five", "six", "seven", "eit", "nain", "ten", "ileven",
        "twelf", "threeten", "fourten", "fivten",
    ]
    .iter()
    .map(|word| leaf_hash(word.as_bytes()))
    .collect();
    assert_eq!(
        base64(&[leaves[0]]),
        ["0Nc2CrefWKseHj/mStd+LqC8B+NrX0btIiPt2SmN+ek="]
    );
    let root_15 = root(&leaves);
    assert_eq!(
        base64(&[root_15]),
        ["rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs="]
    );
    let inclusion = prove_inclusion(&leaves, 4, 15);
    assert_eq!(
        base64(&inclusion),
        [
            "yiM+eia4w1wsk/Ukx7kF56IQVkDW3MWUaUz/VtJu+yU=",
            "nk9gCR+floFqznAPtqjjcnnV64dge2jQB95D5t164Hg=",
            "zY1lN35vrXYAPixXSd59LsU29xUJtuW4o2dNNg5Y2Co=",
            "5jLpqTgjsBDSEX6SgZiRnbTMdTuRd8bQ5tSsAOxe0Ks=",
        ]
    );
    assert_eq!(
        verify_inclusion(&leaves[4], 4, 15, &inclusion, &root_15),
        Ok(())
    );
    let consistency = prove_consistency(&leaves, 7, 15);
    assert_eq!(
        base64(&consistency),
        [
            "2Q0P5jSR+TdkwdXWyx+GbBWX0KZbNZkWzCjyTPSozsw=",
            "ThcgoV2DYcK+VCxBUDWAlNxmLy2r7dq7dK7+OlgQKWs=",
            "ycRkkNklus5eMVRUvkD1pK321vMrA+jjOiZKU8aOcY4=",
            "zY1lN35vrXYAPixXSd59LsU29xUJtuW4o2dNNg5Y2Co=",
            "5jLpqTgjsBDSEX6SgZiRnbTMdTuRd8bQ5tSsAOxe0Ks=",
        ]
    );
    assert_eq!(
        verify_consistency(7, 15, &consistency, &root(&leaves[..7]), &root_15),
        Ok(())
    );
}

/// A case of transparency-dev/merkle: `tests/vectors/journal/README.md` says which.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    #[serde(alias = "leafIdx", alias = "size1")]
    first: u64,
    #[serde(alias = "treeSize", alias = "size2")]
    second: u64,
    #[serde(alias = "leafHash", alias = "root1")]
    one: String,
    #[serde(alias = "root", alias = "root2")]
    other: String,
    proof: Vec<String>,
    desc: String,
    want_err: bool,
}

impl Case {
    /// Tries every case of a file; gives how many they were.
    fn all(file: &str, refused: impl Fn(&Self) -> bool) -> usize {
        let lines = std::fs::read_to_string(format!("../../tests/vectors/journal/merkle/{file}"));
        let lines = lines.expect("vectors");
        for line in lines.lines() {
            let case: Self = serde_json::from_str(line).expect("a case");
            assert_eq!(refused(&case), case.want_err, "{}: {line}", case.desc);
        }
        lines.lines().count()
    }

    fn proof(&self) -> Option<Vec<Hash>> {
        self.proof.iter().map(|hash| hash_in(hash)).collect()
    }
}

fn hash_in(base64: &str) -> Option<Hash> {
    STANDARD.decode(base64).ok()?.try_into().ok()
}

#[test]
fn inclusion_cases_of_transparency_dev() {
    let cases = Case::all("inclusion.jsonl", |case| {
        let (leaf, root) = (hash_in(&case.one), hash_in(&case.other));
        // What is not 32 bytes long cannot even be asked about.
        let (Some(leaf), Some(root), Some(proof)) = (leaf, root, case.proof()) else {
            return true;
        };
        verify_inclusion(&leaf, case.first, case.second, &proof, &root).is_err()
    });
    assert_eq!(cases, 98);
}

#[test]
fn consistency_cases_of_transparency_dev() {
    let cases = Case::all("consistency.jsonl", |case| {
        // Theirs refuse to say that a log goes on from nothing; here nothing must have nothing's root.
        if case.desc == "size1 is zero and size2 is not zero" {
            return true;
        }
        // Some roots are words; they are compared alone, so their digests do as well.
        let root = |root: &String| hash_in(root).unwrap_or_else(|| kernel::sha256(root.as_bytes()));
        let Some(proof) = case.proof() else {
            return true;
        };
        let (old, new) = (root(&case.one), root(&case.other));
        verify_consistency(case.first, case.second, &proof, &old, &new).is_err()
    });
    assert_eq!(cases, 98);
}

/// The tree as `tlog_tiles` stores it.
struct Theirs(Vec<tlog_tiles::Hash>);

impl HashReader for Theirs {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes
            .iter()
            .map(|at| self.0[usize::try_from(*at).expect("small")])
            .collect())
    }
}

#[test]
fn proofs_are_those_of_tlog_tiles() {
    let leaves = leaves(70);
    let mut theirs = Theirs(vec![]);
    for n in 0..70_u64 {
        let more = stored_hashes(n, &n.to_be_bytes(), &theirs).expect("their own hashes");
        theirs.0.extend(more);
    }
    for size in 1..=70_u64 {
        let whole = &leaves[..usize::try_from(size).expect("small")];
        assert_eq!(
            tlog_tiles::tree_hash(size, &theirs).expect("hashes").0,
            root(whole)
        );
        for n in 0..size {
            let their = tlog_tiles::prove_record(size, n, &theirs).expect("proof");
            let mine = prove_inclusion(&leaves, n, size);
            assert_eq!(
                mine,
                their.iter().map(|hash| hash.0).collect::<Vec<_>>(),
                "{n} in {size}"
            );
            if n > 0 {
                let their = tlog_tiles::prove_tree(size, n, &theirs).expect("proof");
                let mine = prove_consistency(&leaves, n, size);
                assert_eq!(
                    mine,
                    their.iter().map(|hash| hash.0).collect::<Vec<_>>(),
                    "{n} to {size}"
                );
            }
        }
    }
}

#[test]
fn the_ends_of_the_numbers_do_not_overflow() {
    let max = u64::MAX;
    assert_eq!(inclusion_ranges(max - 1, max).expect("inside").len(), 63);
    assert_eq!(inclusion_ranges(max, max), None);
    assert_eq!(consistency_ranges(max, max), Some(vec![]));
    assert!(consistency_ranges(max - 1, max).is_some());
    assert_eq!(consistency_ranges(2, 1), None);
    let (hash, proof) = ([0; 32], [[0; 32]; 70]);
    assert_eq!(
        verify_inclusion(&hash, 0, 0, &[], &hash),
        Err(ProofError::Shape)
    );
    assert!(verify_inclusion(&hash, max - 1, max, &proof, &hash).is_err());
    assert!(verify_consistency(max - 1, max, &proof, &hash, &hash).is_err());
    assert!(verify_consistency(1 << 63, max, &proof, &hash, &hash).is_err());
    assert_eq!(verify_consistency(0, 9, &[], &empty_root(), &hash), Ok(()));
    assert_eq!(
        verify_consistency(0, 9, &[], &hash, &hash),
        Err(ProofError::Root)
    );
    assert_eq!(
        verify_consistency(9, 0, &[], &hash, &empty_root()),
        Err(ProofError::Shape)
    );
}

proptest! {
    #[test]
    fn every_proof_verifies_and_no_flipped_bit_does(
        size in 1_u64..400, a: u64, b: u64, flip: prop::sample::Index,
    ) {
        let leaves = leaves(size);
        let root_of = |n: u64| root(&leaves[..usize::try_from(n).expect("small")]);
        let (index, old) = (a % size, b % (size + 1));
        let leaf = leaves[usize::try_from(index).expect("small")];
        let proof = prove_inclusion(&leaves, index, size);
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &root_of(size)), Ok(()));
        for other in [index + 1, index ^ 1, size - 1 - index] {
            let fails = verify_inclusion(&leaf, other, size, &proof, &root_of(size)).is_err();
            prop_assert!(fails || other == index);
        }
        if !proof.is_empty() {
            let mut wrong = proof.clone();
            let bit = flip.index(wrong.len() * 256);
            wrong[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
            prop_assert!(verify_inclusion(&leaf, index, size, &wrong, &root_of(size)).is_err());
            prop_assert!(verify_inclusion(&leaf, index, size, &proof[1..], &root_of(size)).is_err());
        }
        let longer = [&proof[..], &[leaf]].concat();
        prop_assert!(verify_inclusion(&leaf, index, size, &longer, &root_of(size)).is_err());

        let proof = prove_consistency(&leaves, old, size);
        let verify = |proof: &[Hash], old_root| {
            verify_consistency(old, size, proof, &old_root, &root_of(size))
        };
        prop_assert_eq!(verify(&proof, root_of(old)), Ok(()));
        prop_assert!(verify(&proof, [0; 32]).is_err());
        prop_assert!(verify(&[&proof[..], &[leaf]].concat(), root_of(old)).is_err());
        if !proof.is_empty() {
            let mut wrong = proof.clone();
            let bit = flip.index(wrong.len() * 256);
            wrong[bit / 256][bit % 256 / 8] ^= 1 << (bit % 8);
            prop_assert!(verify(&wrong, root_of(old)).is_err());
        }
    }
}
