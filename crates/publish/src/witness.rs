//! What was published of the journal, asked about the database: where that was restored from an older dump together with
//! the data directory, only our own blocks, Kubo and the anchor know that there was more.
//!
//! Kubo keeps the newest head under a name of its own (MFS), because nothing finds the newest of its pins. Nobody is
//! believed: a head counts by our key's signature, so that whoever can write there can hide a head and make none.

use content::{Content, Kubo};
use journal::{audit, checkpoint::Checkpoint, log, vkey::VerifierKey, witness};
use kernel::{Bytes, Cid, from_dag_cbor};
use store::Db;
use uuid::Uuid;

use crate::{Manifest, Result, anchor, publisher};

/// The longest head that is read of Kubo, in bytes.
const MAX_NOTE: usize = 64 << 10;

/// Where Kubo keeps the newest head of the journal of this key.
pub fn path(key: &VerifierKey) -> String {
    let journal = anchor::journal_id(&key.to_string());
    format!("/chancery/{journal}/checkpoint")
}

/// Holds the newest head among our own blocks against the database. `roots` may be manifests or anything else, as
/// [`content::OpenReport::ends`] has them.
///
/// Errors with a refusal ([`crate::Error::is_refusal`]) where the database does not have that head.
pub async fn own_blocks(
    db: &Db,
    content: &Content,
    key: &VerifierKey,
    roots: &[Cid],
) -> Result<()> {
    let mut manifests = Vec::new();
    for root in roots {
        let bytes = block(content, root).await;
        manifests.extend(bytes.and_then(|bytes| from_dag_cbor::<Manifest>(&bytes).ok()));
    }
    manifests.sort_unstable_by_key(|manifest| manifest.size);
    for manifest in manifests.iter().rev() {
        let note = block(content, &manifest.checkpoint).await;
        if let Some(head) = note.and_then(|note| head(&note, key)) {
            return Ok(witness::hold(db, &head, "this instance's own blocks have").await?);
        }
    }
    Ok(())
}

/// Holds the head that Kubo keeps against the database, and gives its size; 0 where Kubo keeps none that we signed.
///
/// Errors with a refusal where the database does not have that head.
pub async fn ask(db: &Db, kubo: &Kubo, key: &VerifierKey) -> Result<u64> {
    let Some(note) = kubo.read_file(&path(key), MAX_NOTE).await? else {
        return Ok(0);
    };
    let Some(head) = head(&note, key) else {
        let (name, path) = (kubo.name(), path(key));
        tracing::warn!("{name}: what it has at {path} is no head that this journal's key signed");
        return Ok(0);
    };
    witness::hold(db, &head, &format!("{} has", kubo.name())).await?;
    Ok(head.size)
}

/// Has Kubo keep the newest head, where that is larger than `known` and `holder` is who publishes. Gives the size of
/// what Kubo keeps then, as far as this process knows.
///
/// It is asked once more before that, so that two databases that are sealed with one key do not take turns: errors as
/// [`ask`] does.
pub async fn tell(
    db: &Db,
    kubo: &Kubo,
    key: &VerifierKey,
    holder: Uuid,
    known: u64,
) -> Result<u64> {
    let head = log::head(db).await?.filter(|head| head.size > known);
    let Some(head) = head else {
        return Ok(known);
    };
    if publisher::lead(db, holder).await?.is_none() {
        return Ok(known);
    }
    let kept = ask(db, kubo, key).await?;
    if head.size <= kept {
        return Ok(kept);
    }
    kubo.write_file(&path(key), head.note.into_bytes()).await?;
    Ok(head.size)
}

/// A head that the journal's key signed.
fn head(note: &[u8], key: &VerifierKey) -> Option<Checkpoint> {
    audit::head(std::str::from_utf8(note).ok()?, key).ok()
}

/// What of our own blocks is not as it was written, the scrub tells.
async fn block(content: &Content, cid: &Cid) -> Option<Bytes> {
    content.blocks().get(cid).await.ok().flatten()
}
