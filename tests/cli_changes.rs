//! `chancery changes` as people use it, over a restart of the instance.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use std::{
    io::{BufRead, BufReader, Lines},
    os::unix::process::ExitStatusExt,
    process::{ChildStdout, Stdio},
};

use instance::Place;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

fn insert(place: &Place, name: &str) {
    let sql = format!("INSERT INTO agents (did, name) VALUES ('did:vexel:{name}', '{name}')");
    place.sql(&sql).unwrap();
}

/// What the next lines say of agents: their names.
fn names(lines: &mut Lines<BufReader<ChildStdout>>, count: usize) -> Vec<String> {
    let items = lines
        .take(count)
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    items
        .map(|item| item["agent"]["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn following_goes_on_after_a_restart_of_the_instance() {
    let place = Place::new("data");
    let instance = place.up();
    insert(&place, "one");
    let mut followers = ["settled", "head"].map(|level| {
        let args = [
            "changes", "--level", level, "--after", "start", "--follow", "-o", "jsonl",
        ];
        let mut child = place.command(&args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    });
    // At the head an item is one change, and an INSERT makes several.
    let of_one = |lines: &mut Lines<BufReader<ChildStdout>>, last: &str| loop {
        if names(lines, 1) == [last] {
            return;
        }
    };
    for (_, lines) in &mut followers {
        of_one(lines, "one");
    }
    let log = instance.log();
    assert!(instance.stop(Signal::SIGTERM).success(), "{log}");
    let instance = place.up();
    assert!(
        !instance.log().contains("were not finished"),
        "{}",
        instance.log()
    );
    insert(&place, "two");
    let [(settled, lines), (head, at_head)] = &mut followers;
    assert_eq!(names(lines, 1), ["two"], "nothing is told twice");
    of_one(at_head, "two");

    for child in [settled, head] {
        kill(
            Pid::from_raw(child.id().try_into().unwrap()),
            // Not SIGINT: who is started in the background by a shell's script does not hear it.
            Signal::SIGTERM,
        )
        .unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
    }
    let list = |args: &[&str]| {
        let output = place.run(&[&["changes", "-o", "json"], args].concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice::<Vec<Value>>(&output.stdout).unwrap()
    };
    assert_eq!(list(&[]).len(), 2);
    assert_eq!(list(&["--limit", "1"])[0]["agent"]["name"], "two");
    assert_eq!(
        list(&["--after", "start", "--limit", "1"])[0]["agent"]["name"],
        "one"
    );
    assert_eq!(
        list(&["--did", "did:vexel:one", "--kind", "agent"]).len(),
        1
    );
    assert!(list(&["--kind", "incident"]).is_empty());
    let shown = place.run(&["changes"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.lines().all(|line| line.contains("did = did:vexel:")),
        "{text}"
    );
    for (args, code) in [
        (["--kind", "x"], 2),
        (["--agent", "x"], 3),
        (["--after", "s9999"], 3),
    ] {
        let output = place.run(&[&["changes"][..], &args].concat());
        assert_eq!(output.status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn what_is_watched_is_told_at_the_prompt() {
    let place = Place::new("data");
    let _instance = place.up();
    let alice = "0x00000000000000000000000000000000000A11CE";
    let shown = place.run(&["watch", "add", alice]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(
        text.contains("chancery changes --follow --watch mine"),
        "{text}"
    );
    for target in ["did:vexel:two", "did:vexel:two"] {
        assert!(
            place
                .run(&["watch", "add", target, "--name", "far"])
                .status
                .success()
        );
    }
    let listed = place.run(&["watch", "list", "-o", "json"]);
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    let names: Vec<&str> = listed
        .iter()
        .map(|watch| watch["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["far", "mine"]);

    let args = ["changes", "--follow", "--watch", "mine", "--after", "start"];
    let mut follower = place.command(&args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    insert(&place, "other");
    let hers = format!(
        "INSERT INTO agents (did, name, owner_address) VALUES ('did:vexel:one', 'one', '{alice}')"
    );
    place.sql(&hers).unwrap();
    let told = lines
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains("[new agent]"))
        .unwrap();
    assert!(
        told.contains("one") && told.contains("owner_address = 0x"),
        "{told}"
    );
    place
        .sql("UPDATE agents SET runtime_status = 'SLEEP' WHERE did = 'did:vexel:one'")
        .unwrap();
    let told = lines
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains("SLEEP"))
        .unwrap();
    assert!(
        told.contains("one [status]: runtime_status = SLEEP"),
        "{told}"
    );
    kill(
        Pid::from_raw(follower.id().try_into().unwrap()),
        Signal::SIGTERM,
    )
    .unwrap();
    follower.wait().unwrap();

    let gone = place.run(&["watch", "rm", "far", "did:vexel:two"]);
    assert_eq!(
        String::from_utf8(gone.stdout).unwrap(),
        "1 target of far is watched no more\n"
    );
    for (args, code) in [
        (&["watch", "rm", "far"][..], 3),
        (&["watch", "add", "nobody"], 3),
        (&["changes", "--watch", "far"], 3),
        (&["watch", "add", alice, "--name", "two words"], 2),
    ] {
        assert_eq!(place.run(args).status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn who_follows_with_a_key_that_ends_is_told_why() {
    let place = Place::new("data");
    let instance = place.up();
    assert!(
        place
            .run(&["watch", "add", "did:vexel:one"])
            .status
            .success()
    );
    insert(&place, "one");
    let made = place.run(&[
        "key",
        "create",
        "ci",
        "--scope",
        "watches:read",
        "-o",
        "json",
    ]);
    let key: Value = serde_json::from_slice(&made.stdout).unwrap();
    let url = instance.ready["url"].as_str().unwrap();
    let mut follower = place
        .command(&["changes", "--follow", "--watch", "mine", "--after", "start"])
        .args(["--url", url])
        .env("CHANCERY_TOKEN", key["key"].as_str().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("one"));
    let key_id = key["key_id"].as_str().unwrap();
    assert!(place.run(&["key", "revoke", key_id]).status.success());
    let ended = follower.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(4), "{ended:?}");
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(told.contains("the API key that opened this"), "{told}");
}
