//! Just enough of Solidity's encoding.

/// A list of `string` and `bytes`.
pub(super) fn encode(values: &[&[u8]]) -> Vec<u8> {
    let tails: usize = values
        .iter()
        .map(|value| 32 + value.len().next_multiple_of(32))
        .sum();
    let mut out = Vec::with_capacity(values.len() * 32 + tails);
    let mut tail = values.len() * 32;
    for value in values {
        out.extend_from_slice(&number(tail));
        tail += 32 + value.len().next_multiple_of(32);
    }
    for value in values {
        out.extend_from_slice(&number(value.len()));
        out.extend_from_slice(value);
        out.resize(out.len().next_multiple_of(32), 0);
    }
    out
}

fn number(value: usize) -> [u8; 32] {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&(value as u64).to_be_bytes());
    word
}
