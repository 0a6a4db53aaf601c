//! `docs/benchmarks.json` for tools and `docs/benchmarks.md` for people. Only what was measured now
//! is replaced; every section says on what machine, and on what commit, its figures came about.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::process::{ROOT, binary};

/// One row, with all its runs.
pub struct Figure {
    /// Its name, for ever.
    pub name: &'static str,
    /// What is counted.
    pub unit: &'static str,
    /// What we want; none where a row only tells.
    pub goal: Option<f64>,
    /// Whether more is better.
    pub at_least: bool,
    /// Somebody else's figure, where there is a comparable one.
    pub peer: Option<Peer>,
    /// What was measured, and how far peers compare.
    pub told: String,
    /// Every run.
    pub runs: Vec<f64>,
}

/// Somebody else's figure.
pub struct Peer {
    /// Who.
    pub name: &'static str,
    /// How much.
    pub value: f64,
}

/// A row as tools read it.
#[derive(Serialize, Deserialize)]
struct Row {
    name: String,
    value: f64,
    unit: String,
    goal: Option<f64>,
    peer: Option<String>,
    peer_value: Option<f64>,
    command: String,
}

impl Figure {
    fn sorted(&self) -> Vec<f64> {
        let mut runs = self.runs.clone();
        runs.sort_by(f64::total_cmp);
        runs
    }

    /// The middle run; of an even number the worse of the two, so that it is one that happened.
    pub fn median(&self) -> f64 {
        let runs = self.sorted();
        let below = (runs.len() - 1) / 2;
        runs[if self.at_least { below } else { runs.len() / 2 }]
    }

    /// Whether the goal is met, where there is one.
    fn is_met(&self) -> Option<bool> {
        let goal = self.goal?;
        Some(if self.at_least {
            self.median() >= goal
        } else {
            self.median() <= goal
        })
    }

    fn goal_text(&self) -> String {
        let sign = if self.at_least { "≥" } else { "≤" };
        self.goal.map_or_else(
            || "none".to_owned(),
            |goal| format!("{sign} {} {}", number(goal), self.unit),
        )
    }

    /// One line for the terminal.
    pub fn line(&self) -> String {
        let runs = self.sorted();
        let [min, median, max] = [runs[0], self.median(), runs[runs.len() - 1]].map(number);
        let word = match self.is_met() {
            Some(true) => ": met",
            Some(false) => ": MISSED",
            None => "",
        };
        let (name, unit, goal) = (self.name, self.unit, self.goal_text());
        format!("{name}: {min} / {median} / {max} {unit} (min/median/max); goal {goal}{word}")
    }

    fn row(&self) -> Row {
        Row {
            name: self.name.to_owned(),
            value: round(self.median()),
            unit: self.unit.to_owned(),
            goal: self.goal,
            peer: self.peer.as_ref().map(|peer| peer.name.to_owned()),
            peer_value: self.peer.as_ref().map(|peer| peer.value),
            command: self.command(),
        }
    }

    fn command(&self) -> String {
        format!("scripts/bench {}", self.name)
    }

    fn section(&self, machine: &str) -> String {
        let runs = self.sorted();
        let [min, median, max] = [runs[0], self.median(), runs[runs.len() - 1]].map(number);
        let (goal, count, command) = (self.goal_text(), runs.len(), self.command());
        let word = match self.is_met() {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "told",
        };
        let runs: Vec<String> = self.runs.iter().copied().map(number).collect();
        format!(
            "| min | median | max | unit | goal | |\n|---|---|---|---|---|---|\n\
             | {min} | **{median}** | {max} | {} | {goal} | {word} |\n\n\
             {}\n\n\
             {count} runs: {}. Command: `{command}`. {machine}\n",
            self.unit,
            self.told,
            runs.join(", "),
        )
    }
}

fn round(value: f64) -> f64 {
    if value >= 1_000.0 {
        value.round()
    } else {
        (value * 100.0).round() / 100.0
    }
}

fn number(value: f64) -> String {
    round(value).to_string()
}

const HEAD: &str = "# Benchmarks

Written by `make bench` (all rows) or `scripts/bench NAME...` (only those rows; the others stay as they were). The same
rows are in `benchmarks.json`, where `value` is the median, rates (`.../s`) and ratios (`times`) should reach their goal,
and sizes and times should stay below it; a row without a goal only tells. Peers were measured here where a section says
that they ran by turns with Chancery, elsewhere where it says so.
";

/// Puts the figures into both files. `order` is that of all rows that there are.
pub fn write(figures: &[Figure], order: &[&str]) -> Result<()> {
    let machine = machine();
    let place = |name: &str| order.iter().position(|known| *known == name);

    let file = docs("benchmarks.json");
    let mut rows: Vec<Row> = match fs::read(&file) {
        Ok(text) => serde_json::from_slice(&text).context("docs/benchmarks.json")?,
        Err(_) => Vec::new(),
    };
    rows.retain(|row| figures.iter().all(|figure| row.name != figure.name));
    rows.extend(figures.iter().map(Figure::row));
    rows.sort_by_key(|row| place(&row.name).unwrap_or(usize::MAX));
    fs::write(file, format!("{}\n", serde_json::to_string_pretty(&rows)?))?;

    let file = docs("benchmarks.md");
    let mut sections = sections(&fs::read_to_string(&file).unwrap_or_default());
    for figure in figures {
        sections.insert(figure.name.to_owned(), figure.section(&machine));
    }
    let mut sections: Vec<_> = sections.into_iter().collect();
    sections.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
    let mut text = HEAD.to_owned();
    for (name, section) in sections {
        write!(text, "\n## {name}\n\n{}\n", section.trim())?;
    }
    fs::write(file, text)?;
    Ok(())
}

fn docs(name: &str) -> PathBuf {
    PathBuf::from(ROOT).join("docs").join(name)
}

/// The sections of an earlier file, by heading.
fn sections(text: &str) -> BTreeMap<String, String> {
    text.split("\n## ")
        .skip(1)
        .filter_map(|section| section.split_once('\n'))
        .map(|(name, rest)| (name.trim().to_owned(), rest.to_owned()))
        .collect()
}

/// What the figures depend on, in words.
fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).unwrap_or_default();
    let gib = kib.parse::<u64>().unwrap_or_default() / (1 << 20);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let system = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("unknown system")
        .trim_matches('"');
    let binary = binary().unwrap_or_default();
    let binary = binary.to_string_lossy();
    format!(
        "Machine: {cores} cores ({model}), {gib} GiB, {system}, load {load} at the end of the runs. {}; {}; {}; \
         commit {}.",
        said(&binary, &["--version"]),
        postgres(&binary),
        said("rustc", &["--version"]),
        said("git", &["describe", "--always", "--dirty"]),
    )
}

/// The version of the server that `chancery` finds, as its doctor says it.
fn postgres(binary: &str) -> String {
    let checks = said(binary, &["doctor", "-o", "json"]);
    let checks: Vec<Value> = serde_json::from_str(&checks).unwrap_or_default();
    let check = checks.iter().find(|check| check["name"] == "postgres");
    let detail = check.and_then(|check| check["detail"].as_str());
    detail
        .unwrap_or("Postgres of an unknown version")
        .to_owned()
}

/// What a command prints. Where it is stays out of what is written.
fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(ROOT).output();
    output.map_or_else(
        |_| format!("no {}", program.rsplit('/').next().unwrap_or(program)),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
