//! L1: imports run downward only. L2: a heavy dependency has one owner.

use std::{collections::BTreeMap, fs};

use toml::Table;

use crate::{
    catches, hold, production,
    source::{Source, read, root},
};

/// The floor plan: what each crate may import, the `later` ones included.
const FLOOR_PLAN: &[(&str, &[&str])] = &[
    ("kernel", &[]),
    ("store", &["kernel"]),
    ("net", &["kernel"]),
    ("chain", &["net", "kernel"]),
    ("journal", &["store", "kernel"]),
    ("content", &["net", "store", "kernel"]),
    ("did", &["net", "chain", "store", "kernel"]),
    (
        "identity",
        &["content", "did", "journal", "chain", "store", "kernel"],
    ),
    ("trust", &["content", "journal", "chain", "store", "kernel"]),
    ("tasks", &["journal", "store", "kernel"]),
    ("market", &["journal", "store", "kernel"]),
    ("names", &["did", "journal", "net", "store", "kernel"]),
    ("access", &["did", "chain", "journal", "store", "kernel"]),
    ("hooks", &["journal", "net", "store", "kernel"]),
    ("discovery", &["did", "journal", "net", "store", "kernel"]),
    (
        "catalog",
        &[
            "identity",
            "trust",
            "tasks",
            "market",
            "names",
            "access",
            "hooks",
            "discovery",
            "store",
            "kernel",
        ],
    ),
    (
        "publish",
        &["journal", "content", "chain", "store", "kernel"],
    ),
    (
        "indexer",
        &[
            "identity", "did", "trust", "journal", "chain", "store", "kernel",
        ],
    ),
    (
        "mesh",
        &[
            "identity", "names", "trust", "did", "journal", "store", "kernel",
        ],
    ),
];

/// The binary stands on everything below; nothing stands on the binary.
const TOP: &str = "chancery";

fn allowed(krate: &str) -> Option<Vec<&'static str>> {
    if krate == TOP {
        return Some(FLOOR_PLAN.iter().map(|(name, _)| *name).collect());
    }
    FLOOR_PLAN
        .iter()
        .find(|(name, _)| *name == krate)
        .map(|(_, below)| below.to_vec())
}

/// A crate's manifest: its path, and what it says.
struct Manifest {
    path: String,
    table: Table,
}

impl Manifest {
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            table: text.parse().expect("a manifest is TOML"),
        }
    }

    fn name(&self) -> &str {
        self.table["package"]["name"].as_str().unwrap_or_default()
    }

    /// Dependencies of every kind, tests' too.
    fn dependencies(&self) -> Vec<&str> {
        ["dependencies", "dev-dependencies", "build-dependencies"]
            .iter()
            .filter_map(|kind| self.table.get(*kind)?.as_table())
            .flat_map(|table| table.keys().map(String::as_str))
            .collect()
    }
}

fn manifests() -> Vec<Manifest> {
    let mut paths = vec!["Cargo.toml".to_owned(), "indexer/Cargo.toml".to_owned()];
    for entry in fs::read_dir(root().join("crates"))
        .expect("crates/")
        .flatten()
    {
        paths.push(format!(
            "crates/{}/Cargo.toml",
            entry.file_name().to_string_lossy()
        ));
    }
    paths.sort();
    paths
        .iter()
        .map(|path| Manifest::new(path, &read(path)))
        .collect()
}

fn imports_run_downward(manifests: &[Manifest]) -> Vec<String> {
    let mut broken = Vec::new();
    for manifest in manifests {
        let Some(below) = allowed(manifest.name()) else {
            broken.push(format!(
                "{}: `{}` is not in the floor plan",
                manifest.path,
                manifest.name()
            ));
            continue;
        };
        for dependency in manifest.dependencies() {
            if allowed(dependency).is_some() && !below.contains(&dependency) {
                broken.push(format!("{}: imports `{dependency}`", manifest.path));
            }
        }
    }
    broken
}

#[test]
fn l1_imports_run_downward_only() {
    hold(
        "L1: the floor plan has no arrow for",
        imports_run_downward(&manifests()),
    );
    // The plan itself has no way up.
    let floors: BTreeMap<&str, usize> = FLOOR_PLAN
        .iter()
        .enumerate()
        .map(|(floor, (name, _))| (*name, floor))
        .collect();
    for (name, below) in FLOOR_PLAN {
        assert!(
            below.iter().all(|b| floors[b] < floors[name]),
            "{name} imports from above"
        );
    }
}

#[test]
fn l1_sees_a_sideways_and_an_unknown_import() {
    let sideways = Manifest::new(
        "crates/trust/Cargo.toml",
        "[package]\nname = 'trust'\n[dependencies]\nkernel.workspace = true\n[dev-dependencies]\nidentity.workspace = true",
    );
    catches(&imports_run_downward(&[sideways]), "imports `identity`");
    let unknown = Manifest::new("crates/x/Cargo.toml", "[package]\nname = 'x'");
    catches(&imports_run_downward(&[unknown]), "not in the floor plan");
    let upward = Manifest::new(
        "crates/store/Cargo.toml",
        "[package]\nname = 'store'\n[dependencies]\nchancery.path = '../..'",
    );
    catches(&imports_run_downward(&[upward]), "imports `chancery`");
}

/// One match over DID methods. Elsewhere the top floor may name one method, to make its DID, but not
/// choose among several.
fn one_match_over_methods(sources: &[Source]) -> Vec<String> {
    let top = sources
        .iter()
        .filter(|s| s.path.starts_with("src/") && s.path != "src/resolver.rs");
    let mut broken = Vec::new();
    for source in top {
        for at in ["methods::{", "NAME =>", "NAME |"]
            .iter()
            .flat_map(|word| source.words(word))
        {
            broken.push(format!(
                "{}: DID methods are matched in src/resolver.rs",
                source.place(at)
            ));
        }
    }
    broken
}

#[test]
fn l1_the_resolver_holds_the_one_match_over_did_methods() {
    hold("L1", one_match_over_methods(&production()));
    let source = Source::new("src/http/did.rs", "use did::{Did, methods::{key, web}};");
    catches(&one_match_over_methods(&[source]), "src/http/did.rs:1");
    let source = Source::new(
        "src/http/did.rs",
        "fn f() { match m { web::NAME => 1, _ => 2 } }",
    );
    catches(&one_match_over_methods(&[source]), "src/http/did.rs:1");
    let source = Source::new("src/http/did.rs", "use did::{Did, methods::web};");
    hold("L1", one_match_over_methods(&[source]));
}

/// Who alone may name a library in its sources.
const OWNERS: &[(&str, &[&str])] = &[
    ("axum", &["src/http"]),
    ("utoipa", &["src/http"]),
    ("clap", &["src/cli"]),
    ("alloy", &["crates/chain", "indexer"]),
    ("sol!", &["crates/chain", "indexer"]),
    ("reqwest", &["crates/net"]),
    ("redis", &["crates/access"]),
    ("tokio_tungstenite", &["crates/net"]),
    ("libp2p", &["crates/mesh"]),
    ("std::env", &["src/config"]),
    ("env::", &["src/config"]),
];

/// Whose manifest may name it.
const MANIFEST_OWNERS: &[(&str, &[&str])] = &[
    ("axum", &["Cargo.toml"]),
    ("utoipa", &["Cargo.toml"]),
    ("clap", &["Cargo.toml"]),
    ("alloy", &["crates/chain/Cargo.toml", "indexer/Cargo.toml"]),
    ("reqwest", &["crates/net/Cargo.toml"]),
    ("redis", &["crates/access/Cargo.toml"]),
    ("tokio-tungstenite", &["crates/net/Cargo.toml"]),
    ("libp2p", &["crates/mesh/Cargo.toml"]),
];

/// Values only, shared by all crates through `kernel`.
const NOT_ALLOY: &str = "alloy-primitives";

/// Whether `path` is `owner`'s module: `src/http.rs`, or anything under `src/http/`.
fn belongs(path: &str, owner: &str) -> bool {
    path == format!("{owner}.rs") || path.starts_with(&format!("{owner}/"))
}

/// Offsets of a library's name, and of the names of its companions (`utoipa_axum`).
fn mentions(source: &Source, library: &str) -> Vec<usize> {
    let mut found = source.words(library);
    if library.chars().all(char::is_alphanumeric) {
        let companion = format!("{library}_");
        let companions = source.code.match_indices(&companion).map(|(at, _)| at);
        let starts_a_name = |at: &usize| {
            !source.code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                && !source.code[*at..].starts_with(&NOT_ALLOY.replace('-', "_"))
        };
        // A path of a companion crate, not a function of ours that starts with the word.
        let is_path = |at: &usize| {
            let rest =
                source.code[*at..].trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
            rest.starts_with("::") || rest.starts_with(';')
        };
        found.extend(companions.filter(starts_a_name).filter(is_path));
    }
    // Constants of the build, which read nothing.
    found.retain(|at| {
        !source.code[*at..]
            .trim_start_matches("std::")
            .starts_with("env::consts")
    });
    found
}

fn libraries_have_one_owner(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        for (library, owners) in OWNERS {
            if owners.iter().any(|owner| belongs(&source.path, owner)) {
                continue;
            }
            for at in mentions(source, library) {
                broken.push(format!(
                    "{}: `{library}` belongs to {}",
                    source.place(at),
                    owners.join(", ")
                ));
            }
        }
    }
    broken
}

fn manifests_have_one_owner(manifests: &[Manifest]) -> Vec<String> {
    let mut broken = Vec::new();
    for manifest in manifests {
        for dependency in manifest.dependencies() {
            let is = |library: &str| {
                dependency == library || dependency.starts_with(&format!("{library}-"))
            };
            let owner = MANIFEST_OWNERS.iter().find(|(library, _)| is(library));
            if let Some((library, owners)) = owner
                && dependency != NOT_ALLOY
                && !owners.contains(&manifest.path.as_str())
            {
                broken.push(format!(
                    "{}: `{library}` belongs to {}",
                    manifest.path,
                    owners.join(", ")
                ));
            }
        }
    }
    broken
}

#[test]
fn l2_a_heavy_dependency_has_one_owner() {
    hold("L2", libraries_have_one_owner(&production()));
    hold("L2", manifests_have_one_owner(&manifests()));
}

#[test]
fn l2_sees_each_library_outside_of_its_owner() {
    for (path, text) in [
        ("src/serve.rs", "use axum::Router;"),
        (
            "src/http_client.rs",
            "use utoipa_axum::router::OpenApiRouter;",
        ),
        ("src/up.rs", "#[derive(clap::Parser)] struct Up;"),
        (
            "crates/identity/src/a.rs",
            "use alloy::providers::Provider;",
        ),
        ("crates/did/src/a.rs", "fn f() { sol! { event A(); } }"),
        ("crates/content/src/a.rs", "fn f(c: reqwest::Client) {}"),
        (
            "crates/chain/src/a.rs",
            "use tokio_tungstenite::connect_async;",
        ),
        (
            "crates/store/src/a.rs",
            "fn f() { let _ = std::env::var(\"HOME\"); }",
        ),
        ("src/up.rs", "use std::{env, fs}; fn f() { env::vars(); }"),
    ] {
        let found = libraries_have_one_owner(&[Source::new(path, text)]);
        assert!(!found.is_empty(), "nothing is said of {text}");
    }
    let fine = [
        Source::new("src/http/a.rs", "use axum::Router;"),
        Source::new("src/http.rs", "use utoipa::OpenApi;"),
        Source::new("crates/kernel/src/a.rs", "use alloy_primitives::U256;"),
        Source::new(
            "src/devchain.rs",
            "fn f() -> &'static str { std::env::consts::OS }",
        ),
    ];
    hold("L2", libraries_have_one_owner(&fine));

    let text =
        "[package]\nname = 'content'\n[dependencies]\nreqwest = '0.13'\nalloy-primitives = '1'";
    catches(
        &manifests_have_one_owner(&[Manifest::new("crates/content/Cargo.toml", text)]),
        "reqwest",
    );
}

/// What must not come in, not even through others: `deny.toml` says why.
const BANNED: &[&str] = &[
    "openssl",
    "openssl-sys",
    "native-tls",
    "ssi",
    "did-key",
    "ipfs-api-backend-hyper",
    "core2",
    "pglite-oxide",
    "rust-ipfs",
];

fn banned(lock: &str) -> Vec<String> {
    let lock: Table = lock.parse().expect("Cargo.lock is TOML");
    let packages = lock["package"].as_array().cloned().unwrap_or_default();
    packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .filter(|name| BANNED.contains(name))
        .map(|name| format!("Cargo.lock: `{name}`"))
        .collect()
}

#[test]
fn l2_what_is_banned_is_not_in_the_lock_file() {
    hold("L2: kept out of the tree", banned(&read("Cargo.lock")));
    catches(
        &banned("[[package]]\nname = 'openssl'\n[[package]]\nname = 'serde'"),
        "openssl",
    );
    let deny = read("deny.toml");
    for name in BANNED {
        assert!(
            deny.contains(&format!("\"{name}\"")),
            "deny.toml does not ban {name}"
        );
    }
}
