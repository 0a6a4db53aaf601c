//! Layers of configuration laid over each other, each checked for unknown keys by itself.

use std::path::{Path, PathBuf};

use figment::{
    Figment,
    providers::{Format, Toml},
    value::Value,
};

use super::{
    Config, Environment, Error,
    keys::{FREE, KEYS},
    layer::{ENVIRONMENT, Layer, insert},
};

/// One key that was given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The key as dotted path.
    pub key: &'static str,
    /// Its value.
    pub value: serde_json::Value,
}

impl Flag {
    /// A flag that sets `key`.
    pub fn new(key: &'static str, value: impl Into<serde_json::Value>) -> Self {
        Self {
            key,
            value: value.into(),
        }
    }
}

/// The configuration and where it came from.
pub struct Gathered {
    /// The merged configuration, checked.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    figment: Figment,
}

impl Gathered {
    /// Where a key's value was written: `defaults`, a file, the environment or a flag.
    pub fn origin(&self, key: &str) -> String {
        self.figment
            .find_metadata(key)
            .map_or_else(|| "defaults".to_owned(), |meta| meta.name.to_string())
    }
}

/// Reads and merges all layers. `file` is the one that was asked for; without it `chancery.toml` in
/// the working directory, then in the data directory, is read where it exists.
pub fn gather(
    environment: &Environment,
    file: Option<&Path>,
    flags: &[Flag],
) -> Result<Gathered, Error> {
    let schema = Value::serialize(Config::default()).map_err(Error::from)?;
    let mut flag_layer = Layer::new("flags");
    for flag in flags {
        insert(
            &mut flag_layer.values,
            flag.key,
            Value::serialize(&flag.value).map_err(Error::from)?,
        );
    }
    let variables = from_environment(environment, &schema);
    let file = match file {
        Some(file) => Some(file.to_path_buf()),
        None => usual_file(environment, &[&flag_layer, &variables]),
    };
    let mut layers = Vec::new();
    if let Some(file) = &file {
        layers.push(from_file(file)?);
    }
    if let Some(url) = environment.get("DATABASE_URL") {
        let mut layer = Layer::new("the variable DATABASE_URL");
        insert(&mut layer.values, "database.url", Value::from(url));
        layers.push(layer);
    }
    layers.extend([variables, flag_layer]);

    let defaults = schema.clone().into_dict().unwrap_or_default();
    let mut figment = Figment::from(Layer {
        name: "defaults".to_owned(),
        values: defaults,
    });
    for mut layer in layers {
        layer.read_secret_files()?;
        layer.check_keys("", &layer.values, &schema)?;
        figment = figment.merge(layer);
    }
    let config: Config = figment.extract()?;
    config.check()?;
    Ok(Gathered {
        config,
        file,
        figment,
    })
}

fn usual_file(environment: &Environment, over: &[&Layer]) -> Option<PathBuf> {
    let given = over
        .iter()
        .find_map(|layer| layer.values.get("data_dir")?.as_str().map(PathBuf::from));
    let data_dir = given.or_else(|| environment.default_data_dir());
    [environment.directory().map(Path::to_path_buf), data_dir]
        .into_iter()
        .flatten()
        .map(|dir| dir.join("chancery.toml"))
        .find(|file| file.is_file())
}

fn from_file(file: &Path) -> Result<Layer, Error> {
    let text = std::fs::read_to_string(file).map_err(|source| Error::File {
        path: file.to_path_buf(),
        source,
    })?;
    let name = file.display().to_string();
    let values = Figment::from(Toml::string(&text))
        .extract()
        .map_err(|error| Error::Shape(format!("{name}: {}", error.to_string().trim_end())))?;
    Ok(Layer { name, values })
}

fn from_environment(environment: &Environment, schema: &Value) -> Layer {
    let mut layer = Layer::new(ENVIRONMENT);
    for (name, text) in environment.with_prefix("CHANCERY__") {
        let key = name
            .split("__")
            .map(str::to_lowercase)
            .collect::<Vec<_>>()
            .join(".");
        // The default's type says how the text is meant.
        let value = match schema.find_ref(&key) {
            Some(Value::String(..)) => Value::from(text),
            Some(Value::Array(..)) if !text.starts_with('[') => Value::from(
                text.split(',')
                    .map(str::trim)
                    .map(Value::from)
                    .collect::<Vec<_>>(),
            ),
            _ if is_secret(key.strip_suffix("_file").unwrap_or(&key)) || is_free(&key) => {
                Value::from(text)
            }
            _ => as_toml(text),
        };
        insert(&mut layer.values, &key, value);
    }
    layer
}

/// A number, a truth value, a list as TOML writes them; anything else is text.
fn as_toml(text: &str) -> Value {
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
    let value = parsed.ok().and_then(|mut table| table.remove("value"));
    value
        .and_then(|value| Value::serialize(value).ok())
        .unwrap_or_else(|| Value::from(text))
}

fn is_secret(path: &str) -> bool {
    KEYS.iter().any(|key| key.secret && key.path == path)
}

fn is_free(key: &str) -> bool {
    FREE.iter().any(|section| {
        key.strip_prefix(section)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests;
