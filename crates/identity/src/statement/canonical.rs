//! Canonical JSON (RFC 8785) without floats: one value has one text, and a text that is not it is
//! refused, because whoever signed it saw other bytes than those that are kept.

use serde_json::Value;

/// Nested deeper than this, a content is refused.
const MAX_DEPTH: usize = 16;
/// Integers beyond are rounded by readers of JSON (RFC 7493).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Why a text is not the canonical form of a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// No JSON.
    #[error("it is no JSON: {0}")]
    Json(String),
    /// A number that has not one form.
    #[error("{0} is a float or larger than 2^53 - 1: write it as text")]
    Number(String),
    /// Nested without end.
    #[error("it is nested deeper than {MAX_DEPTH}")]
    Depth,
    /// Postgres holds no U+0000.
    #[error("it has the character U+0000 in it")]
    Nul,
    /// The value is right, its text is not.
    #[error("it is not in canonical form (RFC 8785), which is: {0}")]
    Form(String),
}

/// Reads a canonical text.
pub fn parse(text: &str) -> Result<Value, CanonicalError> {
    let value: Value =
        serde_json::from_str(text).map_err(|error| CanonicalError::Json(error.to_string()))?;
    check(&value, 0)?;
    let form = write(&value);
    if form == text {
        Ok(value)
    } else {
        Err(CanonicalError::Form(form))
    }
}

/// Checks that a value has a canonical text.
pub fn check(value: &Value, depth: usize) -> Result<(), CanonicalError> {
    let text = |text: &str| {
        if text.contains('\0') {
            Err(CanonicalError::Nul)
        } else {
            Ok(())
        }
    };
    if depth > MAX_DEPTH {
        return Err(CanonicalError::Depth);
    }
    match value {
        Value::Number(number) => {
            let size = number
                .as_i64()
                .map(i64::unsigned_abs)
                .or_else(|| number.as_u64());
            match size {
                Some(size) if size <= MAX_INTEGER => Ok(()),
                _ => Err(CanonicalError::Number(number.to_string())),
            }
        }
        Value::String(string) => text(string),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1)),
        Value::Object(map) => map.iter().try_for_each(|(key, item)| {
            text(key)?;
            check(item, depth + 1)
        }),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

/// The canonical text of a value that [`check`] took.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    push(value, &mut out);
    out
}

fn push(value: &Value, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                push(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            // RFC 8785 orders keys by UTF-16 code units.
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (place, (key, item)) in members.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                push(item, out);
            }
            out.push('}');
        }
        // Escapes and integers of serde_json are those of RFC 8785.
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use did::{ed25519, zynd};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What Zynd's registry gets signed, and its signature by the first child.
    #[test]
    fn zynds_registration_has_these_bytes() {
        let mut registration = json!({
            "name": "CodeReviewBot <v2> & é",
            "entity_url": "https://agent.example.com",
            "category": "developer-tools",
            "tags": ["python", "security"],
            "summary": "Reviews code",
            "public_key": "ed25519:mwQvTmA+9sTEzmEnfiw4jRtFf5PZO6mAEDFEFUrp/C0=",
        });
        let bytes = write(&registration);
        assert_eq!(
            bytes,
            r#"{"category":"developer-tools","entity_url":"https://agent.example.com","name":"CodeReviewBot <v2> & é","public_key":"ed25519:mwQvTmA+9sTEzmEnfiw4jRtFf5PZO6mAEDFEFUrp/C0=","summary":"Reviews code","tags":["python","security"]}"#
        );
        assert_eq!(
            hex::encode(kernel::sha256(bytes.as_bytes())),
            "040316d4d57bcd7b562615006585ed2d956d090da7fcdb4c477dbb4498774404"
        );
        let seed: Vec<u8> = (0..32).collect();
        let seed: [u8; 32] = seed.try_into().expect("32 bytes");
        let developer = ed25519::SecretKey::from_seed(&seed);
        let key = zynd::child(&developer, zynd::Era::Current, 0);
        let sign = |text: &str| ed25519::signature_wire(&key.sign(text.as_bytes()));
        assert_eq!(
            sign(&bytes),
            "ed25519:TzpheuCHjVAvyNzUwhOm+DHRs9rmNt1M0w0aJpvXLUr5I8vbZ5G7ZjYe6qKaT6+5JA7TmGErjsCJ5Q3SLfqQAw=="
        );
        registration["entity_type"] = json!("agent");
        assert_eq!(
            sign(&write(&registration)),
            "ed25519:vzP7ufZpy6yhMkhSGN4HfNMKrIEkOLx8dvws8itULxfvYOidwwywiK1sWl1tQaYnS8c/ZkIwFUAiF6YFTAX9Cg=="
        );
    }

    /// RFC 8785, section 3.2.3.
    #[test]
    fn keys_stand_in_the_order_of_utf16() {
        let value = json!({
            "\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7,
        });
        let text = write(&value);
        let places: Vec<usize> = [
            "\\r",
            "\"1\"",
            "\u{80}",
            "\u{f6}",
            "\u{20ac}",
            "\u{1f600}",
            "\u{fb33}",
        ]
        .iter()
        .map(|key| text.find(key).expect("there"))
        .collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn what_has_not_one_form_is_refused() {
        for (text, why) in [
            ("{", "no JSON"),
            ("1.5", "float"),
            ("1e3", "float"),
            ("9007199254740992", "2^53"),
            ("-9007199254740992", "2^53"),
            ("\"\\u0000\"", "U+0000"),
            ("{\"b\":1,\"a\":2}", r#"{"a":2,"b":1}"#),
            ("{ \"a\":1}", r#"{"a":1}"#),
            ("{\"a\":1,\"a\":1}", r#"{"a":1}"#),
            ("\"\\/\"", "canonical"),
            ("\"\\u00e9\"", "canonical"),
            ("-0", "float"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        let deep = "[".repeat(40) + &"]".repeat(40);
        assert_eq!(parse(&deep), Err(CanonicalError::Depth));
        assert!(parse("9007199254740991").is_ok());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1i64 << 53) + 1..(1i64 << 53)).prop_map(Value::from),
            "[^\0]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[^\0]{0,6}", inner, 0..5)
                    .prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_has_one_text_and_is_read_from_it(value in any_value()) {
            prop_assert_eq!(parse(&write(&value)), Ok(value));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,300}") {
            let _ = parse(&text);
        }
    }
}
