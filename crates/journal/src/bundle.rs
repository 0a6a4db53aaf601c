//! Proof files (`.tlog-proof`, c2sp.org/tlog-proof): everything that shows that one entry is in the log.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra <base64>
//! index <leaf index>
//! <base64 of a hash>            ... of the inclusion proof
//!
//! <the signed checkpoint>
//! ```
//!
//! `extra` is the one field that the specification leaves to us. Ours is the canonical DAG-CBOR map
//! `{ entry: bytes, seal: bytes, vkey: text }`, so the file needs nothing beside it: the entry itself, the
//! verifier key of the log, and `seal`, the SHA-256 of the canonical DAG-CBOR list `[entry, vkey, rest]` where
//! `rest` is the text of the file without the line `extra`. The seal proves nothing to anybody; it makes
//! every flipped bit show, also one in a cosignature that this reader does not know.
//!
//! Whom to trust is the reader's choice: without a key of his own he learns which key the file
//! names, and that all the rest follows from it.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ipld_core::ipld::Ipld;
use kernel::{from_dag_cbor, sha256, to_dag_cbor};
use store::Db;

use crate::{
    body,
    checkpoint::{Checkpoint, CheckpointError},
    entry::{Entry, EntryError},
    error::{Error, Result},
    log,
    note::{Note, NoteError},
    proof::{ProofError, verify_inclusion},
    tree::{Hash, leaf_hash},
    vkey::{VerifierKey, VkeyError},
};

/// The first line.
const MAGIC: &str = "c2sp.org/tlog-proof@v1";
/// More hashes than the largest tree needs.
const MAX_HASHES: usize = 64;

/// What a proof file showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The entry.
    pub entry: Entry,
    /// The entry's id.
    pub cid: String,
    /// Its place in the log.
    pub index: u64,
    /// Size of the log at the checkpoint.
    pub size: u64,
    /// Root of the log at the checkpoint.
    pub root: Hash,
    /// The log's name.
    pub origin: String,
    /// The key that signed the checkpoint.
    pub vkey: String,
    /// Whether the reader gave that key. If not, it is the file's own word, and what must be trusted.
    pub trusted: bool,
}

/// A proof file that proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not of the one form.
    #[error("not a proof file: {0}")]
    Form(&'static str),
    /// Some part was changed.
    #[error("the proof file was altered: its parts do not fit its seal")]
    Altered,
    /// The entry inside.
    #[error("the entry in the proof file: {0}")]
    Entry(#[from] EntryError),
    /// The checkpoint's signatures.
    #[error("the checkpoint in the proof file: {0}")]
    Note(#[from] NoteError),
    /// The checkpoint's text.
    #[error("the checkpoint in the proof file: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is another log's.
    #[error("the checkpoint is of the log `{origin}`, but the key is of `{name}`")]
    Origin {
        /// The checkpoint's origin.
        origin: String,
        /// The key's name.
        name: String,
    },
    /// The key, given or inside.
    #[error("the verifier key: {0}")]
    Vkey(#[from] VkeyError),
    /// The inclusion proof.
    #[error("the entry is not proven to be in the log: {0}")]
    Inclusion(#[from] ProofError),
}

/// The parts of a proof file.
struct ProofFile {
    entry: Vec<u8>,
    vkey: String,
    index: u64,
    hashes: Vec<Hash>,
    checkpoint: String,
}

/// The proof file of a sealed entry, under the newest checkpoint.
pub async fn prove(db: &Db, cid: &str) -> Result<String> {
    let mut conn = db.pool().acquire().await?;
    // One look, so that the head is over the leaf; and one statement, for each costs a cold cache its own reads.
    let row = sqlx::query!(
        r#"SELECT e.body, l.leaf_index AS "leaf_index?", h.size AS "size?", h.note AS "note?", i.vkey AS "vkey?"
             FROM journal.entries e
             LEFT JOIN journal.leaves l ON l.entry_seq = e.seq
             LEFT JOIN LATERAL (SELECT size, note FROM journal.checkpoints ORDER BY size DESC LIMIT 1) h ON true
             LEFT JOIN journal.identity i ON true
            WHERE e.cid = $1"#,
        cid
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or_else(|| Error::NotFound(format!("entry {cid}")))?;
    let (Some(index), Some(size), Some(checkpoint), Some(vkey)) =
        (row.leaf_index, row.size, row.note, row.vkey)
    else {
        return Err(Error::NotSealed(cid.to_owned()));
    };
    let (index, size) = (log::number(index)?, log::number(size)?);
    let hashes = log::inclusion_on(&mut conn, index, size).await?;
    drop(conn);
    Ok(ProofFile {
        entry: body::of(db.archive(), cid, row.body).await?,
        vkey,
        index,
        hashes,
        checkpoint,
    }
    .to_string())
}

/// Verifies a proof file without any network or database. `vkey` is the key that the reader trusts.
pub fn verify(text: &str, vkey: Option<&str>) -> Result<Verified, VerifyError> {
    let file = ProofFile::parse(text)?;
    let key: VerifierKey = vkey.unwrap_or(&file.vkey).parse()?;
    let note = Note::parse(&file.checkpoint)?;
    note.verify(std::slice::from_ref(&key))?;
    let checkpoint = Checkpoint::parse(note.text())?;
    if checkpoint.origin != key.name() {
        let name = key.name().to_owned();
        return Err(VerifyError::Origin {
            origin: checkpoint.origin,
            name,
        });
    }
    let Checkpoint {
        origin, size, root, ..
    } = checkpoint;
    verify_inclusion(
        &leaf_hash(&file.entry),
        file.index,
        size,
        &file.hashes,
        &root,
    )?;
    Ok(Verified {
        cid: Entry::cid_of(&file.entry).to_string(),
        entry: Entry::parse(&file.entry)?,
        index: file.index,
        size,
        root,
        origin,
        vkey: key.to_string(),
        trusted: vkey.is_some(),
    })
}

impl ProofFile {
    fn parse(text: &str) -> Result<Self, VerifyError> {
        let form = |what| VerifyError::Form(what);
        let rest = text
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.strip_prefix('\n'));
        let rest = rest.ok_or(form("it does not begin with c2sp.org/tlog-proof@v1"))?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or(form("no blank line"))?;
        let mut lines = head.split('\n');
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let extra = extra.and_then(|extra| STANDARD.decode(extra).ok());
        let extra = extra.ok_or(form("no line `extra` with the entry in base64"))?;
        let index = lines
            .next()
            .and_then(|line| line.strip_prefix("index ")?.parse().ok());
        let index = index.ok_or(form("no line `index`"))?;
        let mut hashes = Vec::new();
        for line in lines.take(MAX_HASHES) {
            let hash = STANDARD
                .decode(line)
                .ok()
                .and_then(|hash| Hash::try_from(hash).ok());
            hashes.push(hash.ok_or(form("a hash is not the base64 of 32 bytes"))?);
        }
        let (entry, vkey, seal) = read_extra(&extra).ok_or(form("`extra` is not ours"))?;
        let file = Self {
            entry,
            vkey,
            index,
            hashes,
            checkpoint: checkpoint.to_owned(),
        };
        if file.seal() != *seal {
            return Err(VerifyError::Altered);
        }
        // Leading zeros, other base64, superfluous lines: there is one form.
        if file.to_string() == text {
            Ok(file)
        } else {
            Err(form("it is not in the canonical form"))
        }
    }

    /// The file without the line `extra`.
    fn rest(&self) -> String {
        let mut rest = format!("{MAGIC}\nindex {}\n", self.index);
        for hash in &self.hashes {
            rest.push_str(&STANDARD.encode(hash));
            rest.push('\n');
        }
        rest.push('\n');
        rest.push_str(&self.checkpoint);
        rest
    }

    fn seal(&self) -> [u8; 32] {
        let parts = [
            Ipld::Bytes(self.entry.clone()),
            Ipld::String(self.vkey.clone()),
            Ipld::String(self.rest()),
        ];
        sha256(&encode(&parts[..]))
    }
}

impl fmt::Display for ProofFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra = BTreeMap::from([
            ("entry", Ipld::Bytes(self.entry.clone())),
            ("seal", Ipld::Bytes(self.seal().to_vec())),
            ("vkey", Ipld::String(self.vkey.clone())),
        ]);
        let rest = self.rest();
        let rest = rest.strip_prefix(MAGIC).unwrap_or_default();
        write!(
            f,
            "{MAGIC}\nextra {}{rest}",
            STANDARD.encode(encode(&extra))
        )
    }
}

/// Bytes and text always have an encoding.
fn encode<T: serde::Serialize + ?Sized>(value: &T) -> Vec<u8> {
    to_dag_cbor(&value).unwrap_or_default()
}

fn read_extra(bytes: &[u8]) -> Option<(Vec<u8>, String, Vec<u8>)> {
    let mut map: BTreeMap<String, Ipld> = from_dag_cbor(bytes).ok()?;
    match (
        map.remove("entry")?,
        map.remove("vkey")?,
        map.remove("seal")?,
    ) {
        (Ipld::Bytes(entry), Ipld::String(vkey), Ipld::Bytes(seal)) if map.is_empty() => {
            Some((entry, vkey, seal))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
