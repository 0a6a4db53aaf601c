//! Bodies of entries: in their rows, or, once these were archived, in a blockstore by their CID.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use store::{Archive, Db};

use crate::{
    entry::Entry,
    error::{Error, Result},
    log::sql,
    publication::State,
};

/// Archived bodies that are asked for at once: each may come from another machine.
pub(crate) const AT_ONCE: usize = 16;

/// The bodies of these entries, in their order: each by its CID and as it is stored.
pub(crate) async fn all(
    archive: &Archive,
    entries: impl IntoIterator<Item = (String, Option<Vec<u8>>)>,
) -> Result<Vec<Vec<u8>>> {
    let bodies = entries
        .into_iter()
        .map(async |(cid, stored)| of(archive, &cid, stored).await);
    stream::iter(bodies).buffered(AT_ONCE).try_collect().await
}

/// Archives the bodies of the first `below` entries of the log, which must all have come to the state `at_least`, as
/// far as is written down; gives how many there were. Only the database's owner may.
///
/// Errors with [`store::Error::Refused`] (kind `Invalid`) where not so many have.
pub async fn archive(db: &Db, below: u64, at_least: State) -> Result<i64> {
    Ok(sqlx::query_scalar!(
        r#"SELECT journal.archive($1, $2) AS "archived!""#,
        sql(below),
        at_least.as_str(),
    )
    .fetch_one(db.pool())
    .await?)
}

/// The body of the entry `cid`: the stored one, else the archived one, which must hash to the CID.
pub(crate) async fn of(archive: &Archive, cid: &str, stored: Option<Vec<u8>>) -> Result<Vec<u8>> {
    match stored {
        Some(body) => Ok(body),
        None => checked(cid, archive.get(cid).await?),
    }
}

/// The same for who has a transaction open ([`Archive::here`]).
pub(crate) async fn here(archive: &Archive, cid: &str, stored: Option<Vec<u8>>) -> Result<Vec<u8>> {
    match stored {
        Some(body) => Ok(body),
        None => checked(cid, archive.here(cid).await?),
    }
}

/// The body, if it is the one that was given this CID.
pub(crate) fn checked(cid: &str, body: Vec<u8>) -> Result<Vec<u8>> {
    if Entry::cid_of(&body).to_string() == cid {
        Ok(body)
    } else {
        Err(Error::Damaged(format!(
            "what is kept as entry {cid} has other bytes"
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Barrier;

    use super::*;

    #[tokio::test]
    async fn archived_bodies_are_asked_for_together_and_come_in_their_order() {
        // Nobody is answered before so many ask. (Stored ones take places among those at once.)
        let asked = Arc::new(Barrier::new(AT_ONCE / 2));
        let body = |n: u32| n.to_be_bytes().to_vec();
        let archive = Archive::new(move |cid: String, _| {
            let asked = Arc::clone(&asked);
            async move {
                asked.wait().await;
                let found = (0..100)
                    .map(body)
                    .find(|body| Entry::cid_of(body).to_string() == cid);
                found.ok_or_else(|| "nowhere".to_owned())
            }
        });
        let entries = |most: u32| {
            (0..most).map(move |n| {
                let cid = Entry::cid_of(&body(n)).to_string();
                (cid, (n % 3 == 0).then(|| body(n)))
            })
        };
        // 64 of 96 are archived.
        let bodies = all(&archive, entries(96)).await.unwrap();
        assert_eq!(bodies, (0..96).map(body).collect::<Vec<_>>());
    }
}
