//! `docker-compose.yml` against the binary: every command, flag and variable in it must exist.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

fn compose() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docker-compose.yml");
    serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn chancery(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_chancery"))
        .args(args)
        .env_remove("DATABASE_URL")
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Services that run our binary: name and definition.
fn ours(compose: &Value) -> Vec<(&String, &Value)> {
    compose["services"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, s)| s["build"].is_string())
        .collect()
}

fn words(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect()
}

fn keys(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value.as_object() {
        Some(inner) => inner
            .iter()
            .for_each(|(name, value)| keys(&format!("{prefix}__{name}"), value, into)),
        None => drop(into.insert(prefix.to_uppercase())),
    }
}

#[test]
fn every_variable_is_a_key_of_the_configuration() {
    let compose = compose();
    let printed: Value =
        serde_json::from_str(&chancery(&["config", "print", "-o", "json"])).unwrap();
    let mut known = BTreeSet::new();
    keys("chancery", &printed, &mut known);
    assert_eq!(ours(&compose).len(), 2);
    for (name, service) in ours(&compose) {
        for variable in service["environment"].as_object().unwrap().keys() {
            assert!(
                known.contains(variable),
                "{name}: {variable} is not among {known:?}"
            );
        }
    }
}

#[test]
fn the_default_values_are_a_right_configuration() {
    let compose = compose();
    for (name, service) in ours(&compose) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
        command
            .env_remove("DATABASE_URL")
            .current_dir(std::env::temp_dir());
        for (variable, value) in service["environment"].as_object().unwrap() {
            command.env(variable, interpolate(value.as_str().unwrap()));
        }
        let output = command.args(["config", "check"]).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

/// What compose makes of `${NAME:-default}` without that variable.
fn interpolate(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else {
        return text.to_owned();
    };
    let (variable, after) = rest.split_once('}').unwrap();
    // A default may hold braces of its own.
    let (variable, after) = if variable.contains('{') {
        rest.rsplit_once('}').unwrap()
    } else {
        (variable, after)
    };
    let default = variable.split_once(":-").unwrap().1;
    format!("{before}{default}{}", interpolate(after))
}

#[test]
fn every_command_and_flag_exists() {
    let compose = compose();
    for (name, service) in ours(&compose) {
        let command = words(&service["command"]);
        let nouns: Vec<_> = command
            .iter()
            .take_while(|word| !word.starts_with('-'))
            .copied()
            .collect();
        let help = chancery(&[&nouns[..], &["--help"]].concat());
        for flag in command.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "{name}: {flag} is not in {help}");
        }
    }
}

#[test]
fn nothing_is_reachable_from_outside_and_everything_is_watched() {
    let compose = compose();
    let volumes = compose["volumes"].as_object().unwrap();
    for (name, service) in compose["services"].as_object().unwrap() {
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(
                port.as_str().unwrap().starts_with("127.0.0.1:"),
                "{name}: {port}"
            );
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let (volume, _) = volume.as_str().unwrap().split_once(':').unwrap();
            assert!(
                volumes.contains_key(volume),
                "{name}: {volume} is no named volume"
            );
        }
        assert!(
            name == "migrate" || service["healthcheck"].is_object(),
            "{name} has no health check"
        );
    }
}
