//! `/openapi.json` against what is really answered, whatever is asked: schemathesis asks as the operator, as an owner and
//! as nobody, with names that exist among those that it makes up. How it asks stands in `tests/fuzz/`.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

#[path = "cli/instance.rs"]
mod instance;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

use instance::Place;
use serde_json::Value;

/// Who asks.
const WHO: [&str; 3] = ["operator", "owner", "nobody"];

/// Operations that schemathesis cannot bring to an end that is good, each with the reason.
const EXCEPTED: [(&str, &str); 2] = [
    ("GET /v1/agents/{agent}/ws", "a WebSocket answers 101"),
    ("GET /v1/heartbeat", "a WebSocket answers 101"),
];

/// Of a hundred operations so many are to be answered with 2xx.
const WANTED: usize = 90;

/// `CHANCERY_SCHEMATHESIS`, else what `scripts/setup --tests` made. This is never passed over.
#[expect(clippy::disallowed_methods, reason = "a test's own tool")]
fn python() -> PathBuf {
    if let Some(python) = env::var_os("CHANCERY_SCHEMATHESIS") {
        return python.into();
    }
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/setup");
    let output = Command::new(setup).arg("--print-schemathesis").output();
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "this test needs schemathesis: run `scripts/setup --tests`, or set CHANCERY_SCHEMATHESIS"
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

fn file(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fuzz").join(name)
}

fn told(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!(
        "{}\n{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(error)
    )
}

/// What schemathesis may use: a program, an instance, and a directory for what it is told and tells.
struct Fuzz {
    python: PathBuf,
    url: String,
    out: PathBuf,
}

impl Fuzz {
    fn world(&self) -> PathBuf {
        self.out.join("world.json")
    }

    fn calls(&self, who: &str) -> PathBuf {
        self.out.join(format!("{who}.calls"))
    }

    /// Makes what is to be found on the instance.
    fn seed(&self, node: &str, token: &str) {
        let mut seed = Command::new(&self.python);
        seed.arg(file("seed.py")).args([&self.url, node, token]);
        let output = seed.arg(self.world()).output().unwrap();
        assert!(output.status.success(), "seed.py: {}", told(&output));
    }

    /// Asks everything; what was wrong.
    fn ask(&self, who: &str) -> Option<String> {
        let mut ask = Command::new(self.python.with_file_name("schemathesis"));
        ask.arg("--config-file").arg(file("schemathesis.toml"));
        ask.args(["run", "--no-color", "--url", &self.url])
            .arg(format!("{}/openapi.json", self.url))
            .env("SCHEMATHESIS_HOOKS", file("hooks.py"))
            .env("FUZZ_WORLD", self.world())
            .env("FUZZ_CALLS", self.calls(who))
            .env("FUZZ_WHO", who)
            .current_dir(&self.out);
        let output = ask.output().unwrap();
        (!output.status.success()).then(|| format!("as {who}: {}", told(&output)))
    }

    /// The statuses that each operation was answered with, whoever asked.
    fn statuses(&self) -> BTreeMap<String, BTreeSet<u16>> {
        let mut statuses: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
        for who in WHO {
            for line in fs::read_to_string(self.calls(who)).unwrap().lines() {
                let (operation, status) = serde_json::from_str(line).unwrap();
                statuses.entry(operation).or_default().insert(status);
            }
        }
        statuses
    }
}

/// The operations of the document, as schemathesis names them.
fn operations(document: &Value) -> Vec<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

#[test]
fn whatever_is_asked_is_answered_as_it_is_described() {
    let python = python();
    let place = Place::new("data");
    let instance = place.up();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi-fuzz");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).unwrap();
    // By a name: did:web has none for addresses. Nobody on this machine is counted, so no limit hides anything.
    let url = instance.ready["url"].as_str().unwrap();
    let fuzz = Fuzz {
        python,
        url: url.replace("127.0.0.1", "localhost"),
        out,
    };
    let token = fs::read_to_string(place.dir().join("token")).unwrap();
    fuzz.seed(instance.ready["rpc"].as_str().unwrap(), token.trim());

    let wrong: Vec<String> = thread::scope(|scope| {
        let fuzz = &fuzz;
        let runs = WHO.map(|who| scope.spawn(move || fuzz.ask(who)));
        let ended = runs.into_iter().map(|run| run.join().unwrap());
        ended.flatten().collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let (_, document) = instance.get("/openapi.json");
    let operations = operations(&serde_json::from_str(&document).unwrap());
    for (excepted, why) in EXCEPTED {
        let is_there = operations.iter().any(|operation| operation == excepted);
        assert!(is_there, "{excepted} ({why}) is no operation any more");
    }
    let statuses = fuzz.statuses();
    let none = BTreeSet::new();
    let missed: Vec<String> = operations
        .iter()
        .filter(|operation| EXCEPTED.iter().all(|(excepted, _)| operation != excepted))
        .map(|operation| (operation, statuses.get(operation).unwrap_or(&none)))
        .filter(|(_, seen)| !seen.iter().any(|status| (200..300).contains(status)))
        .map(|(operation, seen)| format!("{operation}: {seen:?}"))
        .collect();
    println!(
        "{} operations, without a 2xx: {missed:#?}",
        operations.len()
    );
    let good = operations.len() - EXCEPTED.len() - missed.len();
    assert!(
        good * 100 >= operations.len() * WANTED,
        "{good} of {} operations were answered with 2xx; not {missed:#?}",
        operations.len()
    );
}
