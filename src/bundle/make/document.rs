//! The registration file, where the journal names its bytes.

use kernel::sha256;
use uuid::Uuid;

use super::{
    super::{file, parts::Document},
    Draft, Error,
};
use crate::app::App;

/// A larger file is left out: who wants it gets it by its CID.
const LARGEST: usize = 8 << 10;

/// Adds the file whose sha2-256, in hex, the journal `committed` to.
pub async fn add(
    app: &App,
    agent: Uuid,
    committed: Option<String>,
    draft: &mut Draft,
) -> Result<(), Error> {
    let metadata = identity::document::of_agent(&app.db, agent).await?;
    let cid = metadata.and_then(|metadata| Some((metadata.cid?, metadata.sha256?)));
    let Some((cid, digest)) = cid else {
        draft.lacks(file::DOCUMENT, "no registration file was judged yet");
        return Ok(());
    };
    if committed.as_ref() != Some(&digest) {
        draft.lacks(
            file::DOCUMENT,
            "no sealed entry of the journal names its bytes",
        );
        return Ok(());
    }
    let found = match content::parse_cid(&cid) {
        Ok(cid) => app.content.local(&cid, &[]).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(found) if found.bytes.len() > LARGEST => {
            let why = format!("it has {} bytes; its CID is {cid}", found.bytes.len());
            draft.lacks(file::DOCUMENT, why);
        }
        Ok(found) if hex::encode(sha256(&found.bytes)) == digest => {
            let bytes = found.bytes.into();
            draft.file.put(file::DOCUMENT, &Document { bytes });
        }
        Ok(_) => draft.lacks(
            file::DOCUMENT,
            format!("{cid} has other bytes than the journal names"),
        ),
        Err(error) => draft.lacks(
            file::DOCUMENT,
            format!("{cid} is not kept here whole: {error}"),
        ),
    }
    Ok(())
}
