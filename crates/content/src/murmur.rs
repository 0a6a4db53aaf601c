//! The hash that spreads names over a sharded directory.

/// The first 64 bits of MurmurHash3 x64-128 with seed 0 (Austin Appleby; multihash `murmur3-x64-64`, 0x22).
pub(crate) fn murmur3(bytes: &[u8]) -> u64 {
    const A: u64 = 0x87c3_7b91_1142_53d5;
    const B: u64 = 0x4cf5_ad43_2745_937f;
    let first = |word: u64| word.wrapping_mul(A).rotate_left(31).wrapping_mul(B);
    let second = |word: u64| word.wrapping_mul(B).rotate_left(33).wrapping_mul(A);
    let (mut h1, mut h2) = (0_u64, 0_u64);
    let (blocks, tail) = bytes.as_chunks::<16>();
    for block in blocks {
        let (low, high) = words(block);
        h1 = (h1 ^ first(low)).rotate_left(27).wrapping_add(h2);
        h1 = h1.wrapping_mul(5).wrapping_add(0x52dc_e729);
        h2 = (h2 ^ second(high)).rotate_left(31).wrapping_add(h1);
        h2 = h2.wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    // Zeros change neither half, so a tail counts as a block that is filled up with them.
    let mut last = [0; 16];
    last[..tail.len()].copy_from_slice(tail);
    let (low, high) = words(&last);
    let length = bytes.len() as u64;
    h1 ^= first(low) ^ length;
    h2 ^= second(high) ^ length;
    h1 = h1.wrapping_add(h2);
    h2 = h2.wrapping_add(h1);
    mixed(h1).wrapping_add(mixed(h2))
}

fn words(block: &[u8; 16]) -> (u64, u64) {
    let whole = u128::from_le_bytes(*block);
    let low = u64::try_from(whole & u128::from(u64::MAX)).unwrap_or_default();
    (low, u64::try_from(whole >> 64).unwrap_or_default())
}

fn mixed(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests of github.com/spaolacci/murmur3, which Kubo uses.
    #[test]
    fn hashes_are_those_of_other_implementations() {
        for (text, hash) in [
            ("", 0),
            ("hello", 0xcbd8_a7b3_41bd_9b02),
            ("hello, world", 0x342f_ac62_3a5e_bc8e),
            ("19 Jan 2038 at 3:14:07 AM", 0xb89e_5988_b737_affc),
            (
                "The quick brown fox jumps over the lazy dog.",
                0xcd99_481f_9ee9_02c9,
            ),
        ] {
            assert_eq!(murmur3(text.as_bytes()), hash, "{text}");
        }
    }
}
