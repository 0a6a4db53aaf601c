//! The configuration as a person meets it.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::process::{Command, Output};

fn chancery(variables: &[(&str, &str)], args: &[&str]) -> Output {
    let temp = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_chancery"))
        .env_remove("DATABASE_URL")
        .envs(variables.iter().copied())
        .current_dir(temp.path())
        .args(args)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    let variable = chancery(
        &[("CHANCERY__HTTP__LISTN", "127.0.0.1:1")],
        &["config", "check"],
    );
    assert_eq!(variable.status.code(), Some(2));
    assert!(
        text(&variable.stderr).contains("did you mean `http.listen`?"),
        "{variable:?}"
    );

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[database]\nmin_idel = 3\n").unwrap();
    let path = file.path().to_str().unwrap();
    let output = chancery(&[], &["config", "check", "--config", path]);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(
        message.contains("`database.min_idel`") && message.contains(path),
        "{message}"
    );
    assert!(
        message.contains("did you mean `database.min_idle`?"),
        "{message}"
    );
}

#[test]
fn print_masks_secrets_in_every_format() {
    let variables = [
        (
            "CHANCERY__DATABASE__URL",
            "postgres://app:hidden-password@db/chancery",
        ),
        ("CHANCERY__HTTP__TOKEN", "hidden-token-0123456789"),
    ];
    for format in ["human", "json", "jsonl"] {
        let output = chancery(&variables, &["config", "print", "-o", format]);
        assert!(output.status.success(), "{output:?}");
        let printed = text(&output.stdout);
        assert!(
            printed.contains("postgres://app:****@db/chancery"),
            "{printed}"
        );
        assert!(!printed.contains("hidden"), "{printed}");
    }
}

#[test]
fn print_says_where_a_value_comes_from() {
    let output = chancery(
        &[("CHANCERY__HTTP__LISTEN", "127.0.0.1:9")],
        &["config", "print"],
    );
    let printed = text(&output.stdout);
    assert!(
        printed.contains("listen = \"127.0.0.1:9\"  # the environment"),
        "{printed}"
    );
    assert!(
        printed.contains("format = \"human\"  # defaults"),
        "{printed}"
    );
}

#[test]
fn a_wrong_value_is_refused_with_its_key() {
    for (variable, key) in [
        ("CHANCERY__HTTP__LISTEN", "http.listen"),
        (
            "CHANCERY__DATABASE__MAX_CONNECTIONS",
            "database.max_connections",
        ),
        ("CHANCERY__DATABASE__URL", "database.url"),
    ] {
        let output = chancery(&[(variable, "nonsense")], &["config", "check"]);
        assert_eq!(output.status.code(), Some(2), "{variable}");
        assert!(text(&output.stderr).contains(key), "{output:?}");
    }
}

#[test]
fn a_scope_that_nobody_can_mean_is_refused_with_its_key() {
    let owner = "0x8004A169FB4a3325136EB29fA0ceB6D2e539a432";
    for (scope, watch, code, says) in [
        ("watched", "", 2, "at least one"),
        ("all", owner, 2, "sync.scope is \"all\""),
        ("watched", "alice", 2, "`alice` is neither"),
        ("some", owner, 2, "some"),
        ("watched", owner, 0, ""),
        (
            "watched",
            "eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/22",
            0,
            "",
        ),
        ("all", "", 0, ""),
    ] {
        let mut variables = vec![("CHANCERY__SYNC__SCOPE", scope)];
        if !watch.is_empty() {
            variables.push(("CHANCERY__SYNC__WATCH", watch));
        }
        let output = chancery(&variables, &["config", "check"]);
        assert_eq!(output.status.code(), Some(code), "{variables:?} {output:?}");
        let message = text(&output.stderr);
        assert!(message.contains(says), "{message}");
        assert!(code == 0 || message.contains("sync."), "{message}");
    }
}

#[test]
fn the_committed_example_is_the_current_one() {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/chancery.example.toml");
    let current = text(&chancery(&[], &["config", "example"]).stdout);
    let committed = std::fs::read_to_string(committed).unwrap();
    assert_eq!(
        committed, current,
        "run: chancery config example > chancery.example.toml"
    );
}

#[test]
fn completions_and_usage() {
    let output = chancery(&[], &["completions", "bash"]);
    assert!(text(&output.stdout).contains("doctor"));
    assert_eq!(chancery(&[], &["fly"]).status.code(), Some(2));
    assert_eq!(
        chancery(&[], &["serve", "--roles", "api,cook"])
            .status
            .code(),
        Some(2)
    );
    let without = chancery(&[], &["serve"]);
    assert_eq!(without.status.code(), Some(2));
    assert!(
        text(&without.stderr).contains("database.url"),
        "{without:?}"
    );
}
