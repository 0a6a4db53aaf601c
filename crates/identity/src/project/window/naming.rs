//! The URIs that new agents of a window name: all of them at once in the order of their hashes, so that two
//! windows cannot block each other and the indexes grow at one end. They go in by COPY.

use std::collections::HashSet;

use kernel::{clean_text, sha256};
use store::{Tx, copy::Rows};

use crate::{Result, project::uris::KEPT, window::Window};

/// How many rows go into one COPY, and hashes into one question.
const CHUNK: usize = 10_000;

/// One naming.
struct Named<'a> {
    hash: [u8; 32],
    /// The agent's place in the window.
    agent: u32,
    /// Block and log index.
    at: (i64, i32),
    uri: &'a [u8],
}

/// Keeps the URIs that the agents at the places `new` named, and who named them; locks those that were there
/// against a judge. Leaves out who names one that is judged, and gives their places.
pub(super) async fn put(
    tx: &mut Tx,
    mut ahead: Option<&mut Tx>,
    window: &Window,
    new: &[u32],
) -> Result<HashSet<u32>> {
    let named = sorted(window, new);
    let stored = stored(tx, &named).await?;
    let judged = judged(tx, &stored).await?;
    let is_judged = |one: &&Named<'_>| judged.contains(&one.hash);
    let left: HashSet<u32> = named
        .iter()
        .filter(is_judged)
        .map(|one| one.agent)
        .collect();
    let (mut uris, mut agents) = (Rows::new(5), Rows::new(5));
    let mut rest = &named[..];
    while !rest.is_empty() {
        let (part, later) = rest.split_at(whole_uris(rest));
        rest = later;
        for of_uri in part.chunk_by(|one, other| one.hash == other.hash) {
            if !stored.contains(&of_uri[0].hash) {
                put_uri(&mut uris, &of_uri[0]);
            }
            for of_agent in of_uri.chunk_by(|one, other| one.agent == other.agent) {
                if !left.contains(&of_agent[0].agent) {
                    put_agent(&mut agents, window, of_agent);
                }
            }
        }
        if let Some(ahead) = &mut ahead {
            let (one, other) =
                tokio::join!(copy_uris(tx, &mut uris), copy_agents(ahead, &mut agents));
            one.and(other)?;
        } else {
            copy_uris(tx, &mut uris).await?;
            copy_agents(tx, &mut agents).await?;
        }
    }
    Ok(left)
}

/// How many of the first namings make whole URIs, about a chunk of them.
fn whole_uris(named: &[Named<'_>]) -> usize {
    let begun = CHUNK.min(named.len());
    let last = &named[begun - 1];
    let same = named[begun..]
        .iter()
        .take_while(|one| one.hash == last.hash);
    begun + same.count()
}

/// What the agents at the places `new` named, by hash, agent and place in the chain.
fn sorted<'a>(window: &'a Window, new: &[u32]) -> Vec<Named<'a>> {
    let mut is_new = vec![false; window.agents()];
    for place in new {
        is_new[*place as usize] = true;
    }
    let uris = window.uris().filter(|(agent, ..)| is_new[*agent as usize]);
    let mut named: Vec<Named<'_>> = uris
        .map(|(agent, block, log, uri)| Named {
            hash: sha256(uri),
            agent,
            at: (block, i32::try_from(log).unwrap_or(i32::MAX)),
            uri,
        })
        .collect();
    named.sort_unstable_by_key(|one| (one.hash, one.agent, one.at));
    named
}

async fn copy_uris(tx: &mut Tx, rows: &mut Rows) -> Result<()> {
    let statement = "COPY identity.uris (hash, uri, raw, size, state) FROM STDIN (FORMAT binary)";
    Ok(rows.copy(tx, statement).await?)
}

async fn copy_agents(tx: &mut Tx, rows: &mut Rows) -> Result<()> {
    let statement = "COPY identity.uri_agents (uri_hash, agent_id, block, log, again)
        FROM STDIN (FORMAT binary)";
    Ok(rows.copy(tx, statement).await?)
}

fn put_uri(rows: &mut Rows, one: &Named<'_>) {
    rows.row().bytea(&one.hash);
    if one.uri.len() > KEPT {
        rows.null().null();
    } else {
        // What is judged are the bytes, never a text that was made fit for a column.
        let clean = clean_text(one.uri);
        rows.text(&clean.value)
            .maybe(clean.altered.then_some(one.uri), Rows::bytea);
    }
    rows.bigint(i64::try_from(one.uri.len()).unwrap_or(i64::MAX))
        .text(if one.uri.is_empty() {
            "none"
        } else {
            "pending"
        });
}

/// `of_agent` are an agent's namings of one URI, in their order.
fn put_agent(rows: &mut Rows, window: &Window, of_agent: &[Named<'_>]) {
    let first = &of_agent[0];
    let again = of_agent.iter().any(|one| one.at != first.at);
    rows.row()
        .bytea(&first.hash)
        .uuid(window.agent(first.agent).0)
        .bigint(first.at.0)
        .integer(first.at.1)
        .boolean(again);
}

/// Locks those URIs that are there. In the first window of a database there are none.
async fn stored(tx: &mut Tx, named: &[Named<'_>]) -> Result<HashSet<[u8; 32]>> {
    let any = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM identity.uris) AS "any!""#);
    let mut stored = HashSet::new();
    if !any.fetch_one(tx.conn()).await? {
        return Ok(stored);
    }
    for chunk in named.chunks(CHUNK) {
        let mut hashes: Vec<&[u8]> = chunk.iter().map(|one| one.hash.as_slice()).collect();
        hashes.dedup();
        let there = sqlx::query_scalar!(
            "SELECT hash FROM identity.uris WHERE hash = ANY($1) ORDER BY hash FOR SHARE",
            &hashes as &[&[u8]],
        )
        .fetch_all(tx.conn())
        .await?;
        stored.extend(digests(&there));
    }
    Ok(stored)
}

/// Those of which something is judged.
async fn judged(tx: &mut Tx, stored: &HashSet<[u8; 32]>) -> Result<HashSet<[u8; 32]>> {
    if stored.is_empty() {
        return Ok(HashSet::new());
    }
    let hashes: Vec<&[u8]> = stored.iter().map(<[u8; 32]>::as_slice).collect();
    let judged = sqlx::query_scalar!(
        "SELECT DISTINCT uri_hash FROM identity.documents WHERE uri_hash = ANY($1)",
        &hashes as &[&[u8]],
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(digests(&judged).collect())
}

fn digests(stored: &[Vec<u8>]) -> impl Iterator<Item = [u8; 32]> {
    stored
        .iter()
        .filter_map(|hash| hash.as_slice().try_into().ok())
}
