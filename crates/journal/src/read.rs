//! Entries as doors show them.

use chrono::{DateTime, Utc};
use kernel::{AgentId, Limit, Page};
use store::Db;
use uuid::Uuid;

use crate::{
    entry::Entry,
    error::{Error, Result},
    log::{number, sql},
    publication::{State, stored_state},
};

/// An entry with its place and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Order of appending.
    pub seq: i64,
    /// Its id.
    pub cid: String,
    /// How far it is published.
    pub state: State,
    /// Its leaf, once it is sealed.
    pub leaf_index: Option<u64>,
    /// When it was appended.
    pub appended_at: DateTime<Utc>,
    /// Its canonical bytes.
    pub body: Vec<u8>,
    /// What they say.
    pub entry: Entry,
}

struct Row {
    seq: i64,
    cid: String,
    appended_at: DateTime<Utc>,
    leaf_index: Option<i64>,
    state: String,
    body: Vec<u8>,
}

impl TryFrom<Row> for Record {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let entry = Entry::parse(&row.body)
            .map_err(|error| Error::Damaged(format!("entry {}: {error}", row.cid)))?;
        Ok(Self {
            seq: row.seq,
            cid: row.cid,
            state: stored_state(&row.state)?,
            leaf_index: row.leaf_index.map(number).transpose()?,
            appended_at: row.appended_at,
            body: row.body,
            entry,
        })
    }
}

/// The entry of this CID; NotFound where there is none.
pub async fn get(db: &Db, cid: &str) -> Result<Record> {
    sqlx::query_as!(
        Row,
        r#"SELECT v.seq AS "seq!", v.cid AS "cid!", v.appended_at AS "appended_at!", v.leaf_index,
                  v.state AS "state!", e.body
             FROM journal.v_entries v JOIN journal.entries e ON e.seq = v.seq WHERE v.cid = $1"#,
        cid
    )
    .fetch_optional(db.pool())
    .await?
    .ok_or_else(|| Error::NotFound(format!("entry {cid}")))?
    .try_into()
}

/// Sealed entries in the order of their leaves, after the given cursor. Who goes on from the last cursor
/// misses nothing and sees nothing twice: this is the change feed.
pub async fn entries(db: &Db, after: Option<&str>, limit: Limit) -> Result<Page<Record>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT v.seq AS "seq!", v.cid AS "cid!", v.appended_at AS "appended_at!", v.leaf_index,
                  v.state AS "state!", e.body
             FROM journal.v_entries v JOIN journal.entries e ON e.seq = v.seq
            WHERE v.leaf_index > $1 ORDER BY v.leaf_index LIMIT $2"#,
        parse(after)?.unwrap_or(-1),
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    page(rows, limit, |record| record.leaf_index.map_or(0, sql))
}

/// The newest entries first, queued ones included; `before` is the cursor of the page before.
pub async fn newest(db: &Db, before: Option<&str>, limit: Limit) -> Result<Page<Record>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT v.seq AS "seq!", v.cid AS "cid!", v.appended_at AS "appended_at!", v.leaf_index,
                  v.state AS "state!", e.body
             FROM journal.v_entries v JOIN journal.entries e ON e.seq = v.seq
            WHERE v.seq < $1 ORDER BY v.seq DESC LIMIT $2"#,
        parse(before)?.unwrap_or(i64::MAX),
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    page(rows, limit, |record| record.seq)
}

/// An agent's entries, newest first; `cursor` is that of the page before.
pub async fn by_agent(
    db: &Db,
    agent: AgentId,
    cursor: Option<&str>,
    limit: Limit,
) -> Result<Page<Record>> {
    let agent: Uuid = agent.0;
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT v.seq AS "seq!", v.cid AS "cid!", v.appended_at AS "appended_at!", v.leaf_index,
                  v.state AS "state!", e.body
             FROM journal.v_entries v JOIN journal.entries e ON e.seq = v.seq
            WHERE v.agent_id = $1 AND v.seq < $2 ORDER BY v.seq DESC LIMIT $3"#,
        agent,
        parse(cursor)?.unwrap_or(i64::MAX),
        limit.lookahead(),
    )
    .fetch_all(db.pool())
    .await?;
    page(rows, limit, |record| record.seq)
}

fn page(rows: Vec<Row>, limit: Limit, cursor: impl Fn(&Record) -> i64) -> Result<Page<Record>> {
    let records = rows
        .into_iter()
        .map(Record::try_from)
        .collect::<Result<Vec<_>>>()?;
    Ok(Page::from_lookahead(records, limit, |record| {
        cursor(record).to_string()
    }))
}

fn parse(cursor: Option<&str>) -> Result<Option<i64>> {
    let wrong = |text: &str| Error::Range(format!("`{text}` is no cursor of this list"));
    cursor
        .map(|text| text.parse().map_err(|_| wrong(text)))
        .transpose()
}
