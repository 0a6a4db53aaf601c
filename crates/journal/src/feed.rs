//! The feed of settled changes: sealed entries by leaf, which is an order that nobody can see change. A QueryBuilder
//! puts the filters together, so that each way goes along its own index.
//!
//! Strangers ask, and for what they like. So one look goes through a bounded number of entries: what is rare is found
//! by what it is, and what is not (or is not known to be) along the leaves, where the look says how far it came.

mod told;

use kernel::{Found, Span};
use sqlx::{Postgres, QueryBuilder};
use store::Db;
use uuid::Uuid;

pub use self::told::Told;
use crate::{entry::EntryKind, error::Result, head, log::sql};

/// Of more agents than this, entries are looked for along the leaves.
pub const MANY: usize = 10_000;

/// Most entries that one look goes through.
pub const MOST: u64 = 16_384;

/// What of the feed is wanted; everything unless it says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only of these agents.
    pub agents: Option<Vec<Uuid>>,
    /// Only of this kind.
    pub kind: Option<EntryKind>,
}

/// How the entries that are wanted are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By their agents.
    Agents,
    /// By their kind.
    Kind,
    /// Along the leaves.
    Leaves,
}

/// The place of the newest sealed entry. An entry's place is its leaf's index + 1: how many are sealed with it.
pub async fn end(db: &Db) -> Result<u64> {
    Ok(head::head(db).await?.map_or(0, |head| head.size))
}

/// The sealed entries of a span in the order of their leaves, as far as one look goes. `span.until` must be sealed.
pub async fn read(db: &Db, wanted: &Wanted, span: &Span) -> Result<Found<Told>> {
    find(db, wanted, *span, MOST).await
}

/// The agents that the entries of a span speak of, of at most [`MOST`] leaves.
pub async fn agents(db: &Db, span: &Span) -> Result<Vec<Uuid>> {
    let span = span.at_most(MOST);
    let agents = sqlx::query_scalar!(
        r#"SELECT DISTINCT e.agent_id AS "agent!" FROM journal.leaves l CROSS JOIN LATERAL
                  (SELECT agent_id FROM journal.entries WHERE seq = l.entry_seq OFFSET 0) e
            WHERE l.leaf_index >= $1 AND l.leaf_index < $2 AND e.agent_id IS NOT NULL"#,
        sql(span.after),
        sql(span.until),
    );
    Ok(agents.fetch_all(db.pool()).await?)
}

async fn find(db: &Db, wanted: &Wanted, mut span: Span, most: u64) -> Result<Found<Told>> {
    let leaves = match wanted {
        Wanted {
            agents: None,
            kind: None,
        } => {
            let part = span.at_most(span.limit.get() as u64);
            (sql(part.after)..sql(part.until)).collect()
        }
        wanted => {
            let way = way(db, wanted, most).await?;
            if way == Way::Leaves {
                span = span.at_most(most);
            }
            places(wanted, &span, way)
                .build_query_scalar()
                .fetch_all(db.pool())
                .await?
        }
    };
    let items = told::by_leaf(db, &leaves).await?;
    let reached = span.reached(items.iter().map(Told::place));
    Ok(Found { items, reached })
}

/// The way to what is wanted that goes through `most` entries at most.
async fn way(db: &Db, wanted: &Wanted, most: u64) -> Result<Way> {
    let most = sql(most);
    if let Some(agents) = wanted.agents.as_ref().filter(|all| all.len() <= MANY) {
        let said = sqlx::query_scalar!(
            r#"SELECT count(*) AS "said!" FROM
                 (SELECT FROM journal.entries WHERE agent_id = ANY($1) LIMIT $2) AS found"#,
            agents,
            most + 1,
        );
        if said.fetch_one(db.pool()).await? <= most {
            return Ok(Way::Agents);
        }
    }
    if let Some(kind) = wanted.kind.filter(|kind| *kind != EntryKind::Agent) {
        let said = sqlx::query_scalar!(
            r#"SELECT count(*) AS "said!" FROM (SELECT FROM journal.entries
                 WHERE kind = $1 AND kind <> 'agent' LIMIT $2) AS found"#,
            kind.as_str(),
            most + 1,
        );
        if said.fetch_one(db.pool()).await? <= most {
            return Ok(Way::Kind);
        }
    }
    Ok(Way::Leaves)
}

/// The leaves of what is wanted in a span. (A subquery with OFFSET is no join that the planner could turn around.)
fn places(wanted: &Wanted, span: &Span, way: Way) -> QueryBuilder<Postgres> {
    let mut text = QueryBuilder::new("SELECT l.leaf_index FROM ");
    if way == Way::Leaves {
        text.push(
            "journal.leaves l CROSS JOIN LATERAL
             (SELECT kind, agent_id FROM journal.entries WHERE seq = l.entry_seq OFFSET 0) e
              WHERE true",
        );
    } else {
        text.push("(SELECT seq, kind, agent_id FROM journal.entries WHERE true");
        if way == Way::Agents {
            of_agents(&mut text, "", wanted);
        } else {
            of_kind(&mut text, "", wanted);
        }
        text.push(
            " OFFSET 0) e CROSS JOIN LATERAL
             (SELECT leaf_index FROM journal.leaves WHERE entry_seq = e.seq OFFSET 0) l
              WHERE true",
        );
    }
    text.push(" AND l.leaf_index >= ")
        .push_bind(sql(span.after));
    text.push(" AND l.leaf_index < ").push_bind(sql(span.until));
    of_agents(&mut text, "e.", wanted);
    of_kind(&mut text, "e.", wanted);
    text.push(" ORDER BY l.leaf_index");
    text.push(if span.newest {
        " DESC LIMIT "
    } else {
        " LIMIT "
    });
    text.push_bind(sql(span.limit.get() as u64));
    text
}

fn of_agents(text: &mut QueryBuilder<Postgres>, of: &str, wanted: &Wanted) {
    if let Some(agents) = &wanted.agents {
        text.push(format_args!(" AND {of}agent_id = ANY("));
        text.push_bind(agents.clone()).push(")");
    }
}

fn of_kind(text: &mut QueryBuilder<Postgres>, of: &str, wanted: &Wanted) {
    let Some(kind) = wanted.kind else { return };
    text.push(format_args!(" AND {of}kind = "))
        .push_bind(kind.as_str());
    if kind != EntryKind::Agent {
        // What the index of rare kinds is asked with.
        text.push(format_args!(" AND {of}kind <> 'agent'"));
    }
}

#[cfg(test)]
mod tests;
