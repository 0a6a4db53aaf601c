//! L7: small files, short functions, named concepts, no layers for their own sake.

use std::collections::BTreeMap;

use crate::{catches, hold, production, source::Source};

const FILE_WANTED: usize = 300;
const FILE_MOST: usize = 500;
const FUNCTION_WANTED: usize = 50;
const FUNCTION_MOST: usize = 80;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "prelude", "misc",
];

/// Lines of a file, its tests aside.
fn file_lines(source: &Source) -> usize {
    let is_test_line = |(raw, code): &(&str, &str)| {
        code.trim().is_empty() && !raw.trim().is_empty() && !is_comment(raw)
    };
    let lines = source.text.lines().zip(source.code.lines());
    let in_literal = literal_lines(source, 0, source.text.len());
    // A line of a literal is blank in the code, too; it counts.
    lines.clone().count()
        - lines
            .filter(is_test_line)
            .count()
            .saturating_sub(in_literal)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Lines between `from` and `to` that only go on with a literal: SQL, mostly.
fn literal_lines(source: &Source, from: usize, to: usize) -> usize {
    let inside = source
        .literals
        .iter()
        .filter(|literal| (from..to).contains(&literal.at));
    inside
        .map(|literal| literal.text.matches('\n').count())
        .sum()
}

/// Functions with their length; a statement of SQL counts as one line.
fn functions(source: &Source) -> Vec<(String, usize)> {
    let length = |from: usize, to: usize| {
        source.line(to - 1) - source.line(from) + 1 - literal_lines(source, from, to)
    };
    source
        .functions()
        .into_iter()
        .map(|f| {
            (
                format!("{}: `{}`", source.place(f.at), f.name),
                length(f.at, f.end),
            )
        })
        .collect()
}

fn too_long(sources: &[Source], file_limit: usize, function_limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let lines = file_lines(source);
        if lines > file_limit {
            found.push(format!("{}: {lines} lines", source.path));
        }
        let long = functions(source)
            .into_iter()
            .filter(|(_, lines)| *lines > function_limit);
        found.extend(long.map(|(name, lines)| format!("{name} has {lines} lines")));
    }
    found
}

#[test]
fn l7_files_and_functions_are_short() {
    let sources = production();
    for note in too_long(&sources, FILE_WANTED, FUNCTION_WANTED) {
        println!("longer than wanted: {note}");
    }
    hold(
        "L7: more than 500 lines of a file, or 80 of a function",
        too_long(&sources, FILE_MOST, FUNCTION_MOST),
    );
}

#[test]
fn l7_sees_what_is_too_long() {
    let check = |text: &str| too_long(&[Source::new("src/a.rs", text)], FILE_MOST, FUNCTION_MOST);
    let long = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(FUNCTION_MOST));
    catches(&check(&long), "`f` has 82 lines");
    let long = format!(
        "fn f() {{\n    g();\n}}\n{}",
        "const A: u8 = 1;\n".repeat(FILE_MOST)
    );
    catches(&check(&long), "503 lines");
    let tests = format!(
        "fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n",
        "    const A: u8 = 1;\n".repeat(FILE_MOST)
    );
    hold("L7: tests are aside", check(&tests));
    let sql = format!(
        "fn f() {{\n    query(\"SELECT\n{}\")\n}}\n",
        "    a,\n".repeat(FUNCTION_MOST)
    );
    hold("L7: SQL is one line of a function", check(&sql));
}

fn empty_names(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        let stem = source
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .trim_end_matches(".rs");
        if EMPTY_NAMES.contains(&stem) {
            broken.push(format!("{}: a name that says nothing", source.path));
        }
        for name in EMPTY_NAMES {
            for at in source.words(&format!("mod {name}")) {
                broken.push(format!("{}: a module `{name}`", source.place(at)));
            }
        }
        for suffix in ["Repository", "Dao", "Manager", "Helper"] {
            for at in ["struct ", "trait ", "enum "]
                .iter()
                .flat_map(|word| source.words(word.trim()))
            {
                let rest = source.code[at..]
                    .split_whitespace()
                    .nth(1)
                    .unwrap_or_default();
                let name: String = rest
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if name.ends_with(suffix) {
                    broken.push(format!("{}: a layer `{name}`", source.place(at)));
                }
            }
        }
    }
    broken
}

#[test]
fn l7_names_say_what_is_inside() {
    hold("L7", empty_names(&production()));
    catches(
        &empty_names(&[Source::new("crates/did/src/utils.rs", "")]),
        "says nothing",
    );
    catches(
        &empty_names(&[Source::new("src/a.rs", "mod helpers;")]),
        "module `helpers`",
    );
    catches(
        &empty_names(&[Source::new("src/a.rs", "pub struct AgentRepository;")]),
        "AgentRepository",
    );
}

/// Traits of ours with the number of types that implement them.
fn traits(sources: &[Source]) -> BTreeMap<String, (String, usize)> {
    let mut traits = BTreeMap::new();
    for source in sources {
        for at in source.words("trait") {
            let rest = source.code[at + "trait".len()..].trim_start();
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !name.is_empty() {
                traits.insert(name, (source.place(at), 0));
            }
        }
    }
    for source in sources {
        for at in source.words("impl") {
            let head = source.code[at..]
                .split(['{', ';'])
                .next()
                .unwrap_or_default();
            let Some((before, _)) = head.split_once(" for ") else {
                continue;
            };
            // `impl<T> path::Name<U> for ..`: the last path segment, without its arguments.
            let name: String = match before.rsplit_once('>') {
                Some((front, "")) => front.split('<').next().unwrap_or_default().to_owned(),
                Some((_, back)) => back.to_owned(),
                None => before.trim_start_matches("impl").to_owned(),
            };
            let name = name
                .split('<')
                .next()
                .unwrap_or_default()
                .trim()
                .rsplit("::")
                .next()
                .unwrap_or_default();
            if let Some((_, count)) = traits.get_mut(name) {
                *count += 1;
            }
        }
    }
    traits
}

fn lonely_traits(sources: &[Source]) -> Vec<String> {
    traits(sources)
        .into_iter()
        .filter(|(_, (_, implementors))| *implementors < 2)
        .map(|(name, (place, count))| format!("{place}: trait `{name}` has {count} implementor"))
        .collect()
}

#[test]
fn l7_no_trait_has_one_implementor() {
    let sources = production();
    hold("L7: a wall with no other side", lonely_traits(&sources));
    let source = |text| Source::new("src/a.rs", text);
    catches(
        &lonely_traits(&[source("trait Clock {} struct A; impl Clock for A {}")]),
        "`Clock` has 1",
    );
    let two = "trait Clock {} impl Clock for A {} impl<T: Copy> self::Clock for B<T> {}";
    hold("L7", lonely_traits(&[source(two)]));
    assert_eq!(
        traits(&sources).get("Source").map(|(_, count)| *count),
        Some(2),
        "Rpc and Replay"
    );
}
