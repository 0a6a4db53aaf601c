//! L6: rooms speak no HTTP. The bodies of the API have names. L8: clock, chance, environment and network have owners.

use std::collections::BTreeSet;

use toml::Table;

use crate::{
    catches, hold, production,
    source::{Source, read, root},
};

/// Words of the doors. `net` is the one client of HTTP; `chain` and `indexer` speak to Ethereum nodes.
const DOOR_WORDS: &[(&str, &[&str])] = &[
    ("axum", &["chancery"]),
    ("hyper", &["chancery", "net"]),
    ("tower_http", &["chancery"]),
    ("http::", &["chancery", "net"]),
    ("StatusCode", &["chancery", "net"]),
    ("HeaderMap", &["chancery", "net"]),
    ("JsonRpc", &["chain", "indexer"]),
    ("json_rpc", &["chain", "indexer"]),
    ("jsonrpc", &["chain", "indexer"]),
    ("libp2p", &["mesh"]),
];

fn rooms_speak_no_http(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        for (word, speakers) in DOOR_WORDS {
            if speakers.contains(&source.krate()) {
                continue;
            }
            for at in source.words(word) {
                broken.push(format!("{}: `{word}` is a door's word", source.place(at)));
            }
        }
    }
    broken
}

/// A library crate tells a failure's class, and leaves to the doors what it means to them.
fn errors_have_a_kind(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| source.krate() != "chancery" && source.path.ends_with("/src/error.rs"))
        .filter(|source| !source.code.contains("fn kind(&self) -> Kind"))
        .map(|source| format!("{}: the error has no `fn kind(&self) -> Kind`", source.path))
        .collect()
}

/// Who turns kinds into a door's words.
const TRANSLATORS: &[&str] = &["src/http/problem.rs", "src/cli/exit.rs"];

const KINDS: &[&str] = &[
    "NotFound",
    "Invalid",
    "Conflict",
    "Denied",
    "Limited",
    "Unavailable",
    "Internal",
];

/// Match arms that make a status or an exit code of a kind. Making a kind (`=> Kind::Denied`) is
/// everybody's, and so is deciding what to try again.
fn kinds_are_translated_once(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        if source.krate() != "chancery" || TRANSLATORS.contains(&source.path.as_str()) {
            continue;
        }
        for kind in KINDS {
            let word = format!("Kind::{kind}");
            for at in source.words(&word) {
                if translates(source.code[at + word.len()..].trim_start()) {
                    broken.push(format!(
                        "{}: kinds are translated in {}",
                        source.place(at),
                        TRANSLATORS.join(" and ")
                    ));
                }
            }
        }
    }
    broken
}

/// Whether what follows a kind is the rest of a pattern, and then a status or a code.
fn translates(rest: &str) -> bool {
    let is_pattern = rest.starts_with("=>") || (rest.starts_with('|') && !rest.starts_with("||"));
    let value = rest
        .split_once("=>")
        .map_or("", |(_, value)| value.trim_start());
    is_pattern
        && (value.starts_with(|c: char| c.is_ascii_digit())
            || ["StatusCode", "ExitCode"]
                .iter()
                .any(|word| value.starts_with(word)))
}

#[test]
fn l6_rooms_speak_no_http() {
    hold("L6", rooms_speak_no_http(&production()));
    let source = Source::new(
        "crates/identity/src/a.rs",
        "fn f() -> StatusCode { todo() }",
    );
    catches(&rooms_speak_no_http(&[source]), "StatusCode");
    let source = Source::new("crates/journal/src/a.rs", "use hyper::Request; // axum");
    catches(&rooms_speak_no_http(&[source]), "hyper");
}

#[test]
fn l6_errors_tell_their_kind_and_the_doors_translate_it() {
    hold("L6", errors_have_a_kind(&production()));
    hold("L6", kinds_are_translated_once(&production()));
    let source = Source::new("crates/trust/src/error.rs", "pub enum Error { A }");
    catches(&errors_have_a_kind(&[source]), "crates/trust/src/error.rs");
    let source = Source::new(
        "src/http/agents.rs",
        "fn f(k: Kind) -> u16 { match k { Kind::NotFound => 404 } }",
    );
    catches(
        &kinds_are_translated_once(&[source]),
        "src/http/agents.rs:1",
    );
    let source = Source::new(
        "src/cli/up.rs",
        "fn f(k: Kind) { match k { Kind::Denied | Kind::Limited => ExitCode::from(4) } }",
    );
    assert_eq!(kinds_are_translated_once(&[source]).len(), 2);
    let source = Source::new(
        "src/up.rs",
        "fn f() { match e { E::A => Kind::Invalid, E::B => Kind::NotFound } }",
    );
    hold("L6", kinds_are_translated_once(&[source]));
}

/// Every ban that the law names.
const BANS: &[&str] = &[
    "chrono::Utc::now",
    "std::time::SystemTime::now",
    "std::env::var",
    "std::env::var_os",
    "uuid::Uuid::new_v4",
    "reqwest::Client::new",
    "reqwest::Client::builder",
];

/// Owners, who say `expect(clippy::disallowed_methods)`.
const OWNERS: &[(&str, &str)] = &[
    ("crates/store/src/clock.rs", "the clock"),
    ("crates/net/src/fetcher.rs", "outbound HTTP"),
    ("src/app.rs", "the id of this process"),
    ("src/config/environment.rs", "the environment"),
];

fn missing_bans(clippy: &str) -> Vec<String> {
    let table: Table = clippy.parse().expect("clippy.toml is TOML");
    let methods = table
        .get("disallowed-methods")
        .and_then(|list| list.as_array())
        .cloned()
        .unwrap_or_default();
    let has_reason = |path: &str| {
        methods.iter().any(|ban| {
            ban.get("path").and_then(|p| p.as_str()) == Some(path)
                && ban
                    .get("reason")
                    .and_then(|r| r.as_str())
                    .is_some_and(|reason| reason.len() > 10)
        })
    };
    BANS.iter()
        .filter(|path| !has_reason(path))
        .map(|path| format!("clippy.toml: no ban of {path} with a reason"))
        .collect()
}

fn exceptions_are_the_owners(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| !OWNERS.iter().any(|(path, _)| *path == source.path))
        .flat_map(|source| {
            source.words("disallowed_methods").into_iter().map(|at| {
                format!(
                    "{}: only an owner may except itself: {OWNERS:?}",
                    source.place(at)
                )
            })
        })
        .collect()
}

/// Sources of chance that clippy's list cannot name, because each library has its own.
fn chance_has_owners(sources: &[Source]) -> Vec<String> {
    let owners = [
        "crates/journal/src/key.rs",
        "crates/chain/src/key.rs",
        "crates/access/src/secret.rs",
        "src/data_dir.rs",
        "src/cli/agent_key.rs",
    ];
    let mut broken = Vec::new();
    for source in sources {
        if owners.contains(&source.path.as_str()) {
            continue;
        }
        for word in ["getrandom::", "rand::", "OsRng", "thread_rng"] {
            for at in source.words(word) {
                broken.push(format!(
                    "{}: `{word}` belongs to {}",
                    source.place(at),
                    owners.join(", ")
                ));
            }
        }
    }
    broken
}

#[test]
fn l8_clock_chance_environment_and_network_have_owners() {
    hold("L8", missing_bans(&read("clippy.toml")));
    hold("L8", exceptions_are_the_owners(&production()));
    hold("L8", chance_has_owners(&production()));
    assert_eq!(missing_bans("disallowed-methods = []").len(), BANS.len());
    assert_eq!(
        missing_bans("disallowed-methods = [{ path = 'chrono::Utc::now' }]").len(),
        BANS.len()
    );
    let source = Source::new(
        "src/up.rs",
        "#[allow(clippy::disallowed_methods)] fn f() {}",
    );
    catches(&exceptions_are_the_owners(&[source]), "src/up.rs:1");
    let source = Source::new("crates/did/src/a.rs", "fn f() { getrandom::fill(&mut b); }");
    catches(&chance_has_owners(&[source]), "getrandom");
}

/// What `ToSchema` in a derive calls the body; none where it stands elsewhere. `after` begins behind the word.
fn body(after: &str) -> Option<String> {
    let end = after.find([')', '}', ';'])?;
    if !after[end..].starts_with(')') {
        return None;
    }
    let head = after.find('{').map_or(after, |end| &after[..end]);
    let words = ["schema(as = ", "struct ", "enum "];
    let (_, name) = words.iter().find_map(|word| head.split_once(word))?;
    let is_name = |sign: &char| sign.is_alphanumeric() || *sign == '_';
    Some(name.chars().take_while(is_name).collect())
}

/// Two bodies of one name would be one in `/openapi.json`, and what speaks of the other would be described by it.
fn bodies_have_names_of_their_own(sources: &[Source]) -> Vec<String> {
    let (mut known, mut broken) = (BTreeSet::new(), Vec::new());
    let doors = sources
        .iter()
        .filter(|source| source.path.starts_with("src/http"));
    for source in doors {
        let word = "ToSchema";
        for at in source.words(word) {
            let Some(name) = body(&source.code[at + word.len()..]) else {
                continue;
            };
            if !known.insert(name.clone()) {
                let place = source.place(at);
                broken.push(format!("{place}: another body is called `{name}`"));
            }
        }
    }
    broken
}

#[test]
fn the_bodies_of_the_api_have_names_of_their_own() {
    hold("the API", bodies_have_names_of_their_own(&production()));
    let keys = "use utoipa::ToSchema; #[derive(Debug, ToSchema)] pub struct Wish { a: u8 }";
    let named = "#[derive(utoipa::ToSchema)] #[schema(as = Hope)] struct Wish { a: u8 }";
    let other = "#[derive(ToSchema, Debug)] enum Wish { A }";
    let source = |path: &str, text| Source::new(path, text);
    let sources = [
        source("src/http/keys.rs", keys),
        source("src/http/named.rs", named),
        source("src/http/other.rs", other),
    ];
    assert_eq!(bodies_have_names_of_their_own(&sources[..2]), [""; 0]);
    catches(&bodies_have_names_of_their_own(&sources), "`Wish`");
}

fn without_lints(manifests: &[(String, String)]) -> Vec<String> {
    let inherits = |text: &str| {
        let table: Table = text.parse().expect("a manifest is TOML");
        table
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool)
            == Some(true)
    };
    manifests
        .iter()
        .filter(|(_, text)| !inherits(text))
        .map(|(path, _)| format!("{path}: no `[lints] workspace = true`"))
        .collect()
}

#[test]
fn l8_every_crate_takes_the_workspaces_lints() {
    let mut paths = vec!["Cargo.toml".to_owned(), "indexer/Cargo.toml".to_owned()];
    for entry in std::fs::read_dir(root().join("crates"))
        .expect("crates/")
        .flatten()
    {
        paths.push(format!(
            "crates/{}/Cargo.toml",
            entry.file_name().to_string_lossy()
        ));
    }
    let manifests: Vec<(String, String)> = paths
        .into_iter()
        .map(|path| (path.clone(), read(&path)))
        .collect();
    hold("L8", without_lints(&manifests));
    catches(
        &without_lints(&[(
            "crates/x/Cargo.toml".to_owned(),
            "[package]\nname = 'x'".to_owned(),
        )]),
        "crates/x",
    );
}
