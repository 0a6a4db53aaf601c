//! The Merkle tree of RFC 6962 §2.1 (RFC 9162 §2.1 is the same tree) over the exact bytes of entries.
//!
//! A leaf is `SHA-256(0x00 || entry)`, a node `SHA-256(0x01 || left || right)`, and a tree of n leaves is
//! split at the largest power of two below n. So each range that RFC 6962 hashes falls into *perfect*
//! subtrees, whose hashes never change again; those are what is stored.

use std::ops::Range;

use kernel::{sha256, sha256_pair};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The perfect subtree over the leaves `index << level .. (index + 1) << level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// Log2 of the number of leaves.
    pub level: u8,
    /// Place among the subtrees of this level.
    pub index: u64,
}

/// The hash of an entry as a leaf. Not the digest in its CID, which has no prefix.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256_pair(0, entry, &[])
}

/// The hash over two neighbours.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256_pair(1, left, right)
}

/// The root of the empty tree.
pub fn empty_root() -> Hash {
    sha256(b"")
}

/// The largest power of two below `n`, where RFC 6962 splits a tree of `n` leaves (`n` at least 2).
pub(crate) fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The perfect subtrees that cover a range, left to right. The range must be one that RFC 6962
/// hashes: its start a multiple of the largest power of two that is at most its length.
pub fn peaks(range: Range<u64>) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut start = range.start;
    while start < range.end {
        let level = (range.end - start).ilog2();
        nodes.push(Node {
            level: u8::try_from(level).unwrap_or(63),
            index: start >> level,
        });
        start += 1 << level;
    }
    nodes
}

/// The hash of a range from those of its [`peaks`]; the empty tree's root where there are none.
pub fn fold_peaks(hashes: &[Hash]) -> Hash {
    let mut right_to_left = hashes.iter().rev();
    match right_to_left.next() {
        None => empty_root(),
        Some(last) => right_to_left.fold(*last, |right, left| node_hash(left, &right)),
    }
}

/// The root of a tree over these leaf hashes.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut peaks: Vec<Hash> = Vec::new();
    for (count, leaf) in (1_u64..).zip(leaves) {
        let mut hash = *leaf;
        for _ in 0..count.trailing_zeros() {
            if let Some(left) = peaks.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        peaks.push(hash);
    }
    fold_peaks(&peaks)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition of RFC 6962 §2.1, word for word: the oracle of everything else here.
    pub(crate) fn mth(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            _ => {
                let mut k = 1;
                while k * 2 < leaves.len() {
                    k *= 2;
                }
                node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
            }
        }
    }

    pub(crate) fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    /// Leaves and roots of certificate-transparency's reference implementation.
    #[test]
    fn rfc_6962_roots_of_sizes_0_to_8() {
        let entries = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        let leaves: Vec<Hash> = entries
            .iter()
            .map(|hex| leaf_hash(&hex::decode(hex).expect("hex")))
            .collect();
        let want = [
            ("e3b0c442", "b855"),
            ("6e340b9c", "a01d"),
            ("fac54203", "c125"),
            ("aeb6bcfe", "6e77"),
            ("d37ee418", "14b7"),
            ("4e3bbb1f", "64d4"),
            ("76e67dad", "87ef"),
            ("ddb89be4", "4c8c"),
            ("5dc9da79", "4328"),
        ];
        for (size, (start, end)) in want.iter().enumerate() {
            let hex = hex::encode(root(&leaves[..size]));
            assert!(
                hex.starts_with(start) && hex.ends_with(end),
                "size {size}: {hex}"
            );
        }
        let size_8 = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328";
        assert_eq!(hex::encode(root(&leaves)), size_8);
    }

    proptest! {
        #[test]
        fn folded_peaks_are_the_definition(size in 0_u64..600) {
            let leaves = leaves(size);
            prop_assert_eq!(root(&leaves), mth(&leaves));
            let hashes: Vec<Hash> = peaks(0..size)
                .iter()
                .map(|node| {
                    let (from, to) = (node.index << node.level, (node.index + 1) << node.level);
                    mth(&leaves[usize::try_from(from).expect("small")..usize::try_from(to).expect("small")])
                })
                .collect();
            prop_assert_eq!(fold_peaks(&hashes), mth(&leaves));
        }
    }

    #[test]
    fn the_largest_tree_has_peaks_too() {
        assert_eq!(peaks(0..u64::MAX).len(), 64);
        assert_eq!(split(2), 1);
        assert_eq!(split(u64::MAX), 1 << 63);
    }
}
