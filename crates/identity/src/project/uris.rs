//! URIs that agents name: kept once, and asked to be fetched while somebody's current one.

use std::collections::HashMap;

use kernel::{Bytes, Clean, clean_text};
use store::{Tx, job};
use uuid::Uuid;

use super::Folded;
use crate::{
    Result,
    fact::{Place, UriRef},
};

/// Kind of the jobs that fetch a URI; their key is its hash in hex.
pub const FETCH: &str = "fetch";

/// A URI's text is kept up to this many bytes; a longer one is judged too large without a fetch.
pub const KEPT: usize = 256 * 1024;

/// Who names which URI, collected before it is written.
#[derive(Default)]
pub(super) struct Naming<'a> {
    uris: HashMap<[u8; 32], &'a Bytes>,
    /// Where an agent named a URI first, and whether it did again elsewhere.
    agents: HashMap<([u8; 32], Uuid), (i64, i32, bool)>,
    /// Agents of which everything that they ever named is here.
    whole: Vec<Uuid>,
}

impl<'a> Naming<'a> {
    /// Begins an agent; `whole` says that all its namings follow.
    pub fn begin(&mut self, agent: Uuid, whole: bool) {
        if whole {
            self.whole.push(agent);
        }
    }

    /// Adds a naming; those of one agent come in their order.
    pub fn add(&mut self, agent: Uuid, uri: &UriRef, raw: &'a Bytes, at: Place) {
        self.uris.insert(uri.hash, raw);
        self.agents
            .entry((uri.hash, agent))
            .and_modify(|(block, log, again)| *again |= (*block, *log) != (at.major, at.minor))
            .or_insert((at.major, at.minor, false));
    }
}

/// Keeps every URI once, and who named it.
pub(super) async fn put(tx: &mut Tx, named: &Naming<'_>) -> Result<()> {
    if !named.whole.is_empty() {
        // What they named on ground that is gone goes too.
        sqlx::query!(
            "DELETE FROM identity.uri_agents WHERE agent_id = ANY($1)",
            &named.whole
        )
        .execute(tx.conn())
        .await?;
    }
    if named.uris.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<(&[u8; 32], &Bytes)> =
        named.uris.iter().map(|(hash, raw)| (hash, *raw)).collect();
    rows.sort_unstable_by_key(|(hash, _)| **hash);
    let hashes: Vec<&[u8]> = rows.iter().map(|(hash, _)| hash.as_slice()).collect();
    let kept: Vec<Option<Clean<String>>> = rows
        .iter()
        .map(|(_, raw)| (raw.len() <= KEPT).then(|| clean_text(raw)))
        .collect();
    let texts: Vec<Option<&str>> = kept
        .iter()
        .map(|clean| clean.as_ref().map(|clean| clean.value.as_str()))
        .collect();
    // What is judged are the bytes, never a text that was made fit for a column.
    let altered = |clean: &Option<Clean<String>>| clean.as_ref().is_some_and(|c| c.altered);
    let exact: Vec<Option<&[u8]>> = rows
        .iter()
        .zip(&kept)
        .map(|((_, raw), clean)| altered(clean).then_some(raw.as_ref()))
        .collect();
    let sizes: Vec<i64> = rows
        .iter()
        .map(|(_, raw)| i64::try_from(raw.len()).unwrap_or(i64::MAX))
        .collect();
    sqlx::query!(
        "INSERT INTO identity.uris (hash, uri, raw, size, state)
         SELECT hash, uri, raw, size, CASE WHEN size = 0 THEN 'none' ELSE 'pending' END
           FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::bigint[]) AS u(hash, uri, raw, size)
         ON CONFLICT (hash) DO NOTHING",
        &hashes as &[&[u8]],
        &texts as &[Option<&str>],
        &exact as &[Option<&[u8]>],
        &sizes,
    )
    .execute(tx.conn())
    .await?;
    agents(tx, named).await
}

async fn agents(tx: &mut Tx, named: &Naming<'_>) -> Result<()> {
    let mut rows: Vec<_> = named.agents.iter().collect();
    rows.sort_unstable_by_key(|(key, _)| **key);
    let hashes: Vec<&[u8]> = rows.iter().map(|((hash, _), _)| hash.as_slice()).collect();
    let agents: Vec<Uuid> = rows.iter().map(|((_, agent), _)| *agent).collect();
    let blocks: Vec<i64> = rows.iter().map(|(_, (block, _, _))| *block).collect();
    let logs: Vec<i32> = rows.iter().map(|(_, (_, log, _))| *log).collect();
    let again: Vec<bool> = rows.iter().map(|(_, (_, _, again))| *again).collect();
    sqlx::query!(
        "INSERT INTO identity.uri_agents AS u (uri_hash, agent_id, block, log, again)
         SELECT * FROM unnest($1::bytea[], $2::uuid[], $3::bigint[], $4::int[], $5::bool[])
         ON CONFLICT (uri_hash, agent_id) DO UPDATE SET again = true
          WHERE NOT u.again AND (EXCLUDED.again OR (u.block, u.log) <> (EXCLUDED.block, EXCLUDED.log))",
        &hashes as &[&[u8]],
        &agents,
        &blocks,
        &logs,
        &again,
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Asks for every current URI that has no judged document.
pub(super) async fn want(tx: &mut Tx, folded: &[Folded]) -> Result<()> {
    let keys = keys(folded.iter().filter_map(wanted).collect());
    let now = tx.now();
    Ok(job::enqueue(tx, FETCH, &keys, now).await?)
}

/// Asks for very many documents, in a transaction that can be repeated.
pub(super) async fn want_many(tx: &mut Tx, uris: Vec<[u8; 32]>) -> Result<()> {
    let keys = keys(uris);
    let now = tx.now();
    Ok(job::enqueue_many(tx, FETCH, &keys, now).await?)
}

fn keys(mut uris: Vec<[u8; 32]>) -> Vec<String> {
    uris.sort_unstable();
    uris.dedup();
    uris.iter().map(hex::encode).collect()
}

/// The URI of which an agent wants the document, if that is not judged.
pub(super) fn wanted(one: &Folded) -> Option<[u8; 32]> {
    let head = &one.head;
    let named = head.token.uri.as_ref();
    let uri = &named
        .filter(|named| !named.uri.empty && !head.token.burned)?
        .uri;
    let document = head.document.as_ref();
    let is_judged = document.is_some_and(|document| document.uri == uri.hash);
    (!is_judged).then_some(uri.hash)
}
