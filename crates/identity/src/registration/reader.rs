//! Takes one object of a registration file apart, key by key, and tells what it had to bend.

use kernel::U256;
use serde_json::{Map, Value};

use super::warning::{WarningCode, Warnings, member};

/// How long a text may be, and what happens to a longer one.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextLimit {
    characters: usize,
    /// Whether the beginning of a longer text is still worth something.
    cut: bool,
}

/// A name: VARCHAR(255), as in VEXEL's table.
pub(super) const NAME: TextLimit = TextLimit {
    characters: 255,
    cut: true,
};
/// A version, a category.
pub(super) const SHORT: TextLimit = TextLimit {
    characters: 255,
    cut: true,
};
/// A description.
pub(super) const PROSE: TextLimit = TextLimit {
    characters: 65_536,
    cut: true,
};
/// A URL: half of one leads elsewhere.
pub(super) const URL: TextLimit = TextLimit {
    characters: 8_192,
    cut: false,
};

/// The most entries that are read of a list.
const MOST_ITEMS: usize = 256;

/// One object, its place in the document, and the warnings so far. What is read is taken out.
pub(super) struct Reader<'a> {
    map: Map<String, Value>,
    pointer: String,
    warnings: &'a mut Warnings,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        map: Map<String, Value>,
        pointer: impl Into<String>,
        warnings: &'a mut Warnings,
    ) -> Self {
        Self {
            map,
            pointer: pointer.into(),
            warnings,
        }
    }

    /// What nobody has read.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.map
    }

    pub(super) fn warn(&mut self, code: WarningCode, key: &str, message: impl Into<String>) {
        self.warnings
            .push(code, member(&self.pointer, key), message);
    }

    pub(super) fn warn_if_missing<T>(&mut self, value: Option<&T>, code: WarningCode, key: &str) {
        if value.is_none() {
            self.warn(code, key, format!("there is no `{key}`"));
        }
    }

    /// The value under `key`, one of its known misspellings, or itself in another case; and the
    /// key that it was found under. `null` is as good as nothing.
    pub(super) fn take(&mut self, key: &str, misspellings: &[&str]) -> Option<(String, Value)> {
        let other = || {
            let known = misspellings
                .iter()
                .find(|known| self.map.contains_key(**known));
            let folded = || {
                self.map
                    .keys()
                    .find(|found| found.eq_ignore_ascii_case(key))
                    .cloned()
            };
            known.map(|known| (*known).to_owned()).or_else(folded)
        };
        let found = if self.map.contains_key(key) {
            key.to_owned()
        } else {
            other()?
        };
        let value = self.map.remove(&found)?;
        if found != key {
            self.warn(WarningCode::MisspeltKey, &found, format!("read as `{key}`"));
        }
        (!value.is_null()).then_some((found, value))
    }

    /// A text, trimmed; numbers and booleans are taken by their spelling.
    pub(super) fn text(
        &mut self,
        key: &str,
        misspellings: &[&str],
        limit: TextLimit,
    ) -> Option<String> {
        let (key, value) = self.take(key, misspellings)?;
        let pointer = member(&self.pointer, &key);
        text_of(value, &pointer, limit, self.warnings)
    }

    /// Yes or no; the texts `true` and `false` and the numbers 1 and 0 are understood.
    pub(super) fn flag(&mut self, key: &str, misspellings: &[&str]) -> Option<bool> {
        let (key, value) = self.take(key, misspellings)?;
        let understood = match &value {
            Value::Bool(flag) => return Some(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
            Value::Number(number) if number.as_u64() == Some(1) => Some(true),
            Value::Number(number) if number.as_u64() == Some(0) => Some(false),
            _ => None,
        };
        match understood {
            Some(_) => self.warn(WarningCode::Converted, &key, "this is no boolean"),
            None => self.warn(
                WarningCode::WrongShape,
                &key,
                "this is neither true nor false",
            ),
        }
        understood
    }

    /// A list of names: texts, or objects with a `name` or an `id`; a text alone is a list of one.
    /// Each name is there once.
    pub(super) fn names(&mut self, key: &str, misspellings: &[&str]) -> Vec<String> {
        let Some((key, value)) = self.take(key, misspellings) else {
            return Vec::new();
        };
        let mut names = Vec::new();
        for (place, item) in self.items(&key, value) {
            let item = match item {
                Value::Object(mut map) => ["name", "id", "skill"]
                    .into_iter()
                    .find_map(|key| map.remove(key)),
                other => Some(other),
            };
            match item.and_then(|item| text_of(item, &place, NAME, self.warnings)) {
                Some(name) if !names.contains(&name) => names.push(name),
                _ => {}
            }
        }
        names
    }

    /// A list of objects, each read by `read`.
    pub(super) fn objects<T>(
        &mut self,
        key: &str,
        misspellings: &[&str],
        read: impl Fn(&mut Reader<'_>) -> Option<T>,
    ) -> Vec<T> {
        let Some((key, value)) = self.take(key, misspellings) else {
            return Vec::new();
        };
        let mut objects = Vec::new();
        for (place, item) in self.items(&key, value) {
            if let Value::Object(map) = item {
                objects.extend(read(&mut Reader::new(map, place, self.warnings)));
            } else {
                self.warnings
                    .push(WarningCode::WrongShape, place, "this is no object");
            }
        }
        objects
    }

    /// The entries of a list with their places. Anything else than a list is a list of one.
    pub(super) fn items(&mut self, key: &str, value: Value) -> Vec<(String, Value)> {
        let place = member(&self.pointer, key);
        let Value::Array(mut items) = value else {
            self.warn(
                WarningCode::Converted,
                key,
                "this is no list; read as a list of one",
            );
            return vec![(place, value)];
        };
        if items.len() > MOST_ITEMS {
            let message = format!("of {} entries the first {MOST_ITEMS} are read", items.len());
            self.warn(WarningCode::TooMany, key, message);
            items.truncate(MOST_ITEMS);
        }
        let placed = |(index, item)| (format!("{place}/{index}"), item);
        items.into_iter().enumerate().map(placed).collect()
    }

    /// `agentId`: a whole number, or its decimal text.
    pub(super) fn agent_id(&mut self) -> Option<U256> {
        const KEY: &str = "agentId";
        let Some((key, value)) = self.take(KEY, &["tokenId"]) else {
            self.warn(
                WarningCode::AgentIdMissing,
                KEY,
                "the registration names no agentId",
            );
            return None;
        };
        match &value {
            Value::Number(number) if number.is_u64() => number.as_u64().map(U256::from),
            Value::String(text) if is_decimal(text.trim()) => {
                self.warn(
                    WarningCode::Converted,
                    &key,
                    "the agentId is a text, not a number",
                );
                U256::from_str_radix(text.trim(), 10).ok()
            }
            _ => {
                self.warn(WarningCode::WrongShape, &key, "this is no agentId");
                None
            }
        }
    }

    /// The warnings, for readers of what was taken out.
    pub(super) fn warnings(&mut self) -> &mut Warnings {
        self.warnings
    }
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The text of one value, within its limit; none where it is no text or empty.
pub(super) fn text_of(
    value: Value,
    pointer: &str,
    limit: TextLimit,
    warnings: &mut Warnings,
) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(_) | Value::Bool(_) => {
            warnings.push(WarningCode::Converted, pointer, "this is no text");
            value.to_string()
        }
        Value::Null => return None,
        Value::Array(_) | Value::Object(_) => {
            warnings.push(WarningCode::WrongShape, pointer, "this is no text");
            return None;
        }
    };
    let text = text.trim();
    let Some((cut, _)) = text.char_indices().nth(limit.characters) else {
        return (!text.is_empty()).then(|| text.to_owned());
    };
    let what = if limit.cut { "cut" } else { "left out" };
    let message = format!("longer than {} characters: {what}", limit.characters);
    warnings.push(WarningCode::TooLong, pointer, message);
    limit.cut.then(|| text[..cut].trim_end().to_owned())
}
