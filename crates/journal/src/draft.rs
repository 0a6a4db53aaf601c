//! From changes to the bytes of entries, each change encoded once: its bytes stand in the entry, give its digest,
//! and tell whether the entry is too large.
//!
//! Entries that are too large for one (65,535 bytes) become several, one after the other in the same
//! chain. A change is never cut: a payload that large belongs into a store, and its CID into the entry.

use std::ops::Range;

use kernel::AgentId;
use sha2::{Digest as _, Sha256};

use crate::{
    cbor,
    change::Change,
    entry::{Entry, EntryError, EntryKind, MAX_BYTES, VERSION, push_time},
};

/// A CID in the text form that entries use (`bafyrei...`) has this many bytes; in DAG-CBOR two more.
const CID_LEN: usize = 59;
/// Lists of more than 23 items give their length in up to two bytes more; there are two lists.
const LONGER_LISTS: usize = 4;
/// More than everything but changes and sayers takes.
const LONGEST_HEAD: usize = 512;

/// An entry that waits for its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    pub kind: EntryKind,
    pub agent: Option<AgentId>,
    pub prev: Option<String>,
    /// Its id, as text.
    pub cid: String,
    pub body: Vec<u8>,
    /// The digest of each change; of an entry that speaks of no agent none.
    pub digests: Vec<[u8; 32]>,
}

/// The drafts of an entry: one, or the parts of one that is too large, each with the CID of the part before in
/// `prev`.
pub(crate) fn drafts(entry: &Entry) -> Result<Vec<Draft>, EntryError> {
    entry.check()?;
    let changes = Changes::of(&entry.changes)?;
    let mut drafts = Vec::with_capacity(1);
    let mut prev = entry.prev.clone();
    for range in parts(entry, &changes)? {
        let body = body(entry, &changes, range.clone(), prev.as_deref())?;
        let cid = Entry::cid_of(&body).to_string();
        let digests = entry.agent.map_or_else(Vec::new, |agent| {
            let agent = encoded(agent);
            range.map(|place| changes.digest(place, &agent)).collect()
        });
        drafts.push(Draft {
            kind: entry.kind,
            agent: entry.agent,
            prev: prev.replace(cid.clone()),
            cid,
            body,
            digests,
        });
    }
    Ok(drafts)
}

/// The canonical bytes of an entry, however long.
pub(crate) fn encode(entry: &Entry) -> Result<Vec<u8>, EntryError> {
    let changes = Changes::of(&entry.changes)?;
    body(entry, &changes, 0..changes.len(), entry.prev.as_deref())
}

/// SHA-256 of canonical DAG-CBOR `[agent, column, value, cause]`.
pub(crate) fn digest(change: &Change, agent: AgentId) -> Result<[u8; 32], EntryError> {
    change.check()?;
    let changes = Changes::of(std::slice::from_ref(change))?;
    Ok(changes.digest(0, &encoded(agent)))
}

fn encoded(agent: AgentId) -> Vec<u8> {
    let mut text = Vec::with_capacity(40);
    cbor::text(&mut text, &agent.to_string());
    text
}

/// Changes in their encoding `[column, value, cause, time]`, one after the other.
struct Changes {
    bytes: Vec<u8>,
    /// Where each one's cause and where its whole ends.
    ends: Vec<(usize, usize)>,
}

impl Changes {
    fn of(changes: &[Change]) -> Result<Self, EntryError> {
        let mut bytes = Vec::with_capacity(256 * changes.len());
        let mut ends = Vec::with_capacity(changes.len());
        for change in changes {
            cbor::list(&mut bytes, 4);
            cbor::text(&mut bytes, &change.column);
            cbor::value(&mut bytes, &change.value);
            cbor::text(&mut bytes, &change.cause);
            let cause = bytes.len();
            push_time(&mut bytes, change.time)?;
            ends.push((cause, bytes.len()));
        }
        Ok(Self { bytes, ends })
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn start(&self, place: usize) -> usize {
        place.checked_sub(1).map_or(0, |before| self.ends[before].1)
    }

    fn range(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[self.start(range.start)..self.start(range.end)]
    }

    /// The time is not in it, and the list's head is the same: four items.
    fn digest(&self, place: usize, agent: &[u8]) -> [u8; 32] {
        let (head, said) = self.bytes[self.start(place)..self.ends[place].0].split_at(1);
        let mut hasher = Sha256::new();
        hasher.update(head);
        hasher.update(agent);
        hasher.update(said);
        hasher.finalize().into()
    }
}

/// The changes in runs of which each fits into an entry.
fn parts(entry: &Entry, changes: &Changes) -> Result<Vec<Range<usize>>, EntryError> {
    let whole = 0..changes.len();
    let sayer = if entry.kind == EntryKind::Retracted {
        CID_LEN + 2
    } else {
        0
    };
    if changes.bytes.len() + sayer * changes.len() <= MAX_BYTES - LONGEST_HEAD {
        return Ok(vec![whole]);
    }
    let longest = "b".repeat(CID_LEN);
    let head = body(entry, changes, 0..0, Some(&longest))?.len() + LONGER_LISTS;
    // At the edge, the bytes themselves decide.
    if body(entry, changes, whole.clone(), entry.prev.as_deref())?.len() <= MAX_BYTES {
        return Ok(vec![whole]);
    }
    let mut parts = Vec::new();
    let (mut start, mut size) = (0, head);
    for (place, change) in entry.changes.iter().enumerate() {
        let own = changes.range(place..place + 1).len() + sayer;
        if head + own > MAX_BYTES {
            return Err(EntryError::TooLarge {
                column: change.column.clone(),
                size: head + own,
            });
        }
        if size + own > MAX_BYTES {
            parts.push(start..place);
            (start, size) = (place, head);
        }
        size += own;
    }
    parts.push(start..changes.len());
    Ok(parts)
}

/// An entry that holds a run of the changes. Keys stand in DAG-CBOR's order: by length, then by bytes.
fn body(
    entry: &Entry,
    changes: &Changes,
    range: Range<usize>,
    prev: Option<&str>,
) -> Result<Vec<u8>, EntryError> {
    let retracts = entry.kind == EntryKind::Retracted;
    let said = entry.said.get(range.clone()).unwrap_or_default();
    let encoded = changes.range(range.clone());
    let mut out = Vec::with_capacity(256 + encoded.len() + said.len() * (CID_LEN + 2));
    cbor::map(&mut out, if retracts { 7 } else { 6 });
    cbor::text(&mut out, "v");
    cbor::number(&mut out, VERSION);
    cbor::text(&mut out, "kind");
    cbor::text(&mut out, entry.kind.as_str());
    cbor::text(&mut out, "prev");
    match prev {
        Some(prev) => cbor::text(&mut out, prev),
        None => cbor::null(&mut out),
    }
    if retracts {
        cbor::text(&mut out, "said");
        cbor::list(&mut out, said.len());
        for cid in said {
            cbor::text(&mut out, cid);
        }
    }
    cbor::text(&mut out, "time");
    push_time(&mut out, entry.time)?;
    cbor::text(&mut out, "agent");
    match entry.agent {
        Some(agent) => cbor::text(&mut out, &agent.to_string()),
        None => cbor::null(&mut out),
    }
    cbor::text(&mut out, "changes");
    cbor::list(&mut out, range.len());
    out.extend_from_slice(encoded);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn entry(sizes: &[usize], kind: EntryKind) -> Entry {
        let changes: Vec<Change> = sizes
            .iter()
            .map(|size| Change {
                column: "c".to_owned(),
                value: "x".repeat(*size).into(),
                cause: "t".to_owned(),
                time: DateTime::UNIX_EPOCH,
            })
            .collect();
        let cid = Entry::cid_of(b"x").to_string();
        assert_eq!(cid.len(), CID_LEN);
        let said = if kind == EntryKind::Retracted {
            vec![cid; sizes.len()]
        } else {
            vec![]
        };
        let agent = Some(AgentId::of_did("did:x:y"));
        Entry {
            kind,
            agent,
            time: DateTime::UNIX_EPOCH,
            changes,
            said,
            prev: None,
        }
    }

    #[test]
    fn parts_fit_and_make_the_whole_again() {
        for kind in [EntryKind::Agent, EntryKind::Retracted] {
            for sizes in [
                vec![1; 5],
                vec![30_000; 9],
                vec![65_200, 1, 65_200],
                vec![5; 5_000],
            ] {
                let whole = entry(&sizes, kind);
                let drafts = drafts(&whole).expect("fits");
                let (mut changes, mut said, mut prev) = (vec![], vec![], None);
                for draft in &drafts {
                    assert!(draft.body.len() <= MAX_BYTES);
                    let part = Entry::parse(&draft.body).expect("canonical");
                    assert_eq!((&part.prev, &draft.prev), (&prev, &prev));
                    assert_eq!((part.kind, part.agent), (draft.kind, draft.agent));
                    assert_eq!(draft.cid, Entry::cid_of(&draft.body).to_string());
                    let digests = part
                        .changes
                        .iter()
                        .map(|c| c.digest(part.agent.expect("one")));
                    assert_eq!(
                        digests.collect::<Result<Vec<_>, _>>().as_ref(),
                        Ok(&draft.digests)
                    );
                    prev = Some(draft.cid.clone());
                    changes.extend(part.changes);
                    said.extend(part.said);
                }
                assert_eq!((changes, said), (whole.changes, whole.said));
                assert_eq!(drafts.len() > 1, sizes != [1; 5]);
            }
        }
    }

    /// The largest entry is not split, and one byte more is refused or split.
    #[test]
    fn the_edge_is_exact() {
        let with = |size| {
            encode(&entry(&[size], EntryKind::Agent))
                .expect("encodes")
                .len()
        };
        let room = 65_000 + MAX_BYTES - with(65_000);
        assert_eq!(with(room), MAX_BYTES);
        assert_eq!(
            drafts(&entry(&[room], EntryKind::Agent))
                .expect("fits")
                .len(),
            1
        );
        assert!(drafts(&entry(&[room + 1], EntryKind::Agent)).is_err());
    }

    #[test]
    fn a_change_that_is_too_large_is_named() {
        for sizes in [vec![65_535], vec![1, 65_535, 1]] {
            let error = drafts(&entry(&sizes, EntryKind::Agent)).expect_err("too large");
            assert!(
                matches!(&error, EntryError::TooLarge { column, size } if column == "c" && *size > 65_535)
            );
        }
    }
}
