//! Text from outside, made fit for Postgres, which refuses U+0000; and text for people's shells.

use std::path::Path;

use alloy_primitives::hex;
use serde_json::Value;

/// A value that may have been altered on its way in, and whether it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Clean<T> {
    /// What can be stored.
    pub value: T,
    /// Whether it differs from what came.
    pub altered: bool,
}

/// UTF-8 text of `bytes`; invalid sequences and U+0000 (which Postgres refuses) become U+FFFD.
pub fn clean_text(bytes: &[u8]) -> Clean<String> {
    let lossy = String::from_utf8_lossy(bytes);
    let altered = matches!(lossy, std::borrow::Cow::Owned(_)) || lossy.contains('\0');
    let value = if lossy.contains('\0') {
        lossy.replace('\0', "\u{fffd}")
    } else {
        lossy.into()
    };
    Clean { value, altered }
}

/// Lower-case hex with `0x` before it.
pub fn hex_0x(bytes: &[u8]) -> String {
    hex::encode_prefixed(bytes)
}

/// Appends the same to a text.
pub fn push_hex_0x<const N: usize>(out: &mut String, bytes: &[u8; N]) {
    out.push_str(hex::Buffer::<N, true>::new().format(bytes));
}

/// A path as it stands in a command that somebody copies into a POSIX shell: one word there, and no option.
pub fn shell_path(path: &Path) -> String {
    let text = path.to_string_lossy();
    let here = if text.starts_with('-') { "./" } else { "" };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return format!("{here}{text}");
    }
    format!("'{here}{}'", text.replace('\'', r"'\''"))
}

/// [`clean_text`] for JSON: every string and key is cleaned. Numbers need nothing: without the
/// feature `arbitrary_precision` they are 64-bit, which JSONB always takes.
pub fn clean_json(value: Value) -> Clean<Value> {
    match value {
        Value::String(text) => {
            let clean = clean_text(text.as_bytes());
            Clean {
                value: Value::String(clean.value),
                altered: clean.altered,
            }
        }
        Value::Array(items) => {
            let mut altered = false;
            let items = items
                .into_iter()
                .map(|item| {
                    let clean = clean_json(item);
                    altered |= clean.altered;
                    clean.value
                })
                .collect();
            Clean {
                value: Value::Array(items),
                altered,
            }
        }
        Value::Object(map) => {
            let mut altered = false;
            let map = map
                .into_iter()
                .map(|(key, item)| {
                    let key = clean_text(key.as_bytes());
                    let item = clean_json(item);
                    altered |= key.altered || item.altered;
                    (key.value, item.value)
                })
                .collect();
            Clean {
                value: Value::Object(map),
                altered,
            }
        }
        other => Clean {
            value: other,
            altered: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_lower_case_with_a_prefix() {
        assert_eq!(hex_0x(&[]), "0x");
        assert_eq!(hex_0x(&[0, 0xab]), "0x00ab");
        let mut text = "at ".to_owned();
        push_hex_0x(&mut text, &[0xff, 1]);
        assert_eq!(text, "at 0xff01");
    }

    #[test]
    fn a_path_is_one_word_of_a_command() {
        for (path, word) in [
            ("/home/ada/agent.key", "/home/ada/agent.key"),
            ("agent (1).key", "'agent (1).key'"),
            ("-f", "./-f"),
            ("-f; rm *", "'./-f; rm *'"),
            ("~/$HOME", "'~/$HOME'"),
            ("ada's\nkey", "'ada'\\''s\nkey'"),
            ("schlüssel", "'schlüssel'"),
            ("", "''"),
        ] {
            assert_eq!(shell_path(Path::new(path)), word);
        }
    }

    #[test]
    fn what_postgres_refuses_is_replaced_and_told() {
        assert_eq!(
            clean_text(b"a\0b"),
            Clean {
                value: "a\u{fffd}b".to_owned(),
                altered: true
            }
        );
        assert_eq!(
            clean_text(b"\xff"),
            Clean {
                value: "\u{fffd}".to_owned(),
                altered: true
            }
        );
        assert_eq!(
            clean_text(b"fine"),
            Clean {
                value: "fine".to_owned(),
                altered: false
            }
        );
        let clean = clean_json(serde_json::json!({"k\u{0}": ["\u{0}", 1]}));
        assert_eq!(
            clean.value,
            serde_json::json!({"k\u{fffd}": ["\u{fffd}", 1]})
        );
        assert!(clean.altered);
    }
}
