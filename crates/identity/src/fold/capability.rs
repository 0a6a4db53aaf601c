//! Capabilities: per name, the later of the current file that lists it and the act that names it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Run, State, columns::journal_value};
use crate::fact::{DocumentVersion, Place};

/// The value that an act gave a name, and the version, where it said one.
type Acted = (Value, Option<i32>);

/// What is said of one name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Capability {
    /// By the current file.
    file: Option<(Value, Place)>,
    /// By the last act: the value and version that it set, or that it took the name away.
    act: Option<(Option<Acted>, Place)>,
    /// What holds, `None` where the name is gone.
    pub held: Option<Held>,
}

/// A capability in force: a row of `capability_vectors`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The value.
    pub value: Value,
    /// What SQL set, else one more with each change of the value.
    pub version: i32,
    /// Since when the name is held.
    pub created_at: DateTime<Utc>,
    /// When value or version last changed.
    pub updated_at: DateTime<Utc>,
    /// Whether an act, not the file, says it.
    pub by_act: bool,
}

impl Capability {
    /// Decides anew what holds.
    fn settle(&mut self, at: Place) {
        let file = self
            .file
            .as_ref()
            .map(|(value, place)| (*place, Some((value, None)), false));
        let act = self.act.as_ref().map(|(said, place)| {
            (
                *place,
                said.as_ref().map(|(value, version)| (value, *version)),
                true,
            )
        });
        let later = match (file, act) {
            (Some(file), Some(act)) => Some(if act.0 > file.0 { act } else { file }),
            (file, act) => file.or(act),
        };
        let Some((_, Some((value, version)), by_act)) = later else {
            self.held = None;
            return;
        };
        let before = self.held.take();
        let version = version.unwrap_or_else(|| match &before {
            None => 1,
            Some(held) => held.version + i32::from(held.value != *value),
        });
        let same = before
            .as_ref()
            .filter(|held| held.value == *value && held.version == version);
        self.held = Some(Held {
            value: value.clone(),
            version,
            created_at: before.as_ref().map_or(at.time(), |held| held.created_at),
            updated_at: same.map_or(at.time(), |held| held.updated_at),
            by_act,
        });
    }
}

impl State {
    /// The file's list. A standing version lists everything; a later one says which names changed,
    /// removed ones null.
    pub(super) fn apply_document_capabilities(
        &mut self,
        version: &DocumentVersion,
        run: &mut Run<'_>,
    ) {
        match version.fields.get("capabilities") {
            Some(Value::Object(changed)) if !version.standing => self.change_list(changed, run),
            Some(Value::Object(listed)) => self.list_capabilities(listed, run),
            Some(_) => self.list_capabilities(&Map::new(), run),
            None if version.standing => self.list_capabilities(&Map::new(), run),
            None => {}
        }
    }

    fn change_list(&mut self, changed: &Map<String, Value>, run: &mut Run<'_>) {
        let at = run.fact.place;
        run.delta.capabilities = true;
        for (name, value) in changed {
            let capability = self.capabilities.entry(name.clone()).or_default();
            capability.file = (!value.is_null()).then(|| (value.clone(), at));
            capability.settle(at);
        }
        self.capabilities
            .retain(|_, capability| capability.file.is_some() || capability.act.is_some());
    }

    /// Puts a new list in place of the file's old one: a name that only older files listed is gone.
    pub(super) fn list_capabilities(&mut self, listed: &Map<String, Value>, run: &mut Run<'_>) {
        let at = run.fact.place;
        run.delta.capabilities = true;
        for (name, value) in listed {
            let capability = self.capabilities.entry(name.clone()).or_default();
            capability.file = Some((value.clone(), at));
            capability.settle(at);
        }
        self.capabilities.retain(|name, capability| {
            if !listed.contains_key(name) && capability.file.take().is_some() {
                capability.settle(at);
            }
            capability.file.is_some() || capability.act.is_some()
        });
    }

    /// A contract's word on one capability.
    pub(super) fn set_capability(&mut self, name: &str, value: Value, run: &mut Run<'_>) {
        run.delta.capabilities = true;
        run.change(
            self,
            format!("capability:{name}"),
            journal_value(value.clone()),
        );
        let capability = self.capabilities.entry(name.to_owned()).or_default();
        capability.act = Some((Some((value, None)), run.fact.place));
        capability.settle(run.fact.place);
    }

    /// What an act or a statement says of names: a value, with a version where it says one, or null.
    pub(super) fn apply_act_capabilities(
        &mut self,
        changes: &BTreeMap<String, Value>,
        run: &mut Run<'_>,
    ) {
        run.delta.capabilities = true;
        for (name, said) in changes {
            let said = said.get("value").map(|value| {
                let version = said.get("version").and_then(Value::as_i64);
                (
                    value.clone(),
                    version.and_then(|version| i32::try_from(version).ok()),
                )
            });
            let value = said
                .as_ref()
                .map_or(Value::Null, |(value, _)| journal_value(value.clone()));
            run.change(self, format!("capability:{name}"), json!(value));
            let capability = self.capabilities.entry(name.clone()).or_default();
            capability.act = Some((said, run.fact.place));
            capability.settle(run.fact.place);
        }
    }
}
