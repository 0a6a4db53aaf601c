//! Proofs of inclusion and of consistency (RFC 9162 §2.1.3, §2.1.4; RFC 6962 §2.1.1, §2.1.2).
//!
//! Making a proof is naming the ranges of leaves whose hashes it consists of; who stores the tree
//! (`log.rs`) hashes those. Verifying needs nothing but the proof.

use std::ops::Range;

use crate::tree::{Hash, empty_root, node_hash, split};

/// A proof that proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Sizes, index and number of hashes do not fit together.
    #[error("the proof has the wrong shape for these sizes")]
    Shape,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// The ranges whose hashes prove that leaf `index` is in the tree of `size` leaves, in the order of the
/// proof. `None` where the tree has no such leaf.
pub fn inclusion_ranges(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let (mut low, mut high) = (0, size);
    let mut ranges = Vec::new();
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            ranges.push(middle..high);
            high = middle;
        } else {
            ranges.push(low..middle);
            low = middle;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The ranges whose hashes prove that the tree of `new` leaves begins with that of `old` leaves, in
/// the order of the proof. `None` where `old` is more than `new`; nothing to hash where one is empty.
pub fn consistency_ranges(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old > new {
        return None;
    }
    let (mut low, mut high) = (0, new);
    let mut ranges = Vec::new();
    if old == 0 {
        return Some(ranges);
    }
    while high > old {
        let middle = low + split(high - low);
        if old <= middle {
            ranges.push(middle..high);
            high = middle;
        } else {
            ranges.push(low..middle);
            low = middle;
        }
    }
    // Whoever asks knows the old root; any other node that the proof starts from must be in it.
    if low > 0 {
        ranges.push(low..high);
    }
    ranges.reverse();
    Some(ranges)
}

/// Checks that `leaf` is leaf `index` of the tree with `size` leaves and this root (RFC 9162 §2.1.3.2).
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Shape);
    }
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Shape);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Shape);
    }
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Checks that the tree of `new` leaves begins with that of `old` leaves (RFC 9162 §2.1.4.2).
/// Every tree begins with the empty one, which needs no proof but must have the empty root.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    if old == 0 || old >= new {
        if old > new || !proof.is_empty() {
            return Err(ProofError::Shape);
        }
        let same = if old == new {
            old_root == new_root
        } else {
            *old_root == empty_root()
        };
        return if same { Ok(()) } else { Err(ProofError::Root) };
    }
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::Shape)?
    };
    let (mut at, mut last) = (old - 1, new - 1);
    let shift = at.trailing_ones();
    at >>= shift;
    last >>= shift;
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Shape);
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Shape);
    }
    if old_hash == *old_root && new_hash == *new_root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

#[cfg(test)]
pub(crate) mod tests;
