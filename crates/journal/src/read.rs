//! Entries as doors show them.

use chrono::{DateTime, Utc};
use kernel::{AgentId, Limit, Page};
use store::{Archive, Db};
use uuid::Uuid;

use crate::{
    body,
    entry::Entry,
    error::{Error, Result},
    log::number,
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
    body: Option<Vec<u8>>,
}

impl Row {
    async fn record(self, archive: &Archive) -> Result<Record> {
        let body = body::of(archive, &self.cid, self.body).await?;
        let entry = Entry::parse(&body)
            .map_err(|error| Error::Damaged(format!("entry {}: {error}", self.cid)))?;
        Ok(Record {
            seq: self.seq,
            cid: self.cid,
            state: stored_state(&self.state)?,
            leaf_index: self.leaf_index.map(number).transpose()?,
            appended_at: self.appended_at,
            body,
            entry,
        })
    }
}

/// The entry of this CID; NotFound where there is none.
pub async fn get(db: &Db, cid: &str) -> Result<Record> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT v.seq AS "seq!", v.cid AS "cid!", v.appended_at AS "appended_at!", v.leaf_index,
                  v.state AS "state!", e.body
             FROM journal.v_entries v JOIN journal.entries e ON e.seq = v.seq WHERE v.cid = $1"#,
        cid
    )
    .fetch_optional(db.pool())
    .await?
    .ok_or_else(|| Error::NotFound(format!("entry {cid}")))?;
    row.record(db.archive()).await
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
    page(db, rows, limit, |record| record.seq).await
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
    page(db, rows, limit, |record| record.seq).await
}

async fn page(
    db: &Db,
    rows: Vec<Row>,
    limit: Limit,
    cursor: impl Fn(&Record) -> i64,
) -> Result<Page<Record>> {
    let records = records(db, rows).await?;
    Ok(Page::from_lookahead(records, limit, |record| {
        cursor(record).to_string()
    }))
}

async fn records(db: &Db, rows: Vec<Row>) -> Result<Vec<Record>> {
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        records.push(row.record(db.archive()).await?);
    }
    Ok(records)
}

fn parse(cursor: Option<&str>) -> Result<Option<i64>> {
    let wrong = |text: &str| Error::Range(format!("`{text}` is no cursor of this list"));
    cursor
        .map(|text| text.parse().map_err(|_| wrong(text)))
        .transpose()
}
