//! What a walk leaves: entries of the journal, each proven to somebody who trusts nothing but the journal's key.

use std::fs;

use serde_json::{Value, json};

use crate::{instance::Instance, prompt::Cli};

/// The journal of a running instance.
pub struct Journal<'a> {
    cli: &'a Cli<'a>,
    instance: &'a Instance,
    vkey: String,
}

impl<'a> Journal<'a> {
    /// With the key that its operator publishes.
    pub fn of(cli: &'a Cli<'a>, instance: &'a Instance) -> Self {
        let vkey = instance.get("/audit/vkey").1.trim().to_owned();
        Self {
            cli,
            instance,
            vkey,
        }
    }

    /// Waits until an entry that says this of an agent, by its id, is sealed, and has it proven and verified. Gives what
    /// was verified.
    pub fn proves(&self, agent: &str, column: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let cid = (0..20_000).find_map(|_| self.sealed(agent, column, &is_it));
        let cid = cid.unwrap_or_else(|| panic!("{column} in {:?}", self.entries(agent)));
        let file = self.cli.beside("proof");
        fs::write(&file, self.cli.ok(&["audit", "prove", &cid])).unwrap();
        let verify = ["audit", "verify", &file, "--vkey", &self.vkey];
        let verified = self.cli.json(&verify);
        assert_eq!(verified["trusted"], true);
        let entry = &verified["entry"];
        assert_eq!(
            (&verified["cid"], &entry["agent"]),
            (&json!(cid), &json!(agent))
        );
        let changes = entry["changes"].as_array().unwrap();
        let is_said = |change: &Value| change["column"] == column && is_it(&change["value"]);
        assert!(changes.iter().any(is_said), "{column}: {verified}");
        verified
    }

    /// The same of a column that has this value.
    pub fn proves_value(&self, agent: &str, column: &str, value: &Value) {
        self.proves(agent, column, |said| said == value);
    }

    /// The same of what was signed: who signed it.
    pub fn proves_statement(&self, agent: &str, action: &str) -> Vec<Value> {
        let is_it = |said: &Value| said["statement"]["action"] == action;
        let verified = self.proves(agent, "statement", is_it);
        let mut statements = verified["statements"].as_array().unwrap().iter();
        let spoken = statements.find(|spoken| spoken["action"] == action);
        spoken.unwrap()["by"].as_array().unwrap().clone()
    }

    /// All entries about an agent, newest first.
    pub fn entries(&self, agent: &str) -> Vec<Value> {
        let path = format!("/v1/agents/{agent}/entries?limit=200");
        let page: Value = serde_json::from_str(&self.instance.get(&path).1).unwrap();
        page["items"].as_array().unwrap().clone()
    }

    fn sealed(&self, agent: &str, column: &str, is_it: &impl Fn(&Value) -> bool) -> Option<String> {
        let is_said = |change: &Value| change[0] == column && is_it(&change[1]);
        let says = |entry: &Value| {
            let mut changes = entry["entry"]["changes"].as_array().into_iter().flatten();
            entry["kind"] == "agent" && entry["state"] != "queued" && changes.any(is_said)
        };
        let found = self.entries(agent).into_iter().find(says)?;
        Some(found["cid"].as_str().unwrap().to_owned())
    }

    /// An agent's whole record in one file, as a stranger verifies it: what he is told.
    pub fn whole_record(&self, agent: &str) -> String {
        let file = self.cli.beside("bundle");
        self.cli.ok(&["prove", agent, "--to", &file]);
        let told = self.cli.ok(&["verify", &file, "--vkey", &self.vkey]);
        assert!(told.contains("it is the one that you gave"), "{told}");
        told
    }
}
