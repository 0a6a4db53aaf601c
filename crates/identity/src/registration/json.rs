//! Bytes to one JSON value that every reader would read alike and that Postgres takes.
//!
//! serde_json alone would keep the last of two equal keys, round numbers beyond 64 bits and descend
//! 128 levels. So each level is read as raw text first (serde_json checks what it skips without
//! recursion) and descended into only as deep as is allowed.

use std::fmt;

use kernel::clean_text;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Number, Value, value::RawValue};

use super::warning::{Warning, WarningCode, Warnings, member};

/// The deepest nesting of lists and objects.
const DEEPEST: usize = 32;

/// Why a document is malformed; kept apart from the warnings about a readable one.
type Malformed = Warning;

/// The document as JSON; none where it is malformed, which is then one of the warnings.
pub(super) fn read(bytes: &[u8], warnings: &mut Warnings) -> Option<Value> {
    match read_strictly(bytes, warnings) {
        Ok(value) => Some(value),
        Err(why) => {
            warnings.push(why.code, why.pointer, why.message);
            None
        }
    }
}

fn read_strictly(bytes: &[u8], warnings: &mut Warnings) -> Result<Value, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let message = format!("byte {} is not UTF-8", error.valid_up_to());
        malformed(WarningCode::InvalidUtf8, "", message)
    })?;
    let text = match text.strip_prefix('\u{feff}') {
        None => text,
        Some(rest) => {
            warnings.push(
                WarningCode::ByteOrderMark,
                "",
                "the text starts with a byte order mark",
            );
            rest
        }
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(malformed(WarningCode::Empty, "", "the document is empty"));
    }
    if text.starts_with('<') {
        return Err(malformed(
            WarningCode::HtmlPage,
            "",
            "the document is a web page",
        ));
    }
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| invalid("", &error))?;
    value(raw.get(), "", 0, warnings)
}

/// `raw` is the text of one value whose syntax is known to be right.
fn value(
    raw: &str,
    pointer: &str,
    depth: usize,
    warnings: &mut Warnings,
) -> Result<Value, Malformed> {
    match raw.as_bytes().first() {
        Some(b'{' | b'[') if depth == DEEPEST => {
            let message = format!("the document is nested deeper than {DEEPEST} levels");
            Err(malformed(WarningCode::TooDeep, pointer, message))
        }
        Some(b'{') => object(raw, pointer, depth + 1, warnings),
        Some(b'[') => {
            let items: Vec<&RawValue> =
                serde_json::from_str(raw).map_err(|error| invalid(pointer, &error))?;
            let item = |(index, item): (usize, &RawValue)| {
                value(
                    item.get(),
                    &format!("{pointer}/{index}"),
                    depth + 1,
                    warnings,
                )
            };
            Ok(Value::Array(
                items
                    .into_iter()
                    .enumerate()
                    .map(item)
                    .collect::<Result<_, _>>()?,
            ))
        }
        Some(b'"') => {
            let text: String =
                serde_json::from_str(raw).map_err(|error| invalid(pointer, &error))?;
            Ok(Value::String(without_nul(text, pointer, warnings)))
        }
        Some(b'-' | b'0'..=b'9') => Ok(number(raw, pointer, warnings)),
        _ => serde_json::from_str(raw).map_err(|error| invalid(pointer, &error)),
    }
}

fn object(
    raw: &str,
    pointer: &str,
    depth: usize,
    warnings: &mut Warnings,
) -> Result<Value, Malformed> {
    let Members(members) = serde_json::from_str(raw).map_err(|error| invalid(pointer, &error))?;
    let mut map = Map::new();
    for (key, raw) in members {
        let key = without_nul(key, pointer, warnings);
        let place = member(pointer, &key);
        if map.contains_key(&key) {
            return Err(malformed(
                WarningCode::DuplicateKey,
                place,
                "the key is there twice",
            ));
        }
        let value = value(raw.get(), &place, depth, warnings)?;
        map.insert(key, value);
    }
    Ok(Value::Object(map))
}

/// Whole numbers of 64 bits and finite fractions are numbers; anything else keeps its digits as a
/// text, so that an id of 256 bits is not rounded.
fn number(raw: &str, pointer: &str, warnings: &mut Warnings) -> Value {
    let is_whole = !raw.contains(['.', 'e', 'E']);
    let number = if is_whole {
        raw.parse::<i64>()
            .map(Number::from)
            .or_else(|_| raw.parse::<u64>().map(Number::from))
            .ok()
    } else {
        raw.parse().ok().and_then(Number::from_f64)
    };
    number.map_or_else(
        || {
            let message = "the number does not fit 64 bits and was kept as text";
            warnings.push(WarningCode::NumberOutOfRange, pointer, message);
            Value::String(raw.to_owned())
        },
        Value::Number,
    )
}

fn without_nul(text: String, pointer: &str, warnings: &mut Warnings) -> String {
    if !text.contains('\0') {
        return text;
    }
    warnings.push(
        WarningCode::NulReplaced,
        pointer,
        "U+0000 was replaced by U+FFFD",
    );
    clean_text(text.as_bytes()).value
}

fn invalid(pointer: &str, error: &serde_json::Error) -> Malformed {
    malformed(
        WarningCode::InvalidJson,
        pointer,
        format!("the document is no JSON: {error}"),
    )
}

fn malformed(
    code: WarningCode,
    pointer: impl Into<String>,
    message: impl Into<String>,
) -> Malformed {
    Malformed {
        code,
        pointer: pointer.into(),
        message: message.into(),
    }
}

/// The members of one object, equal keys and all.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}
