//! The journal's side of a bundle.

use std::{cmp::Reverse, collections::BTreeSet};

use ::identity::statement::{self, Action};
use journal::{
    EntryKind, identity, log,
    publication::{self, Publication, State},
    read::{self, Record},
};
use kernel::{AgentId, Bytes, Limit};
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::{
        file,
        journaled::{Journaled, Standing},
        parts::{Anchor, EntryProof, Journal},
    },
    Draft, Error,
};
use crate::app::App;

/// Entries that are taken; more would say again what these say.
const MOST_ENTRIES: usize = 8;
/// Entries that are looked through, the newest.
const LOOKED_THROUGH: u32 = 200;

/// Adds the newest sealed entries that say what the record rests on. Gives the registration file's digest that they
/// name.
pub async fn add(app: &App, agent: Uuid, draft: &mut Draft) -> Result<Option<String>, Error> {
    let limit = Limit::new(LOOKED_THROUGH).unwrap_or_default();
    let all = read::by_agent(&app.db, AgentId(agent), None, limit).await?;
    let queued = all.items.iter().filter(|one| one.leaf_index.is_none());
    let queued = queued.count();
    let entries = telling(&all.items);
    let head = log::head(&app.db)
        .await?
        .zip(identity::find(&app.db).await?);
    let newest = entries.first().and_then(|entry| entry.leaf_index);
    let (Some((head, identity)), Some(newest)) = (head, newest) else {
        draft.lacks(file::JOURNAL, nothing_sealed(queued));
        return Ok(None);
    };
    if queued > 0 {
        let why = format!("{queued} newer entries of the agent are not sealed yet");
        draft.lacks("newest entries", why);
    }
    let mut proofs = Vec::new();
    for entry in entries.iter().rev() {
        let index = entry.leaf_index.unwrap_or_default();
        let path = log::inclusion(&app.db, index, head.size).await?;
        let path = path.iter().map(|hash| Bytes::copy_from_slice(hash));
        proofs.push(EntryProof {
            index,
            body: entry.body.clone().into(),
            path: path.collect(),
        });
    }
    let published = publication::of_leaf(&app.db, newest).await?;
    let in_state = |state| published.iter().find(|one| one.state == state);
    let manifest = in_state(State::Pinned).or(in_state(State::Stored));
    if manifest.is_none() {
        draft.lacks("manifest", "the newest entry is not stored as blocks yet");
    }
    let part = Journal {
        vkey: identity.vkey,
        checkpoint: head.note,
        entries: proofs,
        manifest: manifest.map(|one| one.reference.clone()),
    };
    draft.file.put(file::JOURNAL, &part);
    match anchor(app, in_state(State::Anchored), head.size).await? {
        Some(part) => draft.file.put(file::ANCHOR, &part),
        None => draft.lacks(
            file::ANCHOR,
            "no checkpoint over the newest entry is anchored",
        ),
    }
    let document = journaled(&entries).value("document").cloned();
    Ok(document.and_then(|digest| digest.as_str().map(str::to_owned)))
}

/// The anchor, with the proof that the checkpoint of `size` entries goes on from it.
async fn anchor(app: &App, said: Option<&Publication>, size: u64) -> Result<Option<Anchor>, Error> {
    // One that came since the checkpoint was read is of a longer log.
    let Some(said) = said.filter(|said| said.size <= size) else {
        return Ok(None);
    };
    let Some(made) = publish::anchor::made(&app.db, said.size, &said.reference).await? else {
        return Ok(None);
    };
    let proof = log::consistency(&app.db, made.size, size).await?;
    let proof = proof.iter().map(|hash| Bytes::copy_from_slice(hash));
    Ok(Some(Anchor {
        chain: made.chain,
        contract: Bytes::copy_from_slice(made.contract.as_slice()),
        keeper: Bytes::copy_from_slice(made.keeper.as_slice()),
        tx: Bytes::copy_from_slice(made.tx.as_slice()),
        size: made.size,
        root: Bytes::copy_from_slice(made.root.as_slice()),
        proof: proof.collect(),
    }))
}

fn nothing_sealed(queued: usize) -> String {
    if queued > 0 {
        "its entries wait to be sealed: try again in a moment".to_owned()
    } else {
        "it says nothing of the agent yet: changes are journaled once they are settled".to_owned()
    }
}

/// What these entries say, newest first.
fn journaled(entries: &[&Record]) -> Journaled {
    let mut said = Journaled::default();
    for record in entries.iter().rev() {
        said.take(&record.entry);
    }
    said
}

/// Of an agent's entries, newest first, those sealed ones that say what counts of some column; and beside them, as far as
/// there are places, those that show who may speak for the agent, the first ones first.
fn telling(entries: &[Record]) -> Vec<&Record> {
    let sealed = entries.iter().filter(|one| one.leaf_index.is_some());
    let mut sealed: Vec<&Record> = sealed.collect();
    sealed.sort_by_key(|one| Reverse(one.leaf_index));
    let said = journaled(&sealed);
    // What the chain's storage and the contract's own metadata show is not looked for here.
    let counts = said.standing().filter(|Standing { change, .. }| {
        !change.column.starts_with("onchain:") && change.value != Value::Null
    });
    let counting: BTreeSet<usize> = counts.map(|one| sealed.len() - 1 - one.entry).collect();
    let mut telling: BTreeSet<usize> = BTreeSet::new();
    for (place, record) in sealed.iter().enumerate() {
        let counts = counting.contains(&place) || record.entry.kind == EntryKind::Retracted;
        if telling.len() < MOST_ENTRIES && (place == 0 || counts) {
            telling.insert(place);
        }
    }
    for (place, record) in sealed.iter().enumerate().rev() {
        if telling.len() < MOST_ENTRIES && says_who_speaks(record) {
            telling.insert(place);
        }
    }
    telling.into_iter().map(|place| sealed[place]).collect()
}

/// Whether it holds a statement after which others speak for the agent than before.
fn says_who_speaks(record: &Record) -> bool {
    let changes = record.entry.changes.iter();
    let mut statements = changes.filter(|change| change.column == statement::COLUMN);
    statements.any(|change| {
        let action = change.value.pointer("/statement/action");
        let action = action.and_then(Value::as_str).and_then(Action::parse);
        matches!(
            action,
            Some(Action::Register | Action::Rotate | Action::Transfer)
        )
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use journal::{Change, Entry};
    use serde_json::json;

    use super::*;

    fn record(leaf: u32, changes: &[(&str, Value)]) -> Record {
        let change = |(column, value): &(&str, Value)| Change {
            column: (*column).to_owned(),
            value: value.clone(),
            cause: format!("statement:{leaf}"),
            time: DateTime::UNIX_EPOCH,
        };
        Record {
            seq: i64::from(leaf),
            cid: String::new(),
            state: State::Sealed,
            leaf_index: Some(u64::from(leaf)),
            appended_at: DateTime::UNIX_EPOCH,
            body: Vec::new(),
            entry: Entry {
                kind: EntryKind::Agent,
                agent: None,
                time: DateTime::UNIX_EPOCH,
                changes: changes.iter().map(change).collect(),
                said: Vec::new(),
                prev: None,
            },
        }
    }

    fn taken(entries: &[Record]) -> Vec<i64> {
        telling(entries).iter().map(|record| record.seq).collect()
    }

    #[test]
    fn a_file_that_was_judged_late_hides_no_later_status() {
        let uri = record(3, &[("agent_uri", json!("https://a.example"))]);
        let mut slept = record(4, &[("runtime_status", json!("SLEEP"))]);
        slept.entry.changes[0].time += chrono::TimeDelta::seconds(1);
        let mut judged = record(
            5,
            &[
                ("document", json!("00")),
                ("runtime_status", json!("ACTIVE")),
            ],
        );
        for change in &mut judged.entry.changes {
            change.cause = format!("{}/document:1", uri.entry.changes[0].cause);
        }
        let mut entries = [judged, slept, uri];
        assert_eq!(taken(&entries), [5, 4, 3]);
        // In one second, too: what a file says stands behind the log that names it, and before all others.
        entries[1].entry.changes[0].time = DateTime::UNIX_EPOCH;
        assert_eq!(taken(&entries), [5, 4, 3]);
    }

    #[test]
    fn who_may_speak_is_shown_where_there_is_room() {
        let said = |action: &str| {
            (
                statement::COLUMN,
                json!({ "statement": { "action": action } }),
            )
        };
        let older = [
            record(12, &[said("update"), ("name", json!("C"))]),
            record(11, &[said("update"), ("name", json!("B"))]),
            record(10, &[said("rotate")]),
            record(9, &[said("register"), ("name", json!("A"))]),
        ];
        assert_eq!(taken(&older), [12, 10, 9]);
        let columns = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let newer = (21..).zip(columns);
        let mut entries: Vec<Record> = newer
            .map(|(leaf, column)| record(leaf, &[(column, json!(1))]))
            .collect();
        entries.reverse();
        // The record comes first; then who founded the agent.
        entries.remove(0);
        entries.extend(older);
        assert_eq!(taken(&entries), [27, 26, 25, 24, 23, 22, 21, 12]);
        entries.remove(0);
        assert_eq!(taken(&entries), [26, 25, 24, 23, 22, 21, 12, 9]);
    }
}
