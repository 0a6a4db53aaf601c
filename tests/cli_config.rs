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
fn chains_that_nobody_can_follow_are_refused_with_key_and_way_out() {
    let address = "0x8004A169FB4a3325136EB29fA0ceB6D2e539a432";
    let both =
        format!("[{{rpc=[\"http://a\"],registries=[\"{address}\"],status=[\"{address}\"]}}]");
    for (chains, key, says) in [
        ("[{}]", "chains[0].rpc", "at least one URL"),
        (
            r#"[{rpc=["x"]}]"#,
            "chains[0].rpc[0]",
            "http:// or https://",
        ),
        (
            r#"[{rpc=["http://a","ws://b/secret"]}]"#,
            "chains[0].rpc[1]",
            "`ws:`",
        ),
        (
            r#"[{providers=[{url="x"}]}]"#,
            "chains[0].providers[0].url",
            "no URL",
        ),
        (
            r#"[{providers=[{url="http://a",at_once=0}]}]"#,
            "chains[0].providers[0].at_once",
            "at least 1",
        ),
        (
            r#"[{rpc=["http://a"],ws="http://a"}]"#,
            "chains[0].ws",
            "ws:// or wss://",
        ),
        (
            r#"[{rpc=["http://a"],ws="not a url"}]"#,
            "chains[0].ws",
            "no URL",
        ),
        (
            r#"[{rpc=["http://a","http://A:80/"]}]"#,
            "chains[0].rpc",
            "named twice",
        ),
        (
            r#"[{rpc=["http://a"],providers=[{url="http://a"}]}]"#,
            "chains[0].rpc",
            "named twice",
        ),
        (
            r#"[{rpc=["http://a"],quorum=5}]"#,
            "chains[0].quorum",
            "5 of 1",
        ),
        (
            r#"[{rpc=["http://a"],quorum=0}]"#,
            "chains[0].quorum",
            "1 to 1",
        ),
        (
            r#"[{rpc=["http://a"],chain="nope"}]"#,
            "chains[0].chain",
            "`nope`",
        ),
        (
            r#"[{rpc=["http://a"],registries=["0x12"]}]"#,
            "chains[0].registries[0]",
            "`0x12`",
        ),
        (
            r#"[{rpc=["http://a"],status=["0x12"]}]"#,
            "chains[0].status[0]",
            "40 hex digits",
        ),
        (both.as_str(), "chains[0].status", "one of both"),
        (
            r#"[{rpc=["http://a"],chain="base"},{rpc=["http://b"],chain="8453"}]"#,
            "chains[1].chain",
            "chains[0]",
        ),
        (
            r#"[{rpc=["http://a"]},{rpc=["http://b"]},{rpc=["http://c"],chain="base"}]"#,
            "",
            "",
        ),
    ] {
        let output = chancery(
            &[("CHANCERY__INDEXER__CHAINS", chains)],
            &["config", "check"],
        );
        let message = text(&output.stderr);
        let code = if key.is_empty() { 0 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{chains} {message}");
        assert!(
            code == 0 || message.contains(&format!("`indexer.{key}`")),
            "{chains} {message}"
        );
        assert!(message.contains(says), "{chains} {message}");
        assert!(!message.contains("secret"), "{message}");
    }
    for key in [
        "poll_ms",
        "step_logs",
        "range_blocks",
        "provider_at_once",
        "provider_timeout_seconds",
    ] {
        let variable = format!("CHANCERY__INDEXER__{}", key.to_uppercase());
        let output = chancery(&[(&variable, "0")], &["config", "check"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{key} {message}");
        assert!(
            message.contains(&format!("`indexer.{key}`: 0")),
            "{message}"
        );
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
