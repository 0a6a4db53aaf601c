//! DukeNET's immutable record of a registration, made of the agent's first entry in the journal.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use journal::{Entry, EntryKind};
use kernel::AgentId;
use serde::Serialize;
use serde_json::Value;

/// `/dukenet/agents/{id}/registration`: JSON without spaces, fields in this order. The same entry gives the same
/// bytes.
#[derive(Debug, Serialize)]
pub(super) struct Registration<'a> {
    /// The time of the fact that founded the agent: of a token its block's.
    timestamp: String,
    /// The agent's own key; null where it has none, as a token has.
    public_key: Option<&'a Value>,
    /// What the founding itself said. Of a token: what the block of its mint said.
    initial_metadata: BTreeMap<&'a str, &'a Value>,
    /// The agent's own signature; null where there is none: the transaction of `cause` was signed by its sender.
    signature: Option<&'a Value>,
    /// The agent's id.
    agent: AgentId,
    /// The fact that founded it.
    cause: &'a str,
    /// CID of the entry that all of this is in.
    entry: &'a str,
    /// The log in which the entry is.
    log: &'a str,
    /// The entry's leaf in it.
    leaf: u64,
}

impl<'a> Registration<'a> {
    /// What `entry` registers; `None` where it is not the first of an agent.
    pub(super) fn of(entry: &'a Entry, cid: &'a str, log: &'a str, leaf: u64) -> Option<Self> {
        let agent = entry.agent.filter(|_| entry.kind == EntryKind::Agent)?;
        let founding = entry.changes.first().filter(|_| entry.prev.is_none())?;
        let said: BTreeMap<&str, &Value> = entry
            .changes
            .iter()
            .filter(|change| is_with(&founding.cause, &change.cause))
            .map(|change| (change.column.as_str(), &change.value))
            .collect();
        Some(Self {
            timestamp: founding.time.to_rfc3339_opts(SecondsFormat::Micros, true),
            public_key: said.get("public_key").copied(),
            signature: said
                .get("statement")
                .and_then(|said| said.pointer("/signatures/0/signature")),
            initial_metadata: said,
            agent,
            cause: &founding.cause,
            entry: cid,
            log,
            leaf,
        })
    }

    /// The agent's id.
    pub(super) fn agent(&self) -> AgentId {
        self.agent
    }
}

/// Whether a fact belongs to the founding: it is the same one, or another log of the same block. Documents do
/// not: when they were fetched is no matter of the registration.
fn is_with(founding: &str, cause: &str) -> bool {
    let log = |cause: &str| {
        let (block, index) = cause.strip_prefix("eip155:")?.rsplit_once('/')?;
        index.parse::<u64>().ok()?;
        Some(block.to_owned())
    };
    cause == founding || log(cause).is_some_and(|block| Some(block) == log(founding))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};
    use journal::Change;
    use serde_json::json;

    use super::*;

    fn change(column: &str, value: Value, cause: &str, seconds: i64) -> Change {
        Change {
            column: column.to_owned(),
            value,
            cause: cause.to_owned(),
            time: DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds),
        }
    }

    fn first(changes: Vec<Change>) -> Entry {
        Entry {
            kind: EntryKind::Agent,
            agent: Some(AgentId::of_did("did:x:y")),
            time: DateTime::UNIX_EPOCH + TimeDelta::days(9),
            changes,
            said: Vec::new(),
            prev: None,
        }
    }

    #[test]
    fn a_registration_says_what_the_founding_block_said_and_where_it_is_proven() {
        let entry = first(vec![
            change("owner_address", json!("0xa"), "eip155:1/0xbb/7", 5),
            change("agent_uri", json!("ipfs://a"), "eip155:1/0xbb/9", 5),
            change("document", json!("23"), "eip155:1/0xbb/9/document:1", 6),
            change("owner_address", json!("0xc"), "eip155:1/0xcc/7", 17),
        ]);
        let found = Registration::of(&entry, "bafyentry", "example.com/log", 41).expect("a first");
        let text = serde_json::to_string(&found).expect("JSON");
        let agent = AgentId::of_did("did:x:y");
        assert_eq!(
            text,
            format!(
                r#"{{"timestamp":"1970-01-01T00:00:05.000000Z","public_key":null,"initial_metadata":{{"agent_uri":"ipfs://a","owner_address":"0xa"}},"signature":null,"agent":"{agent}","cause":"eip155:1/0xbb/7","entry":"bafyentry","log":"example.com/log","leaf":41}}"#
            )
        );
    }

    #[test]
    fn an_agent_of_an_act_has_what_the_act_said() {
        let entry = first(vec![
            change("did", json!("did:x:y"), "act:5", 5),
            change("public_key", json!("z6Mk"), "act:5", 5),
            change("name", json!("later"), "act:6", 6),
        ]);
        let found = Registration::of(&entry, "", "", 0).expect("a first");
        assert_eq!(found.public_key, Some(&json!("z6Mk")));
        assert_eq!(found.initial_metadata.len(), 2);
    }

    #[test]
    fn other_entries_register_nobody() {
        let whole = first(vec![change("name", json!("n"), "act:5", 5)]);
        let later = Entry {
            prev: Some("bafy".to_owned()),
            ..whole.clone()
        };
        let retracted = Entry {
            kind: EntryKind::Retracted,
            ..whole.clone()
        };
        let incident = Entry {
            kind: EntryKind::Incident,
            agent: None,
            ..whole
        };
        for entry in [later, retracted, incident, first(Vec::new())] {
            assert!(Registration::of(&entry, "", "", 0).is_none(), "{entry:?}");
        }
    }
}
