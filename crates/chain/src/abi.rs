//! Strict reading of ABI-encoded log data, without copies.
//!
//! The generated decoders would refuse strings that are not UTF-8, but contracts emit them and the
//! state holds them; so dynamic values are read as the bytes that they are.

use kernel::{Address, B256, Bytes, U256};

/// Why some bytes are not the encoding that the event's signature promises.
pub(crate) type Why = &'static str;

/// Word number `index` of `data`.
pub(crate) fn word(data: &[u8], index: usize) -> Result<B256, Why> {
    let start = index.checked_mul(32).ok_or("the data is too short")?;
    let end = start.checked_add(32).ok_or("the data is too short")?;
    data.get(start..end)
        .map(B256::from_slice)
        .ok_or("the data is too short")
}

/// The dynamic value (`string` or `bytes`) whose offset stands in word `index`; it shares `data`'s
/// memory. Padding behind the value is not asked for: it carries nothing.
pub(crate) fn dynamic(data: &Bytes, index: usize) -> Result<Bytes, Why> {
    let offset = small(word(data, index)?).ok_or("an offset leaves the data")?;
    let tail = data.get(offset..).ok_or("an offset leaves the data")?;
    let length = word(tail, 0).map_err(|_| "an offset leaves the data")?;
    let length = small(length).ok_or("a length leaves the data")?;
    let start = offset + 32;
    let end = start.checked_add(length).filter(|end| *end <= data.len());
    Ok(data.slice(start..end.ok_or("a length leaves the data")?))
}

/// An address in a word, whose first twelve bytes must be zero.
pub(crate) fn address(word: B256) -> Result<Address, Why> {
    if word[..12].iter().any(|byte| *byte != 0) {
        return Err("an address has more than 20 bytes");
    }
    Ok(Address::from_word(word))
}

/// A `uint8` in a word.
pub(crate) fn byte(word: B256) -> Result<u8, Why> {
    U256::from_be_bytes(word.0)
        .try_into()
        .map_err(|_| "a uint8 is larger than 255")
}

/// A `bool` in a word.
pub(crate) fn boolean(word: B256) -> Result<bool, Why> {
    match byte(word) {
        Ok(0) => Ok(false),
        Ok(1) => Ok(true),
        _ => Err("a bool is neither 0 nor 1"),
    }
}

fn small(word: B256) -> Option<usize> {
    U256::from_be_bytes(word.0).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(words: &[u64], tail: &[u8]) -> Bytes {
        let mut bytes: Vec<u8> = words
            .iter()
            .flat_map(|word| U256::from(*word).to_be_bytes::<32>())
            .collect();
        bytes.extend_from_slice(tail);
        bytes.into()
    }

    #[test]
    fn a_dynamic_value_is_the_bytes_that_it_is() {
        let data = encoded(&[32, 4], b"a\0\xff\x80rest");
        assert_eq!(dynamic(&data, 0), Ok(Bytes::from_static(b"a\0\xff\x80")));
        assert_eq!(dynamic(&encoded(&[32, 0], b""), 0), Ok(Bytes::new()));
    }

    #[test]
    fn ten_megabytes_are_not_copied() {
        let data = encoded(&[32, 10_000_000], &vec![7; 10_000_000]);
        let value = dynamic(&data, 0).expect("within");
        assert_eq!(value.as_ptr(), data[64..].as_ptr());
    }

    #[test]
    fn what_leaves_the_data_is_refused() {
        for (words, tail) in [
            (&[][..], &b""[..]),
            (&[32], b""),
            (&[33, 0], b""),
            (&[u64::MAX, 0], b""),
            (&[32, 5], b"four"),
            (&[32, u64::MAX], b""),
        ] {
            assert!(dynamic(&encoded(words, tail), 0).is_err(), "{words:?}");
        }
        assert!(dynamic(&vec![0xff; 64].into(), 0).is_err());
    }
}
