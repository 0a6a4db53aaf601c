//! The journal's side: entries under a signed checkpoint.

use identity::statement::{Authors, Spoken};
use journal::{
    Entry,
    checkpoint::Checkpoint,
    note::{Note, NoteError},
    proof::verify_inclusion,
    tree::{Hash, leaf_hash},
    vkey::VerifierKey,
};

use kernel::Bytes;

use super::{
    super::{
        basis::Known,
        file::{self, File, Wrong, wrong},
        parts::{EntryProof, Journal},
    },
    Report, Signed, Step,
};

/// More entries than a bundle holds.
const MOST_ENTRIES: usize = 16;
/// More hashes than the largest tree needs.
const MOST_HASHES: usize = 64;
/// A manifest's CID is no longer.
const LONGEST_CID: usize = 200;

/// Checks the part, if it is there.
pub fn check(
    file: &File,
    vkey: Option<&str>,
    known: &mut Known,
    report: &mut Report,
) -> Result<(), Wrong> {
    let wrong = wrong(file::JOURNAL);
    let Some(part) = file.get::<Journal>(file::JOURNAL)? else {
        return match vkey {
            Some(_) => Err(wrong(
                &"it is not there, so the key that you gave shows nothing",
            )),
            None => Ok(()),
        };
    };
    let (key, checkpoint) = signed(&part, vkey)?;
    report.steps.push(Step {
        part: file::JOURNAL,
        says: format!(
            "the checkpoint of {} entries is signed by {}",
            checkpoint.size, key
        ),
    });
    if part.entries.is_empty() || part.entries.len() > MOST_ENTRIES {
        return Err(wrong(&"it holds no entries, or too many"));
    }
    let mut manifest = part.manifest.iter();
    if manifest.any(|cid| cid.len() > LONGEST_CID) {
        return Err(wrong(&"`manifest` is no CID"));
    }
    let mut next = 0;
    let mut authors = Authors::new(report.agent, &checkpoint.origin, known.owner());
    for (place, proof) in part.entries.iter().enumerate() {
        let name = format!("entry {} of {}", place + 1, part.entries.len());
        let entry = included(proof, &checkpoint).map_err(|why| wrong(&format!("{name}: {why}")))?;
        if proof.index < next {
            return Err(wrong(&format!("{name}: it is not in the order of leaves")));
        }
        next = proof.index.saturating_add(1);
        if entry.agent != Some(report.agent) {
            return Err(wrong(&format!("{name}: it speaks of another agent")));
        }
        report.steps.push(step(proof, &entry, report));
        let spoken = authors.take(&entry);
        let spoken = spoken.map_err(|why| wrong(&format_args!("{name}: {why}")))?;
        report.steps.extend(spoken.iter().flat_map(signatures));
        report.statements.extend(spoken);
        known.journal.take(&entry);
    }
    let standing = known.journal.standing().map(|standing| &standing.change);
    let signed = standing.filter(|change| authors.signed(change));
    known.signed = signed.map(|change| change.column.clone()).collect();
    report.log = Some(Signed {
        origin: checkpoint.origin,
        size: checkpoint.size,
        root: checkpoint.root.into(),
        newest: next.saturating_sub(1),
        vkey: key.to_string(),
        trusted: vkey.is_some(),
        manifest: part.manifest,
    });
    Ok(())
}

fn signed(part: &Journal, vkey: Option<&str>) -> Result<(VerifierKey, Checkpoint), Wrong> {
    let wrong = wrong(file::JOURNAL);
    let own: VerifierKey = part.vkey.parse().map_err(|error| wrong(&error))?;
    let key = match vkey {
        Some(text) => text.parse().map_err(|error| wrong(&error))?,
        None => own.clone(),
    };
    let note = Note::parse(&part.checkpoint).map_err(|error| wrong(&error))?;
    match note.verify(std::slice::from_ref(&key)) {
        Err(NoteError::Unsigned) if key != own => {
            let why = format_args!("the key that you trust did not sign it, but {own}");
            return Err(wrong(&why));
        }
        signed => signed.map_err(|error| wrong(&error))?,
    };
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| wrong(&error))?;
    if checkpoint.origin == key.name() {
        Ok((key, checkpoint))
    } else {
        Err(wrong(&"the checkpoint is of another log than the key"))
    }
}

fn included(proof: &EntryProof, checkpoint: &Checkpoint) -> Result<Entry, String> {
    let hashes = hashes(&proof.path).ok_or("a hash has not 32 bytes")?;
    let leaf = leaf_hash(&proof.body);
    let Checkpoint { size, root, .. } = checkpoint;
    verify_inclusion(&leaf, proof.index, *size, &hashes, root).map_err(|why| why.to_string())?;
    Entry::parse(&proof.body).map_err(|error| error.to_string())
}

/// A proof's hashes; one that is too long for any tree is cut, and fails.
pub(super) fn hashes(path: &[Bytes]) -> Option<Vec<Hash>> {
    let path = path.iter().take(MOST_HASHES + 1);
    path.map(|hash| Hash::try_from(hash.as_ref()).ok())
        .collect()
}

/// What an entry adds; it may name the very block whose header is in the file.
fn step(proof: &EntryProof, entry: &Entry, report: &Report) -> Step {
    let columns = super::listed(entry.changes.iter().map(|change| change.column.as_str()));
    let verb = entry.kind.as_str();
    let named = report.blocks.iter().find(|block| {
        let cause = format!("eip155:{}/{}/", block.chain, block.hash);
        let mut causes = entry.changes.iter().map(|change| &change.cause);
        causes.any(|named| named.starts_with(&cause))
    });
    let named = named.map_or_else(String::new, |block| {
        format!("; it names block {} by its hash", block.number)
    });
    Step {
        part: file::JOURNAL,
        says: format!(
            "leaf {} is {}, kind {verb}: {columns}{named}",
            proof.index,
            Entry::cid_of(&proof.body)
        ),
    }
}

/// What the keys that signed a statement show. A contract's signature shows nothing here.
fn signatures(spoken: &Spoken) -> impl Iterator<Item = Step> {
    let Spoken { cause, action, by } = spoken;
    let keys = by.iter().filter(|one| one.contract.is_none());
    keys.map(move |one| {
        let who = one.right.map(|right| format!(", {}", right.words()));
        Step {
            part: file::JOURNAL,
            says: format!(
                "{cause}, {}, is signed by {}{}",
                action.as_str(),
                one.by,
                who.unwrap_or_default()
            ),
        }
    })
}
