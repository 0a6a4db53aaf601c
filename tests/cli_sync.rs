//! `chancery sync` against instances of its own.

#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use instance::Place;
use serde_json::Value;

const RECORDED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/corpus/erc8004/mainnet-logs.json"
);

fn text(output: &std::process::Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_status_tells_how_far_and_how_sure_everything_is() {
    let place = Place::new("data");
    let _instance = place.up_with(&["--replay", RECORDED]);
    let status = (0..1_000)
        .map(|_| text(&place.run(&["sync", "status"])))
        .find(|status| status.contains("92 agents"));
    let status = status.unwrap();
    let mut lines = status.lines();
    let heads: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    let words = "CHAIN NAME STATE HEAD READ LAG SETTLED PROVEN INCIDENTS";
    assert_eq!(heads.join(" "), words);
    let row = lines.next().unwrap();
    assert!(row.starts_with("1 ") && row.ends_with("0%      0"), "{row}");
    assert!(
        status.contains("blocks reported, in 24339925..24359761"),
        "a file proves nothing: {status}"
    );
    let json: Value =
        serde_json::from_str(&text(&place.run(&["sync", "status", "-o", "json"]))).unwrap();
    assert_eq!(json["chains"][0]["levels"][0]["level"], "reported");
}

#[test]
fn the_digest_is_printed_in_full() {
    let place = Place::new("data");
    let _instance = place.up_with(&["--replay", RECORDED]);
    let json = text(&place.run(&["sync", "verify", "--digest", "-o", "json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["journal"]["digest"].as_str().unwrap().len(), 64);
    let human = text(&place.run(&["sync", "verify", "--digest"]));
    assert!(human.contains("  chain.logs ("), "{human}");
    assert!(human.ends_with("  everything\n"), "{human}");
}
