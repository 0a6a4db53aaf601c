//! The feed of settled changes: sealed entries by leaf, which is an order that nobody can see change. A QueryBuilder
//! puts the filters together, so that each way goes along its own index.

use kernel::Span;
use sqlx::{Postgres, QueryBuilder};
use store::Db;
use uuid::Uuid;

use crate::{
    entry::EntryKind,
    error::Result,
    head,
    log::sql,
    read::{Record, by_leaf},
};

/// Of more agents than this, entries are looked through one after the other.
const MANY: usize = 10_000;

/// What of the feed is wanted; everything unless it says otherwise.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only of these agents.
    pub agents: Option<Vec<Uuid>>,
    /// Only of this kind.
    pub kind: Option<EntryKind>,
}

/// The place of the newest sealed entry. An entry's place is its leaf's index + 1: how many are sealed with it.
pub async fn end(db: &Db) -> Result<u64> {
    Ok(head::head(db).await?.map_or(0, |head| head.size))
}

/// The sealed entries of a span in the order of their leaves. `span.until` must be sealed.
pub async fn read(db: &Db, wanted: &Wanted, span: &Span) -> Result<Vec<Record>> {
    let leaves = match wanted {
        Wanted {
            agents: None,
            kind: None,
        } => all(span),
        wanted => {
            places(wanted, span)
                .build_query_scalar()
                .fetch_all(db.pool())
                .await?
        }
    };
    by_leaf(db, &leaves).await
}

/// The leaves of a span of which everything is wanted: none is left out.
fn all(span: &Span) -> Vec<i64> {
    let limit = span.limit.get() as u64;
    let from = if span.newest {
        span.after.max(span.until.saturating_sub(limit))
    } else {
        span.after
    };
    let until = span.until.min(from.saturating_add(limit));
    (sql(from)..sql(until)).collect()
}

/// The leaves of what is wanted in a span. What is rare is found by what it is, and then sorted by leaf; along the
/// leaves one could look for it for long. (A subquery with OFFSET is no join that the planner could turn around.)
fn places(wanted: &Wanted, span: &Span) -> QueryBuilder<Postgres> {
    let few = wanted
        .agents
        .as_ref()
        .is_some_and(|agents| agents.len() <= MANY);
    let rare = wanted.kind.is_some_and(|kind| kind != EntryKind::Agent);
    let mut text = QueryBuilder::new("SELECT l.leaf_index FROM ");
    text.push(if few || rare {
        "journal.entries e CROSS JOIN LATERAL
             (SELECT leaf_index FROM journal.leaves WHERE entry_seq = e.seq OFFSET 0) l"
    } else {
        "journal.leaves l CROSS JOIN LATERAL
             (SELECT kind, agent_id FROM journal.entries WHERE seq = l.entry_seq OFFSET 0) e"
    });
    text.push(" WHERE l.leaf_index >= ")
        .push_bind(sql(span.after));
    text.push(" AND l.leaf_index < ").push_bind(sql(span.until));
    if let Some(agents) = &wanted.agents {
        text.push(" AND e.agent_id = ANY(")
            .push_bind(agents)
            .push(")");
    }
    if let Some(kind) = wanted.kind {
        text.push(" AND e.kind = ").push_bind(kind.as_str());
    }
    if rare {
        // What the index of rare kinds is asked with.
        text.push(" AND e.kind <> 'agent'");
    }
    text.push(" ORDER BY l.leaf_index");
    text.push(if span.newest {
        " DESC LIMIT "
    } else {
        " LIMIT "
    });
    text.push_bind(sql(span.limit.get() as u64));
    text
}

#[cfg(test)]
mod tests;
