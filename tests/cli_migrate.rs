//! `chancery migrate` and `serve` on the private database.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use instance::Place;

#[test]
fn down_to_nothing_wants_the_journal_named_and_up_brings_all_back() {
    let place = Place::new("data");
    let applied = || {
        let output = place.run(&["migrate", "status", "-o", "jsonl"]);
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        let is_applied = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["applied"] == true
        };
        lines.lines().map(is_applied).collect::<Vec<_>>()
    };
    assert!(applied().iter().all(|applied| !applied));
    assert!(place.run(&["migrate", "up"]).status.success());
    assert!(applied().iter().all(|applied| *applied));
    let refused = place.run(&["migrate", "down", "--to", "0"]);
    assert!(!refused.status.success());
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("--drop-journal")
    );
    let down = place.run(&["migrate", "down", "--to", "0", "--drop-journal"]);
    assert!(down.status.success(), "{down:?}");
    assert!(applied().iter().all(|applied| !applied));
    assert!(place.run(&["migrate", "up"]).status.success());
    assert!(applied().iter().all(|applied| *applied));
}
