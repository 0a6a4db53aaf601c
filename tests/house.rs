//! The laws of the house, read from manifests and sources. Each law is tried twice: on the repository,
//! and on a made-up source that breaks it, so that a law which no longer sees anything fails too.
//!
//! What a law excepts stands in a list beside it, each line with its reason.

#[path = "house/doors.rs"]
mod doors;
#[path = "house/floors.rs"]
mod floors;
#[path = "house/postgres.rs"]
mod postgres;
#[path = "house/shape.rs"]
mod shape;
#[path = "house/source.rs"]
mod source;

use source::Source;

/// Sources that are no tests.
fn production() -> Vec<Source> {
    source::sources()
        .into_iter()
        .filter(|source| !source.is_test)
        .collect()
}

/// Fails with every place that breaks the law.
#[track_caller]
fn hold(law: &str, mut broken: Vec<String>) {
    broken.sort();
    broken.dedup();
    assert!(broken.is_empty(), "{law}\n  {}\n", broken.join("\n  "));
}

/// Fails unless the law sees exactly one thing wrong, and says this of it.
#[track_caller]
fn catches(broken: &[String], words: &str) {
    assert!(
        broken.len() == 1 && broken[0].contains(words),
        "expected one finding with `{words}`, found {broken:?}"
    );
}

#[test]
fn the_scanner_tells_code_from_comments_literals_and_tests() {
    let source = Source::new(
        "crates/x/src/a.rs",
        r##"
// axum in a comment
/* and /* nested */ axum */
fn f<'a>(c: char) -> &'a str { let _ = ('"', '\'', '\u{41}'); r#"axum "in" raw"# }
#[cfg(test)]
mod tests { fn axum() { let _ = "axum"; } }
fn axum() {}
"##,
    );
    assert_eq!(source.words("axum").len(), 1);
    assert_eq!(source.literals.len(), 1);
    assert_eq!(source.literals[0].text, "axum \"in\" raw");
    let names: Vec<String> = source.functions().into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["f", "axum"]);
    assert_eq!(source.krate(), "x");
}

#[test]
fn the_sources_are_found_and_the_tests_among_them_are_known() {
    let all = source::sources();
    let is_test = |path: &str| {
        all.iter()
            .find(|source| source.path == path)
            .map(|s| s.is_test)
    };
    assert_eq!(is_test("crates/store/src/tx.rs"), Some(false));
    assert_eq!(is_test("src/http/problem.rs"), Some(false));
    assert_eq!(is_test("crates/journal/src/append/tests.rs"), Some(true));
    assert_eq!(is_test("crates/journal/src/testing.rs"), Some(true));
    assert_eq!(is_test("crates/chain/src/rpc/error_test.rs"), Some(true));
}
