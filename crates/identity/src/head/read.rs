//! Reading the head feed by position. A QueryBuilder puts the filters together: each has its own index.

use chrono::{DateTime, Utc};
use kernel::Span;
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};
use store::{Db, cursor};
use uuid::Uuid;

use super::CURSOR;
use crate::Result;

/// One change at the head, or that it was undone.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadChange {
    /// Its place in the feed, from 1 on.
    pub position: u64,
    /// When it was seen.
    pub at: DateTime<Utc>,
    /// Whose.
    pub agent_id: Uuid,
    /// Column.
    pub what: String,
    /// The value that the fact set.
    pub value: Value,
    /// The fact.
    pub cause: String,
    /// Who owned the agent, lower case.
    pub owner: Option<String>,
    /// Who did before, where the fact moved it.
    pub former_owner: Option<String>,
    /// Whether this says that the change is taken back.
    pub undone: bool,
}

/// What of the feed is wanted; everything unless it says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this agent.
    pub agent: Option<Uuid>,
    /// Of agents that this address, in lower case, owned or had owned until then.
    pub owner: Option<String>,
    /// Of this column.
    pub column: Option<String>,
    /// Only what was undone, or only what was not.
    pub undone: Option<bool>,
}

/// The place of the newest change.
pub async fn end(db: &Db) -> Result<u64> {
    Ok(cursor::get(db, CURSOR).await?.cast_unsigned())
}

/// The place of the oldest change that is kept.
pub async fn first(db: &Db) -> Result<Option<u64>> {
    let first = sqlx::query_scalar!("SELECT min(position) FROM identity.head_changes")
        .fetch_one(db.pool())
        .await?;
    Ok(first.map(i64::cast_unsigned))
}

/// The changes of a span in their order.
pub async fn read(db: &Db, wanted: &Wanted, span: &Span) -> Result<Vec<HeadChange>> {
    let places = places(wanted, span)
        .build_query_scalar::<i64>()
        .fetch_all(db.pool())
        .await?;
    let rows = sqlx::query!(
        r#"SELECT position AS "position!", at, agent_id, what, value, cause, owner, former_owner, undone
             FROM identity.head_changes WHERE position = ANY($1) ORDER BY position"#,
        &places,
    )
    .fetch_all(db.pool())
    .await?;
    let changes = rows.into_iter().map(|row| HeadChange {
        position: row.position.cast_unsigned(),
        at: row.at,
        agent_id: row.agent_id,
        what: row.what,
        value: row.value.unwrap_or_default(),
        cause: row.cause,
        owner: row.owner,
        former_owner: row.former_owner,
        undone: row.undone,
    });
    Ok(changes.collect())
}

/// The positions of what is wanted in a span.
fn places(wanted: &Wanted, span: &Span) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT position FROM (");
    let owners: &[&str] = match wanted.owner {
        Some(_) => &["owner", "former_owner"],
        None => &[""],
    };
    for (nth, owner) in owners.iter().enumerate() {
        if nth > 0 {
            sql.push(" UNION ");
        }
        sql.push("(SELECT position FROM identity.head_changes WHERE position > ");
        sql.push_bind(span.after.cast_signed());
        sql.push(" AND position <= ")
            .push_bind(span.until.cast_signed());
        if let Some(address) = &wanted.owner {
            sql.push(format_args!(" AND {owner} = ")).push_bind(address);
        }
        if let Some(agent) = wanted.agent {
            sql.push(" AND agent_id = ").push_bind(agent);
        }
        if let Some(column) = &wanted.column {
            sql.push(" AND what = ").push_bind(column);
        }
        match wanted.undone {
            Some(true) => sql.push(" AND undone"),
            Some(false) => sql.push(" AND NOT undone"),
            None => &mut sql,
        };
        ordered(&mut sql, span);
        sql.push(")");
    }
    sql.push(") AS p");
    ordered(&mut sql, span);
    sql
}

fn ordered(sql: &mut QueryBuilder<Postgres>, span: &Span) {
    sql.push(" ORDER BY position");
    sql.push(if span.newest {
        " DESC LIMIT "
    } else {
        " LIMIT "
    });
    sql.push_bind(span.limit.lookahead() - 1);
}
