//! What the entries of a journal say of an agent, in the order of the facts.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use journal::{Change, Entry, EntryKind};
use serde_json::Value;

/// What was said of each column by the entries that were taken.
///
/// What is learned late (a registration file that was fetched when the chain had gone on already) is journaled late, but
/// stands where it was said: of two changes of a column that one counts whose fact is the later one, and not whose entry
/// is. Facts stand in the order of their times, and those of one time as the entries name them; but what a file says
/// stands right behind the log that named the file.
#[derive(Debug, Default)]
pub struct Journaled {
    columns: BTreeMap<String, BTreeMap<Place, Standing>>,
    /// The last change of each cause, by its number among all.
    causes: HashMap<String, usize>,
    changes: usize,
    entries: usize,
}

/// A change that was not taken back.
#[derive(Debug)]
pub struct Standing {
    /// The change.
    pub change: Change,
    /// Which of the entries says it, by the order in which they were taken, from 0.
    pub entry: usize,
}

/// Where a fact stands among others: its time; then its change's number, or that of the log that named a file; then a
/// file's own change's number.
type Place = (DateTime<Utc>, usize, usize);

impl Journaled {
    /// Takes what an entry says, or takes back. Entries are taken in the order of their leaves.
    pub fn take(&mut self, entry: &Entry) {
        for change in &entry.changes {
            match entry.kind {
                EntryKind::Agent => self.say(change),
                EntryKind::Retracted => self.retract(change),
                EntryKind::Incident | EntryKind::Act => {}
            }
        }
        self.entries += 1;
    }

    fn say(&mut self, change: &Change) {
        self.changes += 1;
        self.causes.insert(change.cause.clone(), self.changes);
        let named = change.cause.split_once("/document:");
        let place = match named.and_then(|(log, _)| self.causes.get(log)) {
            Some(log) => (change.time, *log, self.changes),
            None => (change.time, self.changes, 0),
        };
        let standing = Standing {
            change: change.clone(),
            entry: self.entries,
        };
        let column = self.columns.entry(change.column.clone()).or_default();
        column.insert(place, standing);
    }

    fn retract(&mut self, gone: &Change) {
        let Some(column) = self.columns.get_mut(&gone.column) else {
            return;
        };
        column.retain(|_, Standing { change, .. }| {
            change.cause != gone.cause || change.value != gone.value
        });
    }

    /// The changes that count, by their columns.
    pub fn standing(&self) -> impl Iterator<Item = &Standing> {
        let columns = self.columns.values();
        columns.filter_map(|column| column.values().next_back())
    }

    /// A column's value; `None` where nothing is said of it.
    pub fn value(&self, column: &str) -> Option<&Value> {
        let standing = self.columns.get(column)?.values().next_back()?;
        Some(&standing.change.value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A column, its value, the fact and its second.
    type Saying<'a> = (&'a str, &'a str, &'a str, i64);

    fn entry(kind: EntryKind, changes: &[Saying<'_>]) -> Entry {
        let change = |(column, value, cause, second): &Saying<'_>| Change {
            column: (*column).to_owned(),
            value: json!(value),
            cause: (*cause).to_owned(),
            time: DateTime::from_timestamp(*second, 0).expect("a time"),
        };
        Entry {
            kind,
            agent: None,
            time: DateTime::UNIX_EPOCH,
            changes: changes.iter().map(change).collect(),
            said: Vec::new(),
            prev: None,
        }
    }

    type Entries<'a> = [(EntryKind, &'a [Saying<'a>])];

    /// Of each column its value and the entry that says it.
    fn after(entries: &Entries<'_>) -> Vec<(String, String, usize)> {
        let mut said = Journaled::default();
        for (kind, changes) in entries {
            said.take(&entry(*kind, changes));
        }
        let standing = said.standing().map(|Standing { change, entry }| {
            assert_eq!(said.value(&change.column), Some(&change.value));
            let value = change.value.as_str().unwrap_or_default();
            (change.column.clone(), value.to_owned(), *entry)
        });
        standing.collect()
    }

    #[test]
    fn the_later_fact_counts_and_not_the_later_entry() {
        use EntryKind::{Agent, Retracted};
        const URI: Saying<'_> = ("agent_uri", "u", "a/2", 5);
        const BORN: Saying<'_> = ("status", "ACTIVE", "a/0", 5);
        const OFF: Saying<'_> = ("status", "SLEEP", "b/0", 6);
        /// In the second of the file's log.
        const SOON: Saying<'_> = ("status", "SLEEP", "b/0", 5);
        const FILE: Saying<'_> = ("status", "ACTIVE", "a/2/document:1", 5);
        const LATER: Saying<'_> = ("status", "ACTIVE", "a/2/document:2", 9);
        let cases: [(&Entries<'_>, (&str, usize)); 8] = [
            (&[(Agent, &[URI, FILE]), (Agent, &[OFF])], ("SLEEP", 1)),
            (&[(Agent, &[URI, OFF]), (Agent, &[FILE])], ("SLEEP", 0)),
            (&[(Agent, &[URI, SOON]), (Agent, &[FILE])], ("SLEEP", 0)),
            (&[(Agent, &[SOON, URI]), (Agent, &[FILE])], ("ACTIVE", 1)),
            (&[(Agent, &[URI, OFF]), (Agent, &[LATER])], ("ACTIVE", 1)),
            (
                &[(Agent, &[BORN, URI, OFF]), (Retracted, &[OFF])],
                ("ACTIVE", 0),
            ),
            (
                &[(Agent, &[URI, OFF, FILE]), (Retracted, &[FILE])],
                ("SLEEP", 0),
            ),
            (
                &[(Agent, &[OFF]), (Retracted, &[OFF]), (Agent, &[URI, OFF])],
                ("SLEEP", 2),
            ),
        ];
        for (entries, (value, place)) in cases {
            let standing = after(entries);
            let status = standing.iter().find(|(column, ..)| column == "status");
            let (_, said, entry) = status.expect("said");
            assert_eq!((said.as_str(), *entry), (value, place), "{entries:?}");
        }
        assert_eq!(after(&[(Agent, &[OFF]), (Retracted, &[OFF])]), []);
        assert_eq!(after(&[(EntryKind::Act, &[OFF])]), []);
    }
}
