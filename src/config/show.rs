//! The configuration as text: `config print` with masked secrets, and the documented example.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Config, Gathered, KEYS, Key};

const MASK: &str = "****";

/// The configuration as JSON, secrets masked.
pub fn masked(config: &Config) -> Value {
    let mut tree = serde_json::to_value(config).unwrap_or_default();
    for key in KEYS.iter().filter(|key| key.secret) {
        if let Some(Value::String(text)) = tree.pointer_mut(&pointer(key.path)) {
            *text = mask(text);
        }
    }
    // URLs of nodes often hold keys.
    let chains = tree
        .pointer_mut("/indexer/chains")
        .and_then(Value::as_array_mut);
    for chain in chains.into_iter().flatten() {
        let plain = chain["rpc"].as_array_mut().into_iter().flatten();
        plain.for_each(hide);
        let providers = chain["providers"].as_array_mut().into_iter().flatten();
        providers.for_each(|provider| hide(&mut provider["url"]));
        if !chain["ws"].is_null() {
            hide(&mut chain["ws"]);
        }
    }
    tree
}

fn hide(url: &mut Value) {
    *url = mask(url.as_str().unwrap_or_default()).into();
}

/// The configuration as TOML with each value's origin, secrets masked.
pub fn render(gathered: &Gathered) -> String {
    let tree = masked(&gathered.config);
    let mut text = String::new();
    sections(&mut text, |text, key, name| {
        let value = tree.pointer(&pointer(key.path)).unwrap_or(&Value::Null);
        let origin = gathered.origin(key.path);
        match in_toml(value) {
            Some(value) => writeln!(text, "{name} = {value}  # {origin}"),
            None => writeln!(text, "# {name} is not set"),
        }
    });
    text
}

/// `chancery.example.toml`: every key with its meaning and its default, commented out.
pub fn example() -> String {
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut text = "# Every key of Chancery's configuration with its default; made by `chancery config example`.\n\
                    # A key is also a variable: database.url is CHANCERY__DATABASE__URL. Flags win over variables,\n\
                    # variables over this file. Secrets may come from a file: database.url_file = \"/run/secrets/db\".\n\n"
        .to_owned();
    sections(&mut text, |text, key, name| {
        for line in wrap(key.doc) {
            writeln!(text, "# {line}")?;
        }
        if key.secret {
            writeln!(text, "# A secret: {name}_file reads it from a file.")?;
        }
        let default = in_toml(defaults.pointer(&pointer(key.path)).unwrap_or(&Value::Null));
        let value = default
            .or_else(|| key.example.map(str::to_owned))
            .unwrap_or_default();
        writeln!(text, "#{name} = {value}")
    });
    text
}

fn sections(
    text: &mut String,
    mut line: impl FnMut(&mut String, &Key, &str) -> Result<(), std::fmt::Error>,
) {
    let mut current = "";
    for key in KEYS {
        let (section, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if section != current {
            let _ = writeln!(text, "\n[{section}]");
            current = section;
        }
        let _ = line(text, key, name);
    }
}

fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

fn in_toml(value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    let value = toml::Value::try_from(value).ok()?;
    Some(value.to_string())
}

/// A database's URL keeps everything but its password, another URL its host (keys of RPC providers
/// stand in paths), any other secret nothing.
fn mask(secret: &str) -> String {
    let Ok(mut url) = url::Url::parse(secret) else {
        return MASK.to_owned();
    };
    if ["http", "https", "ws", "wss"].contains(&url.scheme()) {
        return format!("{}/{MASK}", url.origin().ascii_serialization());
    }
    if !["postgres", "postgresql"].contains(&url.scheme()) {
        return MASK.to_owned();
    }
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return MASK.to_owned();
    }
    let masked = |(name, value): (std::borrow::Cow<str>, std::borrow::Cow<str>)| {
        let value = if name == "password" {
            MASK.into()
        } else {
            value
        };
        (name.into_owned(), value.into_owned())
    };
    let pairs: Vec<_> = url.query_pairs().map(masked).collect();
    if !pairs.is_empty() {
        url.query_pairs_mut().clear().extend_pairs(pairs);
    }
    url.to_string()
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if lines
            .last()
            .is_some_and(|line| line.len() + word.len() > 96)
        {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        assert_eq!(mask("postgres://a:b@c/d"), "postgres://a:****@c/d");
        assert_eq!(
            mask("postgres://c/d?user=a&password=b"),
            "postgres://c/d?user=a&password=****"
        );
        assert_eq!(mask("0123456789abcdef"), MASK);
        assert_eq!(mask("abc:def"), MASK);
        assert_eq!(
            mask("https://mainnet.example/v3/key"),
            "https://mainnet.example/****"
        );
    }

    #[test]
    fn keys_in_addresses_of_nodes_are_masked_under_every_name() {
        let chain = indexer::ChainConfig {
            rpc: vec![
                "https://one.example/v3/key".to_owned(),
                "secret key".to_owned(),
            ],
            ws: Some("wss://two.example/v3/key".to_owned()),
            providers: vec![indexer::ProviderConfig {
                url: "https://user:key@three.example/?token=key".to_owned(),
                ..indexer::ProviderConfig::default()
            }],
            ..indexer::ChainConfig::default()
        };
        let mut config = Config::default();
        config.indexer.chains = vec![chain, indexer::ChainConfig::default()];
        let printed = masked(&config);
        let chains = &printed["indexer"]["chains"];
        assert_eq!(chains[0]["rpc"][0], "https://one.example/****");
        assert_eq!(chains[0]["rpc"][1], MASK);
        assert_eq!(chains[0]["ws"], "wss://two.example/****");
        assert_eq!(
            chains[0]["providers"][0]["url"],
            "https://three.example/****"
        );
        assert!(chains[1]["ws"].is_null());
        assert!(!printed.to_string().contains("key@"), "{printed}");
        assert!(!printed.to_string().contains("/key"), "{printed}");
    }

    #[test]
    fn the_example_with_every_key_uncommented_is_valid() {
        let uncommented = |line: &str| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
            _ => line.to_owned(),
        };
        let live = example()
            .lines()
            .map(uncommented)
            .collect::<Vec<_>>()
            .join("\n");
        let config: Config = toml::from_str(&live).unwrap();
        assert!(config.database.url.is_some());
    }
}
