//! API keys at the prompt.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use instance::Place;
use serde_json::Value;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn keys_are_made_used_rotated_and_revoked() {
    let place = Place::new("data");
    let up = place.up();
    let made = place.run(&[
        "key",
        "create",
        "deploy",
        "--scope",
        "keys:read",
        "--expires",
        "90d",
    ]);
    assert!(made.status.success(), "{made:?}");
    let secret = text(&made.stdout).trim().to_owned();
    assert_eq!(
        secret.len(),
        "ains_".len() + 44,
        "stdout is the key and nothing else"
    );
    assert!(text(&made.stderr).contains("shown once"), "{made:?}");
    let listed = json(&place.run(&["key", "list", "-o", "json"]));
    let id = listed[0]["key_id"].as_str().unwrap().to_owned();
    assert_eq!(listed[0]["principal"], "operator");
    assert!(text(&place.run(&["key", "list"]).stdout).contains("deploy"));

    // Who has the key uses the command line with it, within its scopes.
    let with = |secret: &str, args: &[&str]| {
        let url = up.ready["url"].as_str().unwrap();
        let mut command = place.command(args);
        command
            .args(["--url", url])
            .env("CHANCERY_TOKEN", secret)
            .output()
            .unwrap()
    };
    let seen = json(&with(&secret, &["key", "list", "-o", "json"]));
    assert_eq!(seen[0]["key_id"], id.as_str());
    let denied = with(&secret, &["key", "create", "more"]);
    assert_eq!(denied.status.code(), Some(4), "{denied:?}");
    assert!(text(&denied.stderr).contains("keys:write"), "{denied:?}");
    let denied = with(&secret, &["key", "log"]);
    assert_eq!(denied.status.code(), Some(4), "{denied:?}");
    assert!(text(&denied.stderr).contains("audit:read"), "{denied:?}");

    let next = json(&place.run(&["key", "rotate", &id, "--overlap", "1h", "-o", "json"]));
    let successor = next["key"].as_str().unwrap().to_owned();
    for secret in [&secret, &successor] {
        assert!(with(secret, &["key", "list"]).status.success(), "both hold");
    }
    let next = next["key_id"].as_str().unwrap();
    // Of one line two hold, so who rotates once more is told what ended.
    let rotated = place.run(&["key", "rotate", next, "-o", "json"]);
    let told = text(&rotated.stderr);
    assert!(told.contains(&format!("{id} is over now")), "{told}");
    let last = json(&rotated);
    assert!(!with(&secret, &["key", "list"]).status.success(), "over");
    assert!(
        place
            .run(&["key", "revoke", last["key_id"].as_str().unwrap()])
            .status
            .success()
    );
    assert!(place.run(&["key", "revoke", next]).status.success());
    let left = json(&place.run(&["key", "list", "-o", "json"]));
    assert_eq!(
        left.as_array().unwrap().len(),
        1,
        "what is revoked is listed with --all"
    );
    let all = json(&place.run(&["key", "list", "--all", "-o", "json"]));
    assert_eq!(all.as_array().unwrap().len(), 3);

    // A key ends with the one that it was made with.
    let parent = [
        "key",
        "create",
        "parent",
        "--scope",
        "keys:write",
        "-o",
        "json",
    ];
    let parent = json(&place.run(&parent));
    let child = ["key", "create", "child", "-o", "json"];
    let child = json(&with(parent["key"].as_str().unwrap(), &child));
    let revoked = place.run(&["key", "revoke", parent["key_id"].as_str().unwrap()]);
    assert!(revoked.status.success(), "{revoked:?}");
    let told = text(&revoked.stderr);
    assert!(told.contains(child["key_id"].as_str().unwrap()), "{told}");
    let shown = text(&place.run(&["key", "list"]).stdout);
    assert!(!shown.contains("child"), "{shown}");

    let parent = parent["key_id"].as_str().unwrap();
    tells_who_asked(&place, parent, child["key_id"].as_str().unwrap());
    let wrong = with("wrong", &["key", "list"]);
    assert_eq!(wrong.status.code(), Some(4), "{wrong:?}");
    // It is written behind the answer.
    let refused = ["key", "log", "--success", "false", "-o", "json"];
    let newest = std::iter::repeat_with(|| json(&place.run(&refused))[0].clone());
    let mut newest = newest.take(500);
    let seen = newest.find(|seen| seen["error_message"] == "the token is wrong");
    assert_eq!(seen.unwrap()["action"], "GET /v1/keys");

    tells_how_often(&place, &id);

    let mistakes: [(&[&str], i32, &str); 9] = [
        (&["key", "log", "--event", "made"], 2, "api_key_created"),
        (&["key", "usage", "key_unknown"], 3, "no such key"),
        (&["key", "usage", &id, "--by", "day"], 2, "minute"),
        (&["key", "usage", &id, "--limit", "201"], 2, "200"),
        (&["key", "revoke", "key_unknown"], 3, "no such key"),
        (&["key", "rotate", &id, "--overlap", "40d"], 2, "30 days"),
        (&["key", "rotate", &id, "--overlap", "soon"], 2, "90d"),
        (&["key", "create", "x", "--scope", "all"], 2, "agents:write"),
        (&["key", "create", "x", "--for", "Bob"], 2, "did:key"),
    ];
    for (args, code, word) in mistakes {
        let refused = place.run(args);
        assert_eq!(refused.status.code(), Some(code), "{args:?}: {refused:?}");
        assert!(
            text(&refused.stderr).contains(word),
            "{args:?}: {refused:?}"
        );
    }
}

/// A key's requests, by the hour and by the minute.
fn tells_how_often(place: &Place, id: &str) {
    let usage = ["key", "usage", id];
    // They are written behind the answers.
    let mut seen = std::iter::repeat_with(|| place.run(&usage)).take(2_000);
    let shown = seen.find(|seen| !seen.stdout.is_empty());
    let shown = text(&shown.expect("it was used").stdout);
    assert!(shown.starts_with("FROM (UTC)"), "{shown}");
    let hours = json(&place.run(&[&usage[..], &["-o", "json"]].concat()));
    assert_eq!(hours[0]["window_type"], "hour", "{hours}");
    assert_eq!(hours[0]["key_id"], id);
    assert!(hours[0]["request_count"].as_i64().unwrap() > 0, "{hours}");
    let newest = ["--by", "minute", "--limit", "1", "-o", "json"];
    let newest = json(&place.run(&[&usage[..], &newest].concat()));
    assert_eq!(newest.as_array().unwrap().len(), 1, "{newest}");
    assert_eq!(newest[0]["window_type"], "minute");

    // A key that was never used has none.
    let made = json(&place.run(&["key", "create", "idle", "-o", "json"]));
    let idle = made["key_id"].as_str().unwrap();
    let none = place.run(&["key", "usage", idle]);
    assert!(none.status.success() && none.stdout.is_empty(), "{none:?}");
    assert!(text(&none.stderr).contains("no requests"), "{none:?}");
}

/// The audit log: by sort, by key, by client, all or the newest.
fn tells_who_asked(place: &Place, parent: &str, child: &str) {
    let log = ["key", "log", "-o", "json"];
    let log = |args: &[&str]| json(&place.run(&[&log[..], args].concat()));
    let made = ["--event", "api_key_created"];
    let all = log(&made);
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 3, "{all:?}");
    assert_eq!(all[0]["resource_id"], child, "newest first");
    assert_eq!(log(&[&made[..], &["--key", parent]].concat())[0], all[0]);
    let operators = [&made[..], &["--client", "operator", "--success", "true"]].concat();
    assert_eq!(log(&operators).as_array().unwrap().len(), 3);
    let nobodys = place.run(&["key", "log", "--client", "nobody"]);
    assert!(nobodys.stdout.is_empty() && text(&nobodys.stderr).contains("no events"));

    let newest = place.run(&[&["key", "log", "--limit", "1"][..], &made].concat());
    let shown = text(&newest.stdout);
    assert_eq!(shown.lines().count(), 1, "{shown}");
    let says = format!("api key created: POST /v1/keys by operator with {parent} on {child}");
    assert!(shown.contains(&says), "{shown}");
    assert!(text(&newest.stderr).contains("--all"), "{newest:?}");
}

/// anvil's first account.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const OWNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// Its second one's key.
const OTHERS_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";

#[test]
fn who_has_a_key_needs_no_token_at_an_office_that_is_not_his() {
    let office = Place::new("data");
    let up = office.up();
    let url = up.ready["url"].as_str().unwrap();
    // A machine without an instance, and so without a token.
    let home = Place::new("data");
    let ask = |args: &[&str]| home.run(&[&["--url", url][..], args, &["-o", "json"]].concat());
    let file = |name: &str, key: &str| {
        let path = home.dir().with_file_name(name);
        fs::write(&path, format!("{key}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_string_lossy().into_owned()
    };
    let (key, other) = (file("key", KEY), file("other", OTHERS_KEY));
    let denied = ask(&["watch", "add", OWNER]);
    assert_eq!(denied.status.code(), Some(4), "{denied:?}");

    // What somebody watches is his own.
    json(&ask(&["watch", "add", OWNER, "--key", &key]));
    let watched = |by: [&str; 2]| {
        let listed = json(&ask(&[&["watch", "list"][..], &by].concat()));
        listed.as_array().unwrap().len()
    };
    assert_eq!(watched(["--key", &key]), 1);
    assert_eq!(watched(["--key", &other]), 0);
    let agent = home.dir().with_file_name("agent.key");
    let agent = agent.to_str().unwrap();
    json(&ask(&["did", "create", "--out", agent]));
    assert_eq!(watched(["--agent-key", agent]), 0);
    for target in [
        OWNER,
        "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
    ] {
        json(&ask(&["watch", "add", target, "--agent-key", agent]));
    }
    assert_eq!(watched(["--agent-key", agent]), 2);
    // The query is signed, too.
    let gone = ["watch", "rm", "mine", OWNER, "--agent-key", agent];
    assert_eq!(json(&ask(&gone))["removed"], 1);
    assert_eq!(watched(["--agent-key", agent]), 1);
    let alerts = ["changes", "--watch", "mine", "--key", &key];
    assert!(ask(&alerts).status.success());
    let stranger = ["changes", "--watch", "mine", "--key", &other];
    assert!(!ask(&stranger).status.success(), "he watches nothing");

    // His transaction is relayed.
    let register = [
        "agent",
        "register",
        "--name",
        "Ada",
        "--description",
        "d",
        "--as",
        "data",
        "--key",
        &key,
    ];
    assert_eq!(json(&ask(&register))["agent"], "31337:0");

    // His first API key acts for him from then on.
    let create = [
        "key",
        "create",
        "mine",
        "--scope",
        "watches:read",
        "--key",
        &key,
    ];
    let made = json(&ask(&create));
    let secret = made["key"].as_str().unwrap();
    let mut command = home.command(&["--url", url, "watch", "list", "-o", "json"]);
    let listed = json(&command.env("CHANCERY_TOKEN", secret).output().unwrap());
    assert_eq!(listed[0]["owner"], OWNER);
    let keys = json(&ask(&["key", "list", "--key", &key]));
    let id = keys[0]["key_id"].as_str().unwrap();
    let denied = ask(&["key", "revoke", id, "--key", &other]);
    assert_eq!(denied.status.code(), Some(3), "somebody else's: {denied:?}");
    json(&ask(&["key", "revoke", id, "--key", &key]));
    let both = ["watch", "list", "--key", &key, "--agent-key", agent];
    assert_eq!(ask(&both).status.code(), Some(2), "one of the two");
}
