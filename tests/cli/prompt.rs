//! Commands at a prompt, and what has to come of them.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use serde_json::Value;

use crate::instance::Place;

/// anvil's first account.
pub const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
pub const OWNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/// anvil's second account.
pub const OTHERS_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
pub const OTHER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
/// The key of an account that nobody gave anything.
pub const POOR: &str = "0x00000000000000000000000000000000000000000000000000000000000000aa";

/// Registers an agent, but for whose it is.
pub const ADA: [&str; 12] = [
    "agent",
    "register",
    "--name",
    "Ada",
    "--description",
    "Files reports.",
    "--service",
    "A2A=https://ada.example/agent-card.json",
    "--skill",
    "files/reports",
    "--image",
    "https://ada.example/ada.png",
];

/// Commands against one place.
pub struct Cli<'a>(pub &'a Place);

impl Cli<'_> {
    /// Runs a command that must succeed: its stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.0.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// Runs a command that must fail with this code: its stderr.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        failed(&self.0.run(args), code)
    }

    /// A file beside the data directory.
    pub fn beside(&self, name: &str) -> String {
        let path = self.0.dir().with_file_name(name);
        path.to_string_lossy().into_owned()
    }

    /// A key file there.
    pub fn key(&self, name: &str, key: &str, mode: u32) -> String {
        let path = self.beside(name);
        fs::write(&path, format!("{key}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

/// What a command said that failed with this code.
pub fn failed(output: &Output, code: i32) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty(), "data of a failure");
    error
}

/// No line of a table or list is wider than a terminal, but for values that people copy.
pub fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
