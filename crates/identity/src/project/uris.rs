//! URIs that agents name: kept once, and asked to be fetched while somebody's current one.

use std::collections::{HashMap, HashSet};

use kernel::{Bytes, clean_text};
use store::{Tx, job};
use uuid::Uuid;

use super::Folded;
use crate::{Result, fact::UriRef};

/// Kind of the jobs that fetch a URI; their key is its hash in hex.
pub const FETCH: &str = "fetch";

/// A URI's text is kept up to this many bytes; a longer one is judged too large without a fetch.
pub const KEPT: usize = 128 * 1024;

/// Keeps every URI once, and who named it.
pub async fn put(tx: &mut Tx, named: &[(Uuid, UriRef, Bytes)]) -> Result<()> {
    if named.is_empty() {
        return Ok(());
    }
    let mut distinct: HashMap<[u8; 32], &Bytes> = HashMap::new();
    let mut by_agent: HashSet<([u8; 32], Uuid)> = HashSet::new();
    for (agent, uri, raw) in named {
        distinct.insert(uri.hash, raw);
        by_agent.insert((uri.hash, *agent));
    }
    let mut rows: Vec<(&[u8; 32], &&Bytes)> = distinct.iter().collect();
    rows.sort_unstable_by_key(|(hash, _)| **hash);
    let hashes: Vec<Vec<u8>> = rows.iter().map(|(hash, _)| hash.to_vec()).collect();
    let texts: Vec<Option<String>> = rows
        .iter()
        .map(|(_, raw)| (raw.len() <= KEPT).then(|| clean_text(raw).value))
        .collect();
    let sizes: Vec<i64> =
        rows.iter().map(|(_, raw)| i64::try_from(raw.len()).unwrap_or(i64::MAX)).collect();
    sqlx::query!(
        "INSERT INTO identity.uris (hash, uri, size, state)
         SELECT hash, uri, size, CASE WHEN size = 0 THEN 'none' ELSE 'pending' END
           FROM unnest($1::bytea[], $2::text[], $3::bigint[]) AS u(hash, uri, size)
         ON CONFLICT (hash) DO NOTHING",
        &hashes,
        &texts as &[Option<String>],
        &sizes,
    )
    .execute(tx.conn())
    .await?;
    let (hashes, agents): (Vec<Vec<u8>>, Vec<Uuid>) =
        by_agent.into_iter().map(|(hash, agent)| (hash.to_vec(), agent)).unzip();
    sqlx::query!(
        "INSERT INTO identity.uri_agents (uri_hash, agent_id)
         SELECT * FROM unnest($1::bytea[], $2::uuid[]) ON CONFLICT DO NOTHING",
        &hashes,
        &agents,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Asks for every current URI that has no judged document.
pub async fn want(tx: &mut Tx, folded: &[Folded]) -> Result<()> {
    let mut keys: Vec<String> = folded
        .iter()
        .filter(|one| !one.head.token.burned)
        .filter_map(|one| {
            let named = one.head.token.uri.as_ref().filter(|named| !named.uri.empty)?;
            let judged =
                one.head.document.as_ref().is_some_and(|document| document.uri == named.uri.hash);
            (!judged).then(|| hex::encode(named.uri.hash))
        })
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let now = tx.now();
    job::enqueue(tx, FETCH, &keys, now).await?;
    Ok(())
}
