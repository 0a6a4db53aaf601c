//! The page in a real Chromium, with a wallet of the test's own that announces itself (EIP-6963) and signs through anvil;
//! its committed build against its sources; and which Node that takes. What the browser does stands in `tests/page/`.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use instance::{Instance, Place};
use serde_json::Value;

/// Most bytes of a first visit, as they are sent.
const MOST_BYTES: u64 = 100_000;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn succeeded(what: &str, output: &Output) -> String {
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{what}: {out}\n{error}");
    out
}

/// Runs a script of `tests/page` against an instance; its pictures and proofs are in `out`.
fn browse(script: &str, instance: &Instance, out: &Path) -> String {
    let output = Command::new("node")
        .arg(root().join("tests/page").join(script))
        .env("CHANCERY_PAGE", instance.ready["url"].as_str().unwrap())
        .env("ANVIL", instance.ready["rpc"].as_str().unwrap())
        .env("OUT", out)
        .output()
        .expect("node: run scripts/setup --tests");
    succeeded(script, &output)
}

/// A directory for what a browser leaves behind, kept after the test to be looked at.
fn kept(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn the_committed_page_is_what_its_sources_give() {
    let output = Command::new("npm")
        .args(["run", "--silent", "check"])
        .current_dir(root().join("web"))
        .output()
        .expect("npm: run scripts/setup --tests");
    succeeded("npm run check", &output);
}

#[test]
fn a_node_that_is_too_old_for_the_page_is_told_and_does_for_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("node");
    fs::write(&node, "#!/bin/sh\necho v18.19.0\n").unwrap();
    fs::set_permissions(&node, fs::Permissions::from_mode(0o755)).unwrap();
    let setup = |flags: &[&str]| {
        Command::new("sh")
            .args(["-c", r#"PATH="$0:$PATH" exec scripts/setup "$@""#])
            .arg(dir.path())
            .args(flags)
            .current_dir(root())
            .output()
            .unwrap()
    };
    let refused = setup(&["--tests"]);
    let why = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{why}");
    assert!(
        why.contains("Node.js 20 or newer") && why.contains("v18.19.0"),
        "{why}"
    );
    let rest = setup(&[]);
    let said = String::from_utf8_lossy(&rest.stdout).into_owned();
    assert!(said.contains("nothing is missing"), "{said}");
    succeeded("scripts/setup", &rest);
}

#[test]
fn an_owner_does_everything_on_the_page_and_the_journal_proves_it() {
    let place = Place::new("data");
    let instance = place.up();
    let out = kept("page-walk");
    let told = browse("walk.mjs", &instance, &out);
    let steps: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<&str> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "register",
            "edit",
            "wallet",
            "status",
            "transfer",
            "deregister"
        ]
    );
    for step in &steps {
        let name = step["step"].as_str().unwrap();
        let mut said = Vec::new();
        for (at, cid) in step["cids"].as_array().unwrap().iter().enumerate() {
            // The proof stands without the instance.
            let proof = out.join(format!("{name}-{at}.tlog-proof"));
            let proven = place.run(&["audit", "verify", proof.to_str().unwrap()]);
            succeeded(name, &proven);
            let (status, body) = instance.get(&format!("/v1/entries/{}", cid.as_str().unwrap()));
            assert_eq!(status, 200, "{body}");
            let entry: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(entry["entry"]["agent"], step["agent"], "{name}");
            said.extend(entry["entry"]["changes"].as_array().unwrap().clone());
        }
        for wanted in step["changed"].as_array().unwrap() {
            let is_said = said.iter().any(|change| {
                change[0] == wanted[0] && (wanted[1].is_null() || change[1] == wanted[1])
            });
            assert!(is_said, "{name}: {wanted} among {said:?}");
        }
    }
}

#[test]
fn what_needs_no_gas_is_signed_on_the_page_and_the_journal_proves_it() {
    let place = Place::new("data");
    let instance = place.up();
    let out = kept("page-signed");
    let told = browse("signed.mjs", &instance, &out);
    let (mut names, mut agent) = (Vec::new(), String::new());
    for line in told.lines() {
        let step: Value = serde_json::from_str(line).unwrap();
        step["agent"].as_str().unwrap().clone_into(&mut agent);
        let name = step["step"].as_str().unwrap().to_owned();
        let proof = out.join(format!("{name}.tlog-proof"));
        let proven = place.run(&["audit", "verify", proof.to_str().unwrap()]);
        succeeded(&name, &proven);
        names.push(name);
    }
    assert_eq!(names, ["founded", "slept"]);

    // The key that it saved speaks at a prompt, once it is as the command line says.
    let key = out.join("agent (1).key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let key = key.to_str().unwrap();
    let say = ["agent", "say", "status", &agent, "SLEEP", "--key", key];
    let refused = place.run(&say);
    assert_eq!(refused.status.code(), Some(4));
    let why = String::from_utf8(refused.stderr).unwrap();
    let (_, command) = why.split_once(": run ").expect("a command");
    let ran = Command::new("sh").args(["-c", command]).output().unwrap();
    succeeded(command, &ran);
    succeeded("say", &place.run(&say));
}

#[test]
fn nothing_is_paid_on_the_page_for_a_file_that_is_not_pinned() {
    let place = Place::new("data");
    let instance = place.up();
    browse("pins.mjs", &instance, &kept("page-pins"));
}

#[test]
fn a_page_of_another_origin_gets_nothing_of_who_is_signed_in() {
    let place = Place::new("data");
    let instance = place.up();
    let told = browse("hostile.mjs", &instance, &kept("page-hostile"));
    let told: Value = serde_json::from_str(&told).unwrap();
    let tried = |what: &str| told[what].as_u64().unwrap();
    assert!(tried("strangers") >= 4 && tried("attempts") >= 80, "{told}");
    // The account's own key, and the two that its own page made in the end.
    let keys = place.sql("SELECT string_agg(name, ' ' ORDER BY name) FROM access.api_keys");
    let keys = keys.unwrap();
    let names: Vec<&str> = keys.split(' ').collect();
    assert_eq!(names.len(), 3, "{keys}");
    assert_eq!(names[0], "planted");
}

#[test]
fn the_page_is_light_and_for_everybody() {
    let place = Place::new("data");
    let instance = place.up_with(&["--demo"]);
    let out = kept("page-pictures");
    let told: Value = serde_json::from_str(&browse("bytes.mjs", &instance, &out)).unwrap();
    let bytes = told["page_bytes"].as_u64().unwrap();
    assert!(bytes < MOST_BYTES, "{told}");
    for part in ["/assets/app.js", "/assets/style.css"] {
        assert!(
            told["files"][part].as_u64().is_some_and(|size| size > 0),
            "{told}"
        );
    }
    browse("look.mjs", &instance, &out);
    browse("keys.mjs", &instance, &out);
}
