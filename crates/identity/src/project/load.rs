//! Everything that the fold of some agents needs, read set-based.

use std::collections::{BTreeMap, HashMap, HashSet};

use chain::{Log, SeenTopics};
use chrono::{DateTime, Utc};
use kernel::{Address, AgentId, B256, Bytes, Token, U256};
use serde_json::Value;
use store::Tx;
use uuid::Uuid;

use crate::{
    Result,
    fact::{Act, ActKind},
    fold::State,
    statement::facts::{self, StatementRow},
};

/// Who an agent is, apart from everything that happened to it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its id.
    pub id: AgentId,
    /// Its token, where it has one.
    pub token: Option<Token>,
    /// The chain whose logs speak of it: its token's, or the one whose contract named its DID.
    pub chain: Option<u64>,
    /// Its DID.
    pub did: String,
}

impl Subject {
    /// The agent of a token.
    pub fn of_token(id: AgentId, token: Token) -> Self {
        Self {
            id,
            token: Some(token),
            chain: Some(token.chain),
            did: token.did(),
        }
    }
}

/// What is known of an agent's chain.
#[derive(Debug, Clone, Copy)]
pub struct ChainInfo {
    /// Which topics the source holds.
    pub topics: SeenTopics,
    /// Blocks up to this one are projected. Ground may be ahead of it.
    pub head: i64,
    /// Blocks up to this one are settled.
    pub settled: i64,
    /// The registry that short names belong to.
    pub first_registry: Option<Address>,
    /// Whether contracts of VEXEL's are read.
    pub vexel: bool,
}

/// A saved fold.
#[derive(Debug, Clone)]
pub struct Saved {
    /// State over settled ground.
    pub state: State,
    /// Blocks up to this one are in it.
    pub through_block: i64,
    /// Off-chain facts up to this one are in it.
    pub through_serial: i64,
}

/// A version of a document, with its time as the agent's chain counts it.
#[derive(Debug, Clone)]
pub struct Version {
    /// 1, 2, ...
    pub number: i32,
    /// Among off-chain facts.
    pub serial: i64,
    /// Microseconds.
    judged_at: i64,
    chain_times: BTreeMap<String, i64>,
    /// All fields.
    pub whole: BTreeMap<String, Value>,
    /// Changed ones.
    pub says: BTreeMap<String, Value>,
    /// Of the bytes.
    pub sha256: Option<[u8; 32]>,
    /// Of the stored bytes.
    pub cid: Option<String>,
    /// The document.
    pub raw: Option<Value>,
}

impl Version {
    /// When it was judged, for a chain that may be ahead of the clock.
    pub fn time(&self, chain: Option<u64>) -> i64 {
        let ahead = chain.and_then(|chain| self.chain_times.get(&chain.to_string()));
        self.judged_at.max(ahead.copied().unwrap_or(i64::MIN))
    }
}

/// An operator's act with its position.
#[derive(Debug, Clone)]
pub struct ActRow {
    /// Among off-chain facts.
    pub serial: i64,
    /// Microseconds.
    pub at: i64,
    /// By whom.
    pub who: String,
    /// What.
    pub act: Act,
}

/// What was said of an agent off chain, apart from documents.
#[derive(Debug, Clone, Default)]
pub struct Spoken {
    /// By operators.
    pub acts: Vec<ActRow>,
    /// By its owner or key.
    pub statements: Vec<StatementRow>,
}

impl Spoken {
    /// The last serial among them.
    pub fn last_serial(&self) -> Option<i64> {
        let act = self.acts.last().map(|act| act.serial);
        act.max(self.statements.last().map(|statement| statement.serial))
    }
}

/// Logs of one agent in chain order, and the times of their blocks in microseconds.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    /// The logs.
    pub logs: Vec<Log>,
    /// One time for each.
    pub times: Vec<i64>,
}

impl Logs {
    /// Puts logs that were read in two parts into the chain's order.
    fn sort(&mut self) {
        let mut both: Vec<(Log, i64)> = self.logs.drain(..).zip(self.times.drain(..)).collect();
        both.sort_by_key(|(log, _)| (log.block_number, log.log_index));
        (self.logs, self.times) = both.into_iter().unzip();
    }
}

/// Versions of the documents of some URIs, by URI, ascending.
pub type Versions = HashMap<[u8; 32], Vec<Version>>;

pub async fn subjects(tx: &mut Tx, ids: &[Uuid]) -> Result<HashMap<Uuid, Subject>> {
    // The lock of projection and settling; in id order, so that two of us cannot block each other.
    let rows = sqlx::query!(
        r#"SELECT id, chain_id, registry, token_id::text, did FROM identity.subjects
            WHERE id = ANY($1) ORDER BY id FOR UPDATE"#,
        ids,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let token = (|| {
                Some(Token {
                    chain: u64::try_from(row.chain_id?).ok()?,
                    registry: Address::try_from(row.registry?.as_slice()).ok()?,
                    id: U256::from_str_radix(&row.token_id?, 10).ok()?,
                })
            })();
            (
                row.id,
                Subject {
                    id: AgentId(row.id),
                    token,
                    chain: row.chain_id.map(i64::unsigned_abs),
                    did: row.did,
                },
            )
        })
        .collect())
}

pub async fn chains(tx: &mut Tx) -> Result<HashMap<u64, ChainInfo>> {
    let rows = sqlx::query!(
        r#"SELECT c.chain_id AS "chain_id!", c.head_number AS "head!", c.settled_number AS "settled!",
                  c.has_transfer AS "transfer!", c.has_metadata_update AS "update!",
                  c.has_metadata_set AS "set!",
                  (SELECT address FROM chain.v_contracts r
                    WHERE r.chain_id = c.chain_id AND kind = 'identity' ORDER BY ordinal LIMIT 1) AS registry,
                  EXISTS (SELECT FROM chain.v_contracts r
                           WHERE r.chain_id = c.chain_id AND kind = 'vexel') AS "vexel!"
             FROM chain.v_chains c"#
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let info = ChainInfo {
                topics: SeenTopics {
                    transfer: row.transfer,
                    metadata_update: row.update,
                    metadata_set: row.set,
                },
                head: row.head,
                settled: row.settled,
                first_registry: row
                    .registry
                    .and_then(|a| Address::try_from(a.as_slice()).ok()),
                vexel: row.vexel,
            };
            (row.chain_id.unsigned_abs(), info)
        })
        .collect())
}

pub async fn saved(tx: &mut Tx, ids: &[Uuid]) -> Result<HashMap<Uuid, Saved>> {
    let rows = sqlx::query!(
        "SELECT agent_id, through_block, through_serial, state FROM identity.folds
          WHERE agent_id = ANY($1)",
        ids,
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        // A state of another version of this program is as good as none: the facts are there.
        .filter_map(|row| {
            let state = serde_json::from_slice(&row.state).ok()?;
            let (through_block, through_serial) = (row.through_block, row.through_serial);
            Some((
                row.agent_id,
                Saved {
                    state,
                    through_block,
                    through_serial,
                },
            ))
        })
        .collect())
}

/// Logs of each agent above its block, ascending, with the block's time in microseconds. What a backfill
/// stored beyond the chain's cursor is not in the view yet.
pub async fn logs(tx: &mut Tx, from: &[(Uuid, i64)]) -> Result<HashMap<Uuid, Logs>> {
    let (ids, above): (Vec<Uuid>, Vec<i64>) = from.iter().copied().unzip();
    let rows = sqlx::query_as!(
        LogRow,
        r#"SELECT l.subject AS "subject!", l.chain_id AS "chain!", l.block_number AS "block!",
                  l.log_index AS "index!", l.block_hash AS "block_hash!", l.block_time AS "time!",
                  l.tx_index AS "tx_index!", l.tx_hash AS "tx_hash!", l.address AS "address!",
                  l.topic0, l.topic1, l.topic2, l.topic3, l.data AS "data!"
             FROM unnest($1::uuid[], $2::bigint[]) AS wanted(id, above)
             JOIN chain.v_logs l ON l.subject = wanted.id AND l.block_number > wanted.above
            ORDER BY l.subject, l.block_number, l.log_index"#,
        &ids,
        &above,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut out: HashMap<Uuid, Logs> = HashMap::with_capacity(ids.len());
    for row in rows {
        push(&mut out, row);
    }
    Ok(out)
}

/// Adds the logs of VEXEL's contracts that are about an agent's DID, of one chain for each agent, above a block.
pub async fn add_vexel_logs(
    tx: &mut Tx,
    from: &[(Uuid, u64, i64)],
    logs: &mut HashMap<Uuid, Logs>,
) -> Result<()> {
    let ids: Vec<Uuid> = from.iter().map(|(id, ..)| *id).collect();
    let chains: Vec<i64> = from
        .iter()
        .map(|(_, chain, _)| chain.cast_signed())
        .collect();
    let above: Vec<i64> = from.iter().map(|(.., above)| *above).collect();
    let rows = sqlx::query_as!(
        LogRow,
        r#"SELECT h.agent_id AS "subject!", l.chain_id AS "chain!", l.block_number AS "block!",
                  l.log_index AS "index!", l.block_hash AS "block_hash!", l.block_time AS "time!",
                  l.tx_index AS "tx_index!", l.tx_hash AS "tx_hash!", l.address AS "address!",
                  l.topic0, l.topic1, l.topic2, l.topic3, l.data AS "data!"
             FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS wanted(id, chain, above)
             JOIN identity.did_hashes h ON h.agent_id = wanted.id
             JOIN identity.did_logs d ON d.hash = h.hash AND d.chain_id = wanted.chain AND d.block_number > wanted.above
             JOIN chain.v_chains c ON c.chain_id = d.chain_id AND d.block_number <= c.head_number
             JOIN chain.v_logs l ON l.chain_id = d.chain_id AND l.block_number = d.block_number
                                AND l.log_index = d.log_index
            ORDER BY 1, 3, 4"#,
        &ids,
        &chains,
        &above,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut touched = HashSet::new();
    for row in rows {
        touched.insert(row.subject);
        push(logs, row);
    }
    for agent in touched {
        if let Some(logs) = logs.get_mut(&agent) {
            logs.sort();
        }
    }
    Ok(())
}

/// A log of an agent.
struct LogRow {
    subject: Uuid,
    chain: i64,
    block: i64,
    index: i32,
    block_hash: Vec<u8>,
    time: DateTime<Utc>,
    tx_index: i32,
    tx_hash: Vec<u8>,
    address: Vec<u8>,
    topic0: Option<Vec<u8>>,
    topic1: Option<Vec<u8>>,
    topic2: Option<Vec<u8>>,
    topic3: Option<Vec<u8>>,
    data: Vec<u8>,
}

fn push(out: &mut HashMap<Uuid, Logs>, row: LogRow) {
    let topics = [row.topic0, row.topic1, row.topic2, row.topic3];
    let log = Log {
        chain: row.chain.unsigned_abs(),
        block_number: row.block.unsigned_abs(),
        block_hash: B256::try_from(row.block_hash.as_slice()).unwrap_or_default(),
        block_time: None,
        tx_hash: B256::try_from(row.tx_hash.as_slice()).unwrap_or_default(),
        tx_index: row.tx_index.unsigned_abs(),
        log_index: row.index.unsigned_abs(),
        address: Address::try_from(row.address.as_slice()).unwrap_or_default(),
        topics: topics
            .iter()
            .flatten()
            .map(|topic| B256::try_from(topic.as_slice()).unwrap_or_default())
            .collect(),
        data: Bytes::from(row.data),
    };
    let logs = out.entry(row.subject).or_default();
    logs.logs.push(log);
    logs.times.push(row.time.timestamp_micros());
}

/// What was said of each agent above its serial.
pub async fn spoken(tx: &mut Tx, from: &[(Uuid, i64)]) -> Result<HashMap<Uuid, Spoken>> {
    let mut out: HashMap<Uuid, Spoken> = HashMap::new();
    for (agent, acts) in acts(tx, from).await? {
        out.entry(agent).or_default().acts = acts;
    }
    for (agent, statements) in facts::load(tx, from).await? {
        out.entry(agent).or_default().statements = statements;
    }
    Ok(out)
}

/// Acts of each agent above its serial, ascending.
async fn acts(tx: &mut Tx, from: &[(Uuid, i64)]) -> Result<HashMap<Uuid, Vec<ActRow>>> {
    let (ids, above): (Vec<Uuid>, Vec<i64>) = from.iter().copied().unzip();
    let rows = sqlx::query!(
        "SELECT a.serial, a.agent_id, a.kind, a.at, a.who, a.changes, a.reason, a.founding
           FROM unnest($1::uuid[], $2::bigint[]) AS wanted(id, above)
           JOIN identity.acts a ON a.agent_id = wanted.id AND a.serial > wanted.above
          ORDER BY a.serial",
        &ids,
        &above,
    )
    .fetch_all(tx.conn())
    .await?;
    let mut out: HashMap<Uuid, Vec<ActRow>> = HashMap::new();
    for row in rows {
        let Some(kind) = ActKind::parse(&row.kind) else {
            continue;
        };
        out.entry(row.agent_id).or_default().push(ActRow {
            serial: row.serial,
            at: row.at.timestamp_micros(),
            who: row.who,
            act: Act {
                kind,
                changes: map(row.changes),
                reason: row.reason,
                founding: row.founding,
            },
        });
    }
    Ok(out)
}

/// Locks the URIs against a judge and reads what was found at them.
pub async fn versions(tx: &mut Tx, mut uris: Vec<[u8; 32]>) -> Result<Versions> {
    uris.sort_unstable();
    uris.dedup();
    if uris.is_empty() {
        return Ok(Versions::new());
    }
    let hashes: Vec<&[u8]> = uris.iter().map(<[u8; 32]>::as_slice).collect();
    sqlx::query!(
        "SELECT FROM identity.uris WHERE hash = ANY($1) ORDER BY hash FOR SHARE",
        &hashes as &[&[u8]]
    )
    .execute(tx.conn())
    .await?;
    let rows = sqlx::query!(
        "SELECT uri_hash, version, serial, judged_at, chain_times, sha256, cid, raw, whole, says
           FROM identity.documents WHERE uri_hash = ANY($1) ORDER BY uri_hash, version",
        &hashes as &[&[u8]],
    )
    .fetch_all(tx.conn())
    .await?;
    let mut out = Versions::new();
    for row in rows {
        let Ok(uri) = <[u8; 32]>::try_from(row.uri_hash.as_slice()) else {
            continue;
        };
        out.entry(uri).or_default().push(Version {
            number: row.version,
            serial: row.serial,
            judged_at: micros(row.judged_at),
            chain_times: serde_json::from_value(row.chain_times).unwrap_or_default(),
            whole: map(row.whole),
            says: map(row.says),
            sha256: row.sha256.and_then(|digest| digest.try_into().ok()),
            cid: row.cid.filter(|cid| cid.len() <= 64),
            raw: row.raw,
        });
    }
    Ok(out)
}

fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

fn map(value: Value) -> BTreeMap<String, Value> {
    match value {
        Value::Object(map) => map.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}
