//! Values from one place, checked by themselves, so that an error can name that place.

use std::path::PathBuf;

use figment::{
    Metadata, Profile, Provider,
    value::{Dict, Map, Value},
};

use super::{
    Error,
    keys::{FREE, KEYS},
};

/// The name of the layer of `CHANCERY__` variables.
pub const ENVIRONMENT: &str = "the environment";

/// Values from one place.
pub struct Layer {
    /// Where they come from, for people.
    pub name: String,
    /// The values.
    pub values: Dict,
}

impl Layer {
    /// An empty one.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            values: Dict::new(),
        }
    }

    /// Turns every `<secret>_file` into the secret.
    pub fn read_secret_files(&mut self) -> Result<(), Error> {
        for key in KEYS.iter().filter(|key| key.secret) {
            let Some((section, name)) = key.path.rsplit_once('.') else {
                continue;
            };
            let Some(Value::Dict(_, section)) = self.values.get_mut(section) else {
                continue;
            };
            let Some(path) = section.remove(&format!("{name}_file")) else {
                continue;
            };
            if section.contains_key(name) {
                return Err(Error::Twice {
                    key: key.path.to_owned(),
                    origin: self.name.clone(),
                });
            }
            let path = PathBuf::from(path.as_str().unwrap_or_default());
            let text = std::fs::read_to_string(&path).map_err(|source| Error::SecretFile {
                key: key.path.to_owned(),
                path,
                source,
            })?;
            section.insert(name.to_owned(), Value::from(text.trim_end()));
        }
        Ok(())
    }

    /// Refuses keys that nothing reads and values that cannot be meant.
    pub fn check_keys(&self, prefix: &str, values: &Dict, schema: &Value) -> Result<(), Error> {
        for (name, value) in values {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            if FREE.contains(&key.as_str()) {
                continue;
            }
            let known = schema.find_ref(&key);
            match (known, value) {
                (None, _) => return Err(self.unknown(&key)),
                (Some(Value::Dict(..)), Value::Dict(_, inner)) => {
                    self.check_keys(&key, inner, schema)?;
                }
                (Some(_), Value::Dict(_, inner)) => {
                    let inner = inner
                        .keys()
                        .next()
                        .map_or_else(String::new, |name| format!(".{name}"));
                    return Err(self.unknown(&format!("{key}{inner}")));
                }
                (Some(known), value) => self.check_type(&key, value, known)?,
            }
        }
        Ok(())
    }

    /// Serde would name the section only where a section's struct is flattened into another.
    fn check_type(&self, key: &str, value: &Value, known: &Value) -> Result<(), Error> {
        let expected = match (known, value) {
            (Value::Num(..), Value::Num(..))
            | (Value::Bool(..), Value::Bool(..))
            | (Value::Array(..), Value::Array(..)) => return Ok(()),
            (Value::Num(..), _) => "a number",
            (Value::Bool(..), _) => "true or false",
            (Value::Array(..), _) => "a list",
            _ => return Ok(()),
        };
        let why = format!("expected {expected}, as set in {}", self.origin(key));
        Err(Error::Value {
            key: key.to_owned(),
            why,
        })
    }

    fn origin(&self, key: &str) -> String {
        if self.name == ENVIRONMENT {
            format!(
                "the variable CHANCERY__{}",
                key.replace('.', "__").to_uppercase()
            )
        } else {
            self.name.clone()
        }
    }

    fn unknown(&self, key: &str) -> Error {
        let mut candidates = KEYS
            .iter()
            .map(|key| key.path.to_owned())
            .collect::<Vec<_>>();
        candidates.extend(
            KEYS.iter()
                .filter(|key| key.secret)
                .map(|key| format!("{}_file", key.path)),
        );
        let nearest = candidates
            .into_iter()
            .map(|known| (strsim::jaro_winkler(&known, key), known))
            .filter(|(likeness, _)| *likeness > 0.7)
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .map(|(_, known)| known);
        Error::UnknownKey {
            key: key.to_owned(),
            origin: self.origin(key),
            nearest,
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone()).interpolater(|_, keys| keys.join("."))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Sets a dotted path, making the sections on its way.
pub fn insert(values: &mut Dict, key: &str, value: Value) {
    let nested = figment::util::nest(key, value);
    if let Value::Dict(_, nested) = nested {
        merge(values, nested);
    }
}

fn merge(into: &mut Dict, from: Dict) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Dict(_, old)), Value::Dict(_, new)) => merge(old, new),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}
