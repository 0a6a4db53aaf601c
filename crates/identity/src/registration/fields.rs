//! What a registration file sets, by the names of the agent's columns: `whole` and `says` of
//! `identity.documents` (`model.md` §2).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{RegistrationFile, Service, capabilities};

/// All fields that the file sets. What is empty is absent, and there are no fractions: a number
/// like 0.5 stands as the text `0.5`, because DAG-CBOR of ours, hence the journal, has no floats.
///
/// `name`, `description`, `avatar_url`, `endpoint_url`, `category`, `summary`, `version`,
/// `services`, `supported_trust`, `x402_support`, `registrations`, `active`, `capabilities` (an
/// object by name), `metadata` (the tags, and all keys that mean nothing to us).
pub fn fields(file: &RegistrationFile) -> BTreeMap<String, Value> {
    let capabilities: Map<String, Value> = capabilities(file)
        .into_iter()
        .map(|row| (row.name, row.value))
        .collect();
    let mut metadata = file.other.clone();
    if !file.tags.is_empty() {
        metadata.insert("tags".to_owned(), json!(file.tags));
    }
    [
        ("name", json!(file.name)),
        ("description", json!(file.description)),
        ("avatar_url", json!(file.image)),
        ("endpoint_url", json!(endpoint_url(&file.services))),
        ("category", json!(file.category)),
        ("summary", json!(file.summary)),
        ("version", json!(file.version)),
        ("services", json!(file.services)),
        ("supported_trust", json!(file.supported_trust)),
        ("x402_support", json!(file.x402_support)),
        ("registrations", json!(file.registrations)),
        ("active", json!(file.active)),
        ("capabilities", Value::Object(capabilities)),
        ("metadata", Value::Object(metadata)),
    ]
    .into_iter()
    .filter(|(_, value)| !is_empty(value))
    .map(|(name, value)| (name.to_owned(), without_floats(value)))
    .collect()
}

/// What a version says that the one before it did not: fields that differ, removed ones as null.
///
/// `capabilities` is compared name by name, because an act may have set one of them since: a
/// version speaks only of those that it changed. A removed `active` says nothing.
pub fn diff(
    before: &BTreeMap<String, Value>,
    after: &BTreeMap<String, Value>,
) -> BTreeMap<String, Value> {
    let mut says = changes(before, after);
    if says.get("active").is_some_and(Value::is_null) {
        says.remove("active");
    }
    if says.contains_key(CAPABILITIES) {
        let by_name = changes(&capabilities_of(before), &capabilities_of(after));
        says.insert(
            CAPABILITIES.to_owned(),
            Value::Object(by_name.into_iter().collect()),
        );
    }
    says
}

/// What is new or different, and null for what is gone.
fn changes(
    before: &BTreeMap<String, Value>,
    after: &BTreeMap<String, Value>,
) -> BTreeMap<String, Value> {
    let set = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value));
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let set = set.map(|(name, value)| (name.clone(), value.clone()));
    set.chain(gone.map(|name| (name.clone(), Value::Null)))
        .collect()
}

fn capabilities_of(fields: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    match fields.get(CAPABILITIES) {
        Some(Value::Object(map)) => map.clone().into_iter().collect(),
        _ => BTreeMap::new(),
    }
}

const CAPABILITIES: &str = "capabilities";

/// The first endpoint that can be called.
fn endpoint_url(services: &[Service]) -> Option<&str> {
    let is_callable = |service: &&Service| {
        ["web", "a2a", "mcp"]
            .iter()
            .any(|name| service.name.eq_ignore_ascii_case(name))
    };
    services
        .iter()
        .filter(is_callable)
        .find_map(Service::web_url)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// The same value with every fraction as text.
pub(super) fn without_floats(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::String(number.to_string()),
        Value::Array(items) => items.into_iter().map(without_floats).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, item)| (key, without_floats(item)))
            .collect(),
        other => other,
    }
}
