//! The capabilities that follow from a registration file: rows of `capability_vectors`.
//!
//! A service is `service:<name>`, its skills, domains, tools, prompts and resources are
//! `skill:<name>` and so on; what the file itself lists under `capabilities` (VEXEL's form) keeps
//! its bare name. A name is there once: what comes first in the file wins, and further services of
//! one name are numbered (`service:web#2`).

use std::collections::{BTreeMap, btree_map::Entry};

use kernel::sha256;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    RegistrationFile, Service,
    reader::{NAME, Reader, text_of},
    warning::{WarningCode, member},
};

/// The most capabilities of one agent.
const MOST: usize = 1_024;

/// The longest name: VARCHAR(255).
const LONGEST: usize = 255;

/// One capability of an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Capability {
    /// Its name, at most 255 characters, unique within one file.
    pub name: String,
    /// What is known of it: `source` (where the file has it), `endpoint`, `version`, … without
    /// fractions (they are texts).
    pub value: Value,
}

/// The capabilities of a file, in the order of their names.
pub fn capabilities(file: &RegistrationFile) -> Vec<Capability> {
    let mut all = Collected::default();
    for service in &file.services {
        all.add_service(service);
    }
    for (prefix, names) in [
        ("skill", &file.skills),
        ("domain", &file.domains),
        ("tool", &file.tools),
    ] {
        for name in names {
            all.add(&format!("{prefix}:{name}"), json!({"source": "file"}));
        }
    }
    for (name, value) in &file.capabilities {
        all.add(name, value.clone());
    }
    all.0
        .into_iter()
        .map(|(name, value)| Capability { name, value })
        .collect()
}

/// `capabilities` of the file itself: a list of names, a list of `{name, value}`, or an object.
pub(super) fn read(file: &mut Reader<'_>) -> Vec<(String, Value)> {
    let Some((key, value)) = file.take("capabilities", &[]) else {
        return Vec::new();
    };
    let place = member("", &key);
    let named: Vec<(String, Value, Value)> = match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(name, value)| (member(&place, &name), Value::String(name), value))
            .collect(),
        other => {
            let items = file.items(&key, other).into_iter();
            items
                .filter_map(|(place, item)| named_item(item).map(|(n, v)| (place, n, v)))
                .collect()
        }
    };
    let mut capabilities = Vec::new();
    for (place, name, value) in named {
        let Some(name) = text_of(name, &place, NAME, file.warnings()) else {
            continue;
        };
        if capabilities.len() == MOST {
            file.warn(
                WarningCode::TooMany,
                &key,
                format!("the first {MOST} are read"),
            );
            break;
        }
        capabilities.push((name, super::fields::without_floats(value)));
    }
    capabilities
}

/// Name and value of one entry of a list; an object without `value` is its own value.
fn named_item(item: Value) -> Option<(Value, Value)> {
    match item {
        Value::Object(mut map) => {
            let name = ["name", "id"].into_iter().find_map(|key| map.remove(key))?;
            let value = map.remove("value").unwrap_or(Value::Object(map));
            Some((name, value))
        }
        name => Some((name, json!({"source": "capabilities"}))),
    }
}

#[derive(Default)]
struct Collected(BTreeMap<String, Value>);

impl Collected {
    fn add(&mut self, name: &str, value: Value) -> bool {
        if self.0.len() >= MOST {
            return false;
        }
        match self.0.entry(fitting(name)) {
            Entry::Vacant(free) => {
                free.insert(value);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    fn add_service(&mut self, service: &Service) {
        let name = format!("service:{}", service.name);
        let value = described("services", service);
        let known = |name: &str| self.0.get(&fitting(name));
        // Numbers go up to the count of services, which is bounded.
        let mut numbered = name.clone();
        let mut number = 1;
        while known(&numbered).is_some_and(|other| *other != value) {
            number += 1;
            numbered = format!("{name}#{number}");
        }
        self.add(&numbered, value);
        for (prefix, names) in [
            ("skill", &service.skills),
            ("domain", &service.domains),
            ("tool", &service.tools),
            ("prompt", &service.prompts),
            ("resource", &service.resources),
            ("capability", &service.capabilities),
        ] {
            for name in names {
                self.add(
                    &format!("{prefix}:{name}"),
                    described(&service.name, service),
                );
            }
        }
    }
}

fn described(source: &str, service: &Service) -> Value {
    let mut value = Map::new();
    value.insert("source".to_owned(), json!(source));
    for (key, text) in [
        ("endpoint", &service.endpoint),
        ("version", &service.version),
    ] {
        if let Some(text) = text {
            value.insert(key.to_owned(), json!(text));
        }
    }
    Value::Object(value)
}

/// A longer name is cut and ends with 16 hex digits of its hash, so that two long names stay two.
fn fitting(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        return name.to_owned();
    }
    let hash = hex::encode(&sha256(name.as_bytes())[..8]);
    let head: String = name.chars().take(LONGEST - hash.len() - 1).collect();
    format!("{head}~{hash}")
}
