//! Bodies of entries: in their rows, or, once these were archived, in a blockstore by their CID.

use store::Archive;

use crate::{
    entry::Entry,
    error::{Error, Result},
};

/// The body of the entry `cid`: the stored one, else the archived one, which must hash to the CID.
pub(crate) async fn of(archive: &Archive, cid: &str, stored: Option<Vec<u8>>) -> Result<Vec<u8>> {
    if let Some(body) = stored {
        return Ok(body);
    }
    let body = archive.get(cid).await?;
    if Entry::cid_of(&body).to_string() == cid {
        Ok(body)
    } else {
        Err(Error::Damaged(format!(
            "the archive gave other bytes than entry {cid}"
        )))
    }
}
