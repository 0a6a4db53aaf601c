//! Rows against what the oracle expects, and the journal against itself.

use std::collections::{BTreeMap, BTreeSet};

use journal::{Entry, EntryKind, LogKey, checkpoint::Checkpoint, note::Note};
use kernel::AgentId;
use serde_json::Value;
use sqlx::{PgPool, Row};
use store::Db;
use uuid::Uuid;

use super::{
    kit,
    oracle::{Agent, Expected, TokenRow},
};

/// The first difference between rows and what is expected of them.
pub async fn rows(pool: &PgPool, expected: &Expected) -> Option<String> {
    let tokens = token_rows(pool).await;
    if let Some(difference) = differ("identity.tokens", &tokens, &expected.tokens) {
        return Some(difference);
    }
    let agents = agent_rows(pool).await;
    let shown: BTreeMap<AgentId, Agent> = expected
        .agents
        .iter()
        .filter(|(_, agent)| agent.shown)
        .map(|(id, agent)| (*id, agent.clone()))
        .collect();
    let links = links(pool).await;
    differ("identity.agents", &agents, &shown).or_else(|| {
        let same = links == expected.links;
        (!same).then(|| {
            format!(
                "identity.v_claims\n  {links:?}\n  oracle: {:?}",
                expected.links
            )
        })
    })
}

/// Agents of keys and of tokens that are one.
async fn links(pool: &PgPool) -> BTreeSet<(AgentId, AgentId)> {
    let rows = sqlx::query("SELECT key_agent, token_agent FROM identity.v_claims");
    let rows = rows.fetch_all(pool).await.expect("claims");
    rows.iter()
        .map(|row| (AgentId(row.get(0)), AgentId(row.get(1))))
        .collect()
}

fn differ<T: PartialEq + std::fmt::Debug>(
    table: &str,
    rows: &BTreeMap<AgentId, T>,
    expected: &BTreeMap<AgentId, T>,
) -> Option<String> {
    let ids: BTreeSet<&AgentId> = rows.keys().chain(expected.keys()).collect();
    ids.into_iter().find_map(|id| {
        let (row, must) = (rows.get(id), expected.get(id));
        (row != must).then(|| format!("{table} of {id}\n  row:    {row:?}\n  oracle: {must:?}"))
    })
}

/// A log by its block's height and hash, its index, and what it says.
pub type StoredLog = (i64, String, i32, String);

/// Logs that are stored but not on the chain, and logs of the chain that are not stored, up to a block.
pub async fn ground(pool: &PgPool, script: &kit::Script) -> (Vec<StoredLog>, Vec<StoredLog>) {
    let stored = sqlx::query(
        "SELECT l.block_number, b.hash, log_index, tx_hash, address, topic0, topic1, topic2, topic3, data
           FROM chain.logs l
           LEFT JOIN chain.blocks b ON b.chain_id = l.chain_id AND b.number = l.block_number
          WHERE l.chain_id = $1 AND l.block_number <= $2",
    );
    let stored = stored.bind(script.id.cast_signed()).bind(script.tip());
    let stored = stored.fetch_all(pool).await.expect("logs");
    let stored: BTreeSet<StoredLog> = stored
        .iter()
        .map(|row| {
            let hex = |at: usize| {
                let bytes: Option<Vec<u8>> = row.get(at);
                bytes.map(hex::encode).unwrap_or_default()
            };
            let says: Vec<String> = (3..10).map(hex).collect();
            (row.get(0), hex(1), row.get(2), says.join(" "))
        })
        .collect();
    let there: BTreeSet<StoredLog> = script
        .blocks
        .iter()
        .flat_map(|(_, logs)| logs)
        .map(|log| {
            let topic = |at| log.topics.get(at).map(hex::encode).unwrap_or_default();
            let mut says = vec![hex::encode(log.tx_hash), hex::encode(log.address)];
            says.extend((0..4).map(topic));
            says.push(hex::encode(&log.data));
            let index = i32::try_from(log.log_index).expect("few");
            let block = (log.block_number.cast_signed(), hex::encode(log.block_hash));
            (block.0, block.1, index, says.join(" "))
        })
        .collect();
    (
        stored.difference(&there).cloned().collect(),
        there.difference(&stored).cloned().collect(),
    )
}

/// What is said of a range of blocks: from, to, level, hash below and at its top.
pub type Said = (i64, i64, String, Option<Vec<u8>>, Option<Vec<u8>>);

/// All ranges of a chain, ascending.
pub async fn ranges(pool: &PgPool, chain: u64) -> Vec<Said> {
    let rows = sqlx::query(
        "SELECT from_block, to_block, level, below_hash, top_hash FROM chain.ranges
          WHERE chain_id = $1 ORDER BY 1",
    );
    let rows = rows.bind(chain.cast_signed()).fetch_all(pool).await;
    let said =
        |row: &sqlx::postgres::PgRow| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
    rows.expect("ranges").iter().map(said).collect()
}

/// Block hash and log index of all incidents of a chain.
pub async fn incidents(pool: &PgPool, chain: u64) -> BTreeSet<(String, i32)> {
    let rows = sqlx::query(
        "SELECT encode(block_hash, 'hex'), log_index FROM chain.incidents WHERE chain_id = $1",
    );
    let rows = rows.bind(chain.cast_signed()).fetch_all(pool).await;
    let rows = rows.expect("incidents");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn token_rows(pool: &PgPool) -> BTreeMap<AgentId, TokenRow> {
    let rows = sqlx::query(
        "SELECT agent_id, '0x' || encode(owner, 'hex') AS owner,
                '0x' || encode(approved, 'hex') AS approved, '0x' || encode(wallet, 'hex') AS wallet,
                encode(uri_hash, 'hex') AS uri, burned, founding, document_version, onchain
           FROM identity.tokens",
    );
    let rows = rows.fetch_all(pool).await.expect("tokens");
    rows.iter()
        .map(|row| {
            let onchain: BTreeMap<String, String> =
                serde_json::from_value(row.get("onchain")).expect("texts");
            let token = TokenRow {
                owner: row.get("owner"),
                approved: row.get("approved"),
                wallet: row.get("wallet"),
                uri: row.get("uri"),
                burned: row.get("burned"),
                founding: row.get("founding"),
                version: row.get("document_version"),
                onchain: onchain.into_iter().filter(|(_, hex)| hex != "0x").collect(),
            };
            (AgentId(row.get("agent_id")), token)
        })
        .collect()
}

async fn agent_rows(pool: &PgPool) -> BTreeMap<AgentId, Agent> {
    let rows = sqlx::query(
        "SELECT a.id, did, owner_address, name, description, category, runtime_status::text AS status,
                status_final, liveness, load,
                coalesce((SELECT jsonb_object_agg(capability_name, capability_value)
                            FROM identity.capability_vectors c WHERE c.agent_id = a.id), '{}') AS capabilities,
                coalesce((SELECT jsonb_agg(jsonb_build_array(previous_status, new_status,
                                   (extract(epoch FROM changed_at) * 1000000)::bigint)
                                   ORDER BY seq)
                            FROM identity.agent_status_history h WHERE h.agent_id = a.id), '[]') AS history
           FROM identity.agents a",
    );
    let rows = rows.fetch_all(pool).await.expect("agents");
    rows.iter()
        .map(|row| {
            let agent = Agent {
                shown: true,
                did: row.get("did"),
                owner: row.get("owner_address"),
                name: row.get("name"),
                description: row.get("description"),
                category: row.get("category"),
                status: row.get("status"),
                is_final: row.get("status_final"),
                liveness: row.get("liveness"),
                load: row.get("load"),
                capabilities: serde_json::from_value(row.get("capabilities")).expect("an object"),
                history: serde_json::from_value(row.get("history")).expect("triples"),
            };
            (AgentId(row.get("id")), agent)
        })
        .collect()
}

/// What the whole journal says, verified on the way.
pub struct Journal {
    pub incidents: Vec<(String, String, Value)>,
    pub retractions: usize,
}

/// Checks every sealed entry: its id, its chain, its place in a tree of our own, the roots of all
/// checkpoints and the signature of the last; and that nothing is unsealed.
pub async fn journal(db: &Db, key: &LogKey) -> Result<Journal, String> {
    let rows = sqlx::query(
        "SELECT e.cid, e.body, e.agent_id, l.leaf_hash, l.leaf_index
           FROM journal.entries e LEFT JOIN journal.leaves l ON l.entry_seq = e.seq
          ORDER BY l.leaf_index NULLS LAST",
    );
    let rows = rows.fetch_all(db.pool()).await.expect("entries");
    let mut journal = Journal {
        incidents: Vec::new(),
        retractions: 0,
    };
    let mut last: BTreeMap<Option<Uuid>, String> = BTreeMap::new();
    let mut followers: BTreeMap<(Option<Uuid>, Option<String>), String> = BTreeMap::new();
    let mut hashes = Vec::with_capacity(rows.len());
    for (index, row) in (0_i64..).zip(&rows) {
        let (cid, body): (String, Vec<u8>) = (row.get("cid"), row.get("body"));
        let agent: Option<Uuid> = row.get("agent_id");
        if row.get::<Option<i64>, _>("leaf_index") != Some(index) {
            return Err(format!("entry {cid} is no leaf {index}"));
        }
        if kernel::cid_of_dag_cbor(&body).to_string() != cid {
            return Err(format!("the bytes of {cid} have another CID"));
        }
        let leaf = hash(&[&[0], &body]);
        if row.get::<Vec<u8>, _>("leaf_hash") != leaf {
            return Err(format!("leaf {index} is not the hash of its entry"));
        }
        hashes.push(leaf);
        let entry = Entry::parse(&body).map_err(|error| format!("{cid}: {error}"))?;
        if entry.agent.map(|agent| agent.0) != agent {
            return Err(format!("{cid} is filed under another agent"));
        }
        followers.insert((agent, entry.prev.clone()), cid.clone());
        last.insert(agent, cid);
        match entry.kind {
            EntryKind::Incident => journal.incidents.extend(entry.changes.iter().map(|change| {
                (
                    change.column.clone(),
                    change.cause.clone(),
                    change.value.clone(),
                )
            })),
            EntryKind::Retracted => journal.retractions += 1,
            EntryKind::Agent | EntryKind::Act => {}
        }
    }
    // Each agent's entries are one chain that begins with none before.
    let mut chained = 0;
    for agent in last.keys() {
        let mut prev = None;
        while let Some(next) = followers.get(&(*agent, prev)) {
            chained += 1;
            prev = Some(next.clone());
        }
    }
    if chained != rows.len() {
        return Err(format!(
            "{} entries, {chained} of them in chains",
            rows.len()
        ));
    }
    checkpoints(db, key, &hashes).await?;
    Ok(journal)
}

async fn checkpoints(db: &Db, key: &LogKey, leaves: &[Vec<u8>]) -> Result<(), String> {
    let rows = sqlx::query("SELECT size, root, note FROM journal.checkpoints ORDER BY size");
    let rows = rows.fetch_all(db.pool()).await.expect("checkpoints");
    let mut newest = None;
    for row in &rows {
        let size: i64 = row.get("size");
        let size = usize::try_from(size).expect("a size");
        if row.get::<Vec<u8>, _>("root") != root(&leaves[..size]) {
            return Err(format!("the checkpoint of size {size} has another root"));
        }
        newest = Some((size, row.get::<String, _>("note")));
    }
    let Some((size, note)) = newest else {
        return if leaves.is_empty() {
            Ok(())
        } else {
            Err("there is no checkpoint".to_owned())
        };
    };
    if size != leaves.len() {
        return Err(format!("{} entries, but {size} sealed", leaves.len()));
    }
    let verifier = key
        .verifier(&key.default_origin())
        .map_err(|error| error.to_string())?;
    let bad = |error: &dyn std::fmt::Display| format!("the newest checkpoint: {error}");
    let note = Note::parse(&note).map_err(|error| bad(&error))?;
    note.verify(&[verifier]).map_err(|error| bad(&error))?;
    let told = Checkpoint::parse(note.text()).map_err(|error| bad(&error))?;
    if told.size != size as u64 || told.root.to_vec() != root(leaves) {
        return Err(format!("the newest checkpoint says {told:?}"));
    }
    Ok(())
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    kernel::sha256(&parts.concat()).to_vec()
}

/// RFC 6962's Merkle tree hash, as it is defined there.
fn root(leaves: &[Vec<u8>]) -> Vec<u8> {
    match leaves {
        [] => hash(&[]),
        [leaf] => leaf.clone(),
        _ => {
            let half = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(half);
            hash(&[&[1], &root(left), &root(right)])
        }
    }
}
