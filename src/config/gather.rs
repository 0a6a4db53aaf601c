//! Layers of configuration laid over each other, each checked for unknown keys by itself.

use std::path::{Path, PathBuf};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Serialized, Toml},
    value::{Dict, Map, Value},
};

use super::{
    Config, Environment, Error,
    keys::{FREE, KEYS},
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
        Self { key, value: value.into() }
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
        self.figment.find_metadata(key).map_or_else(|| "defaults".to_owned(), |meta| meta.name.to_string())
    }
}

/// Reads and merges all layers. `file` is the one that was asked for; without it `chancery.toml` in
/// the working directory, then in the data directory, is read where it exists.
pub fn gather(environment: &Environment, file: Option<&Path>, flags: &[Flag]) -> Result<Gathered, Error> {
    let schema = Value::serialize(Config::default()).map_err(Error::from)?;
    let mut flag_layer = Layer::new("flags");
    for flag in flags {
        insert(&mut flag_layer.values, flag.key, Value::serialize(&flag.value).map_err(Error::from)?);
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

    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    for mut layer in layers {
        layer.read_secret_files()?;
        layer.check_keys("", &layer.values, &schema)?;
        figment = figment.merge(layer);
    }
    let config: Config = figment.extract()?;
    config.check()?;
    Ok(Gathered { config, file, figment })
}

fn usual_file(environment: &Environment, over: &[&Layer]) -> Option<PathBuf> {
    let given = over.iter().find_map(|layer| layer.values.get("data_dir")?.as_str().map(PathBuf::from));
    let data_dir = given.or_else(|| environment.default_data_dir());
    [environment.directory().map(Path::to_path_buf), data_dir]
        .into_iter()
        .flatten()
        .map(|dir| dir.join("chancery.toml"))
        .find(|file| file.is_file())
}

fn from_file(file: &Path) -> Result<Layer, Error> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| Error::File { path: file.to_path_buf(), source })?;
    let name = file.display().to_string();
    let values = Figment::from(Toml::string(&text))
        .extract()
        .map_err(|error| Error::Shape(format!("{name}: {}", error.to_string().trim_end())))?;
    Ok(Layer { name, values })
}

fn from_environment(environment: &Environment, schema: &Value) -> Layer {
    let mut layer = Layer::new("the environment");
    for (name, text) in environment.with_prefix("CHANCERY__") {
        let key = name.split("__").map(str::to_lowercase).collect::<Vec<_>>().join(".");
        // The default's type says how the text is meant.
        let value = match schema.find_ref(&key) {
            Some(Value::String(..)) => Value::from(text),
            Some(Value::Array(..)) if !text.starts_with('[') => {
                Value::from(text.split(',').map(str::trim).map(Value::from).collect::<Vec<_>>())
            }
            _ if is_secret(key.strip_suffix("_file").unwrap_or(&key)) || is_free(&key) => {
                Value::from(text)
            }
            _ => text.parse().unwrap_or_else(|never: std::convert::Infallible| match never {}),
        };
        insert(&mut layer.values, &key, value);
    }
    layer
}

fn is_secret(path: &str) -> bool {
    KEYS.iter().any(|key| key.secret && key.path == path)
}

fn is_free(key: &str) -> bool {
    FREE.iter().any(|section| key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.')))
}

/// Values from one place.
struct Layer {
    name: String,
    values: Dict,
}

impl Layer {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), values: Dict::new() }
    }

    /// Turns every `<secret>_file` into the secret.
    fn read_secret_files(&mut self) -> Result<(), Error> {
        for key in KEYS.iter().filter(|key| key.secret) {
            let Some((section, name)) = key.path.rsplit_once('.') else { continue };
            let Some(Value::Dict(_, section)) = self.values.get_mut(section) else { continue };
            let Some(path) = section.remove(&format!("{name}_file")) else { continue };
            if section.contains_key(name) {
                return Err(Error::Twice { key: key.path.to_owned(), origin: self.name.clone() });
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

    fn check_keys(&self, prefix: &str, values: &Dict, schema: &Value) -> Result<(), Error> {
        for (name, value) in values {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            if FREE.contains(&key.as_str()) {
                continue;
            }
            let known = schema.find_ref(&key);
            match (known, value) {
                (None, _) => return Err(self.unknown(&key)),
                (Some(Value::Dict(..)), Value::Dict(_, inner)) => self.check_keys(&key, inner, schema)?,
                (Some(_), Value::Dict(_, inner)) => {
                    let inner = inner.keys().next().map_or_else(String::new, |name| format!(".{name}"));
                    return Err(self.unknown(&format!("{key}{inner}")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn unknown(&self, key: &str) -> Error {
        let mut candidates = KEYS.iter().map(|key| key.path.to_owned()).collect::<Vec<_>>();
        candidates.extend(KEYS.iter().filter(|key| key.secret).map(|key| format!("{}_file", key.path)));
        let nearest = candidates
            .into_iter()
            .map(|known| (strsim::jaro_winkler(&known, key), known))
            .filter(|(likeness, _)| *likeness > 0.7)
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .map(|(_, known)| known);
        let origin = if self.name == "the environment" {
            format!("the variable CHANCERY__{}", key.replace('.', "__").to_uppercase())
        } else {
            self.name.clone()
        };
        Error::UnknownKey { key: key.to_owned(), origin, nearest }
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
fn insert(values: &mut Dict, key: &str, value: Value) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn from(variables: &[(&str, &str)], flags: &[Flag]) -> Result<Gathered, Error> {
        gather(&Environment::of(variables), None, flags)
    }

    #[test]
    fn flags_win_over_the_environment_and_the_environment_over_defaults() {
        let variables =
            [("CHANCERY__HTTP__LISTEN", "127.0.0.1:1"), ("CHANCERY__DATABASE__MIN_IDLE", "7")];
        let gathered = from(&variables, &[Flag::new("http.listen", "127.0.0.1:2")]).unwrap();
        assert_eq!(gathered.config.http.listen.port(), 2);
        assert_eq!(gathered.origin("http.listen"), "flags");
        assert_eq!(gathered.config.database.pool.min_idle, 7);
        assert_eq!(gathered.origin("database.min_idle"), "the environment");
        assert_eq!(gathered.config.database.pool.max_connections, 20);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_nearest_neighbour() {
        let error = from(&[("CHANCERY__DATABASE__MAX_CONECTIONS", "7")], &[]).err().unwrap();
        assert_eq!(
            error.to_string(),
            "unknown key `database.max_conections` in the variable \
             CHANCERY__DATABASE__MAX_CONECTIONS; did you mean `database.max_connections`?"
        );
    }

    #[test]
    fn a_wrong_type_names_the_key() {
        let error = from(&[("CHANCERY__DATABASE__MIN_IDLE", "many")], &[]).err().unwrap();
        assert!(error.to_string().contains("min_idle"), "{error}");
    }

    #[test]
    fn a_secret_comes_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "postgres://a:b@c/d\n").unwrap();
        let path = file.path().to_str().unwrap();
        let gathered = from(&[("CHANCERY__DATABASE__URL_FILE", path)], &[]).unwrap();
        assert_eq!(gathered.config.database.url.as_deref(), Some("postgres://a:b@c/d"));
        let both = [("CHANCERY__DATABASE__URL_FILE", path), ("CHANCERY__DATABASE__URL", "postgres://x")];
        assert!(matches!(from(&both, &[]), Err(Error::Twice { .. })));
    }

    #[test]
    fn database_url_is_read_and_our_own_variable_wins() {
        let plain = from(&[("DATABASE_URL", "postgres://plain/x")], &[]).unwrap();
        assert_eq!(plain.config.database.url.as_deref(), Some("postgres://plain/x"));
        let both = [("DATABASE_URL", "postgres://plain/x"), ("CHANCERY__DATABASE__URL", "postgres://own/x")];
        assert_eq!(from(&both, &[]).unwrap().config.database.url.as_deref(), Some("postgres://own/x"));
    }

    #[test]
    fn every_key_is_documented_and_every_documented_key_exists() {
        fn leaves(prefix: &str, value: &Value, into: &mut Vec<String>) {
            match value {
                Value::Dict(_, inner) if !FREE.contains(&prefix) => {
                    for (name, value) in inner {
                        let key =
                            if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                        leaves(&key, value, into);
                    }
                }
                _ => into.push(prefix.to_owned()),
            }
        }
        let mut found = Vec::new();
        leaves("", &Value::serialize(Config::default()).unwrap(), &mut found);
        let mut documented: Vec<_> = KEYS.iter().map(|key| key.path.to_owned()).collect();
        found.sort();
        documented.sort();
        assert_eq!(found, documented);
    }
}
