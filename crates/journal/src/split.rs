//! Entries that are too large for one (65,535 bytes) become several, one after the other in the same
//! chain. A change is never cut: a payload that large belongs into a store, and its CID into the entry.

use crate::{
    change::Change,
    entry::{Entry, EntryError, EntryKind, MAX_BYTES},
};

/// A CID in the text form that entries use (`bafyrei...`) has this many bytes; in DAG-CBOR two more.
const CID_LEN: usize = 59;
/// Lists of more than 23 items give their length in up to two bytes more; there are two lists.
const LONGER_LISTS: usize = 4;

/// The entry with its bytes, or its parts with theirs, each with the CID of the part before in `prev`.
pub(crate) fn split(entry: Entry) -> Result<Vec<(Entry, Vec<u8>)>, EntryError> {
    let body = entry.encode()?;
    if body.len() <= MAX_BYTES {
        return Ok(vec![(entry, body)]);
    }
    if let [change] = &entry.changes[..] {
        return Err(too_large(change, body.len()));
    }
    let mut done: Vec<(Entry, Vec<u8>)> = Vec::new();
    let mut prev = entry.prev.clone();
    for (changes, said) in parts(&entry)? {
        let part = Entry {
            changes,
            said,
            prev,
            ..entry
        };
        let body = part.encode()?;
        prev = Some(Entry::cid_of(&body).to_string());
        done.push((part, body));
    }
    Ok(done)
}

/// Changes of one part, and who said them.
type Part = (Vec<Change>, Vec<String>);

/// The changes in runs of which each fits into an entry.
fn parts(entry: &Entry) -> Result<Vec<Part>, EntryError> {
    let prev = Some("b".repeat(CID_LEN));
    let head = Entry {
        changes: vec![],
        said: vec![],
        prev,
        ..*entry
    };
    let head = head.encode_unchecked()?.len() + LONGER_LISTS;
    let sayer = if entry.kind == EntryKind::Retracted {
        CID_LEN + 2
    } else {
        0
    };
    let mut parts = Vec::new();
    let (mut start, mut size) = (0, head);
    for (place, change) in entry.changes.iter().enumerate() {
        let own = change.encoded_len()? + sayer;
        if head + own > MAX_BYTES {
            return Err(too_large(change, head + own));
        }
        if size + own > MAX_BYTES {
            parts.push(start..place);
            (start, size) = (place, head);
        }
        size += own;
    }
    parts.push(start..entry.changes.len());
    let said = |range| {
        entry
            .said
            .get(range)
            .map(<[String]>::to_vec)
            .unwrap_or_default()
    };
    Ok(parts
        .into_iter()
        .map(|range| (entry.changes[range.clone()].to_vec(), said(range)))
        .collect())
}

fn too_large(change: &Change, size: usize) -> EntryError {
    EntryError::TooLarge {
        column: change.column.clone(),
        size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use kernel::AgentId;

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
                let parts = split(whole.clone()).expect("splits");
                let (mut changes, mut said, mut prev) = (vec![], vec![], None);
                for (part, body) in &parts {
                    assert!(body.len() <= MAX_BYTES);
                    assert_eq!(&Entry::parse(body).expect("canonical"), part);
                    assert_eq!(part.prev, prev);
                    prev = Some(Entry::cid_of(body).to_string());
                    changes.extend(part.changes.clone());
                    said.extend(part.said.clone());
                }
                assert_eq!((changes, said), (whole.changes, whole.said));
                assert_eq!(parts.len() > 1, sizes != [1; 5]);
            }
        }
    }

    #[test]
    fn a_change_that_is_too_large_is_named() {
        for sizes in [vec![65_535], vec![1, 65_535, 1]] {
            let error = split(entry(&sizes, EntryKind::Agent)).expect_err("too large");
            assert!(
                matches!(&error, EntryError::TooLarge { column, size } if column == "c" && *size > 65_535)
            );
        }
    }
}
