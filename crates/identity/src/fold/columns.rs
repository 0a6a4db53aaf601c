//! Columns of `agents` that documents and acts set; per column the later one wins.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What a registration file says of its agent. A file says all of them: an absent one is empty.
const DOCUMENT: [&str; 8] = [
    "name",
    "description",
    "endpoint_url",
    "avatar_url",
    "category",
    "summary",
    "version",
    "metadata",
];

/// Where a column's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The registration file.
    Document,
    /// An operator's act.
    Act,
    /// What the owner or the key signed.
    Statement,
    /// A contract's own word, of an agent without a token.
    Chain,
}

/// Values by column name; a column that nothing set is absent, one that was emptied is null.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Columns(BTreeMap<String, (Value, Source)>);

impl Columns {
    /// Empties what the file before said, and what acts had said of the same columns before it.
    pub(super) fn clear_document(&mut self) {
        for column in DOCUMENT {
            self.0.remove(column);
        }
    }

    pub(super) fn apply_document(&mut self, fields: &BTreeMap<String, Value>) {
        for column in DOCUMENT {
            if let Some(value) = fields.get(column) {
                self.0
                    .insert(column.to_owned(), (value.clone(), Source::Document));
            }
        }
    }

    pub(super) fn apply_act(&mut self, changes: &BTreeMap<String, Value>) {
        for (column, value) in changes {
            if !is_time(column) && !is_status(column) {
                self.0.insert(column.clone(), (value.clone(), Source::Act));
            }
        }
    }

    pub(super) fn apply_statement(&mut self, column: &str, value: &Value) {
        self.0
            .insert(column.to_owned(), (value.clone(), Source::Statement));
    }

    pub(super) fn apply_chain(&mut self, column: &str, value: Value) {
        self.0.insert(column.to_owned(), (value, Source::Chain));
    }

    /// A text column; null and absent are the same.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.0.get(column).and_then(|(value, _)| value.as_str())
    }

    /// Any column.
    pub fn value(&self, column: &str) -> Option<&Value> {
        self.0
            .get(column)
            .map(|(value, _)| value)
            .filter(|value| !value.is_null())
    }

    /// Where a column's value comes from, where it has one.
    pub fn source(&self, column: &str) -> Option<Source> {
        self.0
            .get(column)
            .filter(|(value, _)| !value.is_null())
            .map(|(_, source)| *source)
    }
}

/// The longest text that an entry holds itself, in bytes.
const SHOWN: usize = 1024;

/// A value as the journal says it: short text, integers, booleans and null as they are, anything
/// else by its digest. Floats, which canonical encodings disagree about, as text.
pub(crate) fn journal_value(value: Value) -> Value {
    match value {
        // Integers above 2^53 are strings, because readers of JSON round them; so are floats.
        Value::Number(number) if number.as_i64().is_none_or(|n| n.unsigned_abs() > 1 << 53) => {
            json!(number.to_string())
        }
        Value::String(text) if text.len() > SHOWN => digest(text.as_bytes()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
        Value::Array(_) | Value::Object(_) => digest(value.to_string().as_bytes()),
    }
}

fn digest(bytes: &[u8]) -> Value {
    json!({ "sha256": hex::encode(kernel::sha256(bytes)) })
}

/// Whether a column is one of VEXEL's times, which an INSERT says and nobody else.
pub(super) fn is_time(column: &str) -> bool {
    matches!(column, "created_at" | "updated_at" | "last_active_at")
}

/// Whether a column is one of the status dimensions, which have a history of their own.
pub(super) fn is_status(column: &str) -> bool {
    matches!(
        column,
        "runtime_status" | "admin_status" | "load" | "liveness"
    )
}

pub(super) fn time_of(changes: &BTreeMap<String, Value>, column: &str) -> Option<DateTime<Utc>> {
    let text = changes.get(column)?.as_str()?;
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| time.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_says_what_readers_of_json_agree_about_and_the_rest_by_its_digest() {
        let (short, long) = ("x".repeat(SHOWN), "x".repeat(SHOWN + 1));
        let list = json!([{ "b": 1, "a": 2 }]);
        for (value, said) in [
            (json!(null), json!(null)),
            (json!(true), json!(true)),
            (json!(1_u64 << 53), json!(9_007_199_254_740_992_u64)),
            (json!((1_u64 << 53) + 1), json!("9007199254740993")),
            (json!(-(1_i64 << 53) - 1), json!("-9007199254740993")),
            (json!(u64::MAX), json!("18446744073709551615")),
            (json!(1.5), json!("1.5")),
            (json!(short), json!(short)),
            (json!(long), digest(long.as_bytes())),
            (list, digest(br#"[{"a":2,"b":1}]"#)),
        ] {
            assert_eq!(journal_value(value.clone()), said, "{value}");
        }
    }
}
