//! The chain that `up` is given by flags: recorded, reachable or not, right or wrong.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use instance::Place;
use nix::sys::signal::Signal;
use serde_json::Value;

const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/corpus/erc8004/mainnet-logs.json"
);

#[test]
fn a_recorded_chain_is_indexed_once_however_often_it_is_played() {
    let place = Place::new("data");
    let count = "SELECT (SELECT count(*) FROM agents) || ' ' || (SELECT count(*) FROM chain.logs) \
                 || ' ' || (SELECT count(*) FROM journal.entries)";
    // What is read of the agents' files later is journaled, too, and would be counted.
    let config = place.dir().with_file_name("quiet.toml");
    std::fs::write(&config, "[content]\nfetch = false\n").unwrap();
    let replayed = ["--replay", RECORDED, "--config", config.to_str().unwrap()];
    let first = place.up_with(&replayed);
    assert!(
        (0..1_000).any(|_| place.sql(count).unwrap().starts_with("92 108 ")),
        "{}",
        first.log()
    );
    assert!(first.stop(Signal::SIGTERM).success());
    let once = place.sql(count).unwrap();
    let second = place.up_with(&replayed);
    let (_, head, _) = second.request("GET /livez HTTP/1.0\r\n\r\n");
    assert!(
        head.starts_with("http/1.0 200") || head.starts_with("http/1.1 200"),
        "{head}"
    );
    assert!(second.stop(Signal::SIGTERM).success());
    assert_eq!(place.sql(count).unwrap(), once);
}

#[test]
fn a_node_that_is_down_is_told_and_the_rest_goes_on() {
    let place = Place::new("data");
    let instance = place.up_with(&["--rpc", "http://127.0.0.1:1"]);
    assert_eq!(instance.get("/readyz").0, 200);
    assert!(
        instance.log().contains("the node does not answer"),
        "{}",
        instance.log()
    );
    assert!(instance.stop(Signal::SIGTERM).success());
}

#[test]
fn two_entries_of_one_chain_and_a_first_block_above_the_head_are_told() {
    let place = Place::new("data");
    let chain = place.up();
    let rpc = chain.ready["rpc"].as_str().unwrap();
    let sync: Value = serde_json::from_str(&chain.get("/v1/sync").1).unwrap();
    let registry = sync["chains"][0]["contracts"]["identity"][0]
        .as_str()
        .unwrap();
    let other = Place::new("data");
    let entry = format!("[[indexer.chains]]\nrpc = [\"{rpc}\"]\nregistries = [\"{registry}\"]\n");
    let file = other.dir().with_file_name("chancery.toml");
    std::fs::write(&file, entry.repeat(2)).unwrap();
    let up = ["up", "--listen", "127.0.0.1:0"];
    let output = other.run(&[&up[..], &["--config", file.to_str().unwrap()]].concat());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(
        text.contains("is followed already, at ") && text.contains(rpc),
        "{text}"
    );
    let early = Place::new("data");
    let flags = ["--rpc", rpc, "--registry", registry, "--from-block", "5000"];
    let instance = early.up_with(&flags);
    let log = instance.log();
    assert!(log.contains("5000, is above the head, block "), "{log}");
    assert!(instance.stop(Signal::SIGTERM).success());
    assert!(chain.stop(Signal::SIGTERM).success());
}

#[test]
fn a_stored_chain_is_refused_with_another_first_block_or_registry_and_goes_on_without() {
    let place = Place::new("data");
    let chain = place.up();
    let rpc = chain.ready["rpc"].as_str().unwrap();
    let sync: Value = serde_json::from_str(&chain.get("/v1/sync").1).unwrap();
    let contracts = &sync["chains"][0]["contracts"];
    let registry = contracts["identity"][0].as_str().unwrap();
    let status = contracts["status"][0].as_str().unwrap();
    let other = Place::new("data");
    let flags = ["--rpc", rpc, "--registry", registry];
    let first = other.up_with(&[&flags[..], &["--from-block", "1"]].concat());
    assert!(first.stop(Signal::SIGTERM).success());
    let both = format!("{registry},{status}");
    for (flags, says) in [
        (
            [&flags[..], &["--from-block", "2"]].concat(),
            "kept here from block 1 on",
        ),
        (
            vec!["--rpc", rpc, "--registry", &both],
            "; new: identity 0x",
        ),
        (
            vec!["--rpc", rpc, "--registry", status],
            "; no longer named: identity 0x",
        ),
    ] {
        let output = other.run(&[&["up", "--listen", "127.0.0.1:0"], &flags[..]].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{flags:?}: {text}");
        assert!(text.contains(says), "{flags:?}: {text}");
    }
    let kept =
        "SELECT start_block || ' ' || (SELECT count(*) FROM chain.contracts) FROM chain.chains";
    assert_eq!(other.sql(kept).unwrap(), "1 1");
    let again = other.up_with(&flags);
    assert_eq!(again.get("/readyz").0, 200);
    assert!(again.stop(Signal::SIGTERM).success());
    assert!(chain.stop(Signal::SIGTERM).success());
}

#[test]
fn what_is_wrong_for_good_is_told_at_once() {
    let place = Place::new("data");
    let chain = place.up();
    let rpc = chain.ready["rpc"].as_str().unwrap();
    let api = chain.ready["url"].as_str().unwrap();
    let other = Place::new("data");
    let missing = other.dir().join("missing.json");
    for (flags, expected) in [
        (vec!["--rpc", rpc, "--chain", "base"], "--chain says base"),
        (vec!["--rpc", rpc], "--registry"),
        (vec!["--rpc", "nonsense"], "no URL"),
        (vec!["--rpc", rpc, "--registry", "0x12"], "no address"),
        (
            vec!["--replay", missing.to_str().unwrap()],
            "cannot be read",
        ),
        (vec!["--registry", "0x12"], "--rpc or --replay"),
    ] {
        let output = other.run(&[&["up", "--listen", "127.0.0.1:0"], &flags[..]].concat());
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {text}");
        assert!(text.contains(expected), "{flags:?}: {text}");
    }
    let output = other.run(&["up", "--listen", "127.0.0.1:0", "--rpc", api]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && text.contains(api),
        "no node there: {text}"
    );
    assert_eq!(other.processes(), Vec::<String>::new());
}
