//! SHA-256, the digest of everything that is not an Ethereum structure.

use sha2::{Digest, Sha256};

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-256 of `prefix || left || right`, without copying them together.
pub fn sha256_pair(prefix: u8, left: &[u8], right: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([prefix]);
    hasher.update(left);
    hasher.update(right);
    hasher.finalize().into()
}
