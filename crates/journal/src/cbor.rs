//! Canonical DAG-CBOR, written straight into the bytes of an entry. `kernel` encodes the same through serde, with
//! a buffer for each map and value; an entry holds a dozen texts and is written by the ten thousand.

use serde_json::Value;

/// Major types of RFC 8949.
const POSITIVE: u8 = 0;
const NEGATIVE: u8 = 1;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;

/// The head of an item: its major type, and its number or length in the shortest form.
fn head(out: &mut Vec<u8>, major: u8, number: u64) {
    let major = major << 5;
    let bytes = number.to_be_bytes();
    match number {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend_from_slice(&[major | 0x18, bytes[7]]),
        0x100..=0xffff => out.extend_from_slice(&[major | 0x19, bytes[6], bytes[7]]),
        0x1_0000..=0xffff_ffff => {
            out.push(major | 0x1a);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 0x1b);
            out.extend_from_slice(&bytes);
        }
    }
}

pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    ascii(out, text.as_bytes());
}

/// A text of bytes that are known to be one.
pub(crate) fn ascii(out: &mut Vec<u8>, text: &[u8]) {
    head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text);
}

pub(crate) fn null(out: &mut Vec<u8>) {
    out.push(0xf6);
}

pub(crate) fn number(out: &mut Vec<u8>, number: u64) {
    head(out, POSITIVE, number);
}

/// The head of a list; its items follow.
pub(crate) fn list(out: &mut Vec<u8>, length: usize) {
    head(out, LIST, length as u64);
}

/// The head of a map; its keys, in their order, and values follow.
pub(crate) fn map(out: &mut Vec<u8>, length: usize) {
    head(out, MAP, length as u64);
}

/// Any JSON but floats, which a caller has refused.
pub(crate) fn value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => null(out),
        Value::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
        Value::Number(value) => match (value.as_u64(), value.as_i64()) {
            (Some(positive), _) => number(out, positive),
            // -1 is 0, -2 is 1, and so on.
            (None, Some(negative)) => head(out, NEGATIVE, !negative.cast_unsigned()),
            (None, None) => null(out),
        },
        Value::String(value) => text(out, value),
        Value::Array(items) => {
            list(out, items.len());
            for item in items {
                self::value(out, item);
            }
        }
        Value::Object(items) => {
            map(out, items.len());
            let mut items: Vec<_> = items.iter().collect();
            items.sort_unstable_by_key(|(key, _)| (key.len(), *key));
            for (key, item) in items {
                text(out, key);
                self::value(out, item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::to_dag_cbor;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (any::<u64>(), 0_u32..64).prop_map(|(n, shift)| Value::from(n >> shift)),
            ".{0,300}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 40, 30, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..30).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..30)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    #[test]
    fn heads_are_the_shortest() {
        for (number, bytes) in [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (255, "18ff"),
            (256, "190100"),
            (65_536, "1a00010000"),
            (u64::MAX, "1bffffffffffffffff"),
        ] {
            let mut out = Vec::new();
            value(&mut out, &json!(number));
            assert_eq!(hex::encode(out), bytes);
        }
    }

    proptest! {
        #[test]
        fn it_is_what_serde_writes(json in any_value()) {
            let mut out = Vec::new();
            value(&mut out, &json);
            prop_assert_eq!(out, to_dag_cbor(&json).expect("encodes"));
        }
    }
}
