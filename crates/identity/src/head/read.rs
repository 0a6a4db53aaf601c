//! Reading the head feed by position. A QueryBuilder puts the filters together: those by agent, by owner and for what was
//! undone have their own index. Where one has none, or there are several, one look goes through a bounded number of
//! changes and says how far it came.

use chrono::{DateTime, Utc};
use kernel::{Found, Span};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};
use store::{Db, cursor};
use uuid::Uuid;

use super::CURSOR;
use crate::{
    Result,
    watch::{Alert, Targets},
};

/// Most changes that one look goes through.
const MOST: u64 = 16_384;

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
    /// Only alerts about these.
    pub watch: Option<Targets>,
}

impl Wanted {
    /// Whether one index leads to what is wanted and to nothing else.
    fn is_indexed(&self) -> bool {
        let filters = [
            self.agent.is_some(),
            self.owner.is_some(),
            self.column.is_some(),
            self.undone.is_some(),
            self.watch.is_some(),
        ];
        let filters = filters.into_iter().filter(|is_set| *is_set).count();
        let has_none = self.column.is_some() || self.undone == Some(false) || self.watch.is_some();
        filters == 0 || (filters == 1 && !has_none)
    }
}

/// The place of the newest change.
pub async fn end(db: &Db) -> Result<u64> {
    Ok(cursor::get(db, CURSOR).await?.cast_unsigned())
}

/// The place of the oldest change that is kept.
pub async fn first(db: &Db) -> Result<Option<u64>> {
    let first = sqlx::query_scalar!(
        r#"SELECT position - cardinality(columns) + 1 AS "first!" FROM identity.head_steps
            WHERE position IS NOT NULL ORDER BY position LIMIT 1"#
    );
    let first = first.fetch_optional(db.pool()).await?;
    Ok(first.map(i64::cast_unsigned))
}

/// The changes of a span in their order, as far as one look goes.
pub async fn read(db: &Db, wanted: &Wanted, span: &Span) -> Result<Found<HeadChange>> {
    find(db, wanted, *span, MOST).await
}

async fn find(db: &Db, wanted: &Wanted, mut span: Span, most: u64) -> Result<Found<HeadChange>> {
    if !wanted.is_indexed() {
        span = span.at_most(most);
    }
    let steps = steps(wanted, &span)
        .build_query_scalar::<i64>()
        .fetch_all(db.pool())
        .await?;
    let alerts = wanted.watch.as_ref().map(|_| &Alert::COLUMNS as &[&str]);
    let rows = sqlx::query!(
        r#"SELECT p.position AS "position!", s.at, s.agent_id, c.what AS "what!", c.value, s.cause, s.owner,
                  s.former_owner, s.undone
             FROM identity.head_steps s
            CROSS JOIN LATERAL unnest(s.columns, s.values) WITH ORDINALITY AS c(what, value, nth)
            CROSS JOIN LATERAL (SELECT s.position - cardinality(s.columns) + c.nth AS position) p
            WHERE s.position = ANY($1) AND p.position > $2 AND p.position <= $3
              AND ($4::text IS NULL OR c.what = $4) AND ($5::text[] IS NULL OR c.what = ANY($5))
            ORDER BY CASE WHEN $6 THEN -p.position ELSE p.position END LIMIT $7"#,
        &steps,
        span.after.cast_signed(),
        span.until.cast_signed(),
        wanted.column.as_deref(),
        alerts as Option<&[&str]>,
        span.newest,
        span.limit.lookahead() - 1,
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
    let mut items: Vec<HeadChange> = changes.collect();
    if span.newest {
        items.reverse();
    }
    let reached = span.reached(items.iter().map(|change| change.position));
    if wanted.watch.is_some() {
        items.retain(|change| Alert::of(change).is_some());
    }
    Ok(Found { items, reached })
}

/// The steps, by position, that have something of what is wanted in a span. One more than items are wanted: of the first
/// and the last step, that may lie outside.
fn steps(wanted: &Wanted, span: &Span) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT position FROM (");
    let owners: &[&str] = match wanted.owner {
        Some(_) => &["owner", "former_owner"],
        None => &[""],
    };
    for (nth, owner) in owners.iter().enumerate() {
        if nth > 0 {
            sql.push(" UNION ");
        }
        sql.push("(SELECT position FROM identity.head_steps WHERE position > ");
        sql.push_bind(span.after.cast_signed());
        sql.push(" AND position <= coalesce((SELECT min(position) FROM identity.head_steps WHERE position >= ");
        sql.push_bind(span.until.cast_signed())
            .push("), ")
            .push_bind(span.until.cast_signed())
            .push(")");
        if let Some(address) = &wanted.owner {
            sql.push(format_args!(" AND {owner} = ")).push_bind(address);
        }
        if let Some(agent) = wanted.agent {
            sql.push(" AND agent_id = ").push_bind(agent);
        }
        if let Some(column) = &wanted.column {
            sql.push(" AND ").push_bind(column).push(" = ANY(columns)");
        }
        if let Some(Targets { owners, agents }) = &wanted.watch {
            sql.push(" AND columns && ").push_bind(Alert::COLUMNS);
            sql.push(" AND (agent_id = ANY(").push_bind(agents);
            sql.push(") OR owner = ANY(").push_bind(owners);
            sql.push(") OR former_owner = ANY(").push_bind(owners);
            sql.push("))");
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
    sql.push_bind(span.limit.lookahead());
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use kernel::Limit;
    use sqlx::PgPool;
    use store::Clock;

    use super::*;

    /// Positions 1 to 9 of one agent: column `odd` or `even`, undone where three divides.
    #[sqlx::test(migrations = "../../migrations")]
    async fn looks_that_no_index_serves_end_and_say_where(pool: PgPool) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, undone, position)
             SELECT now(), '00000000-0000-4000-8000-000000000001',
                    ARRAY[CASE n % 2 WHEN 0 THEN 'even' ELSE 'odd' END], ARRAY[to_jsonb(n)], n::text, n % 3 = 0, n
               FROM generate_series(1, 9) AS n",
        )
        .execute(&pool)
        .await?;
        let db = Db::from_pool(pool, Clock::manual(DateTime::UNIX_EPOCH));
        let undone = |undone, column: Option<&str>| Wanted {
            undone: Some(undone),
            column: column.map(str::to_owned),
            ..Wanted::default()
        };
        let of_column = |column: &str| Wanted {
            column: Some(column.to_owned()),
            ..Wanted::default()
        };
        for (wanted, newest, expected, reached) in [
            (Wanted::default(), false, vec![1, 2], 2),
            (undone(true, None), false, vec![3, 6], 6),
            (undone(true, Some("odd")), false, vec![3], 4),
            (undone(true, Some("odd")), true, vec![9], 5),
            (undone(false, Some("odd")), false, vec![1], 4),
            (undone(false, None), false, vec![1, 2], 2),
            (of_column("even"), false, vec![2, 4], 4),
        ] {
            let span = Span {
                after: 0,
                until: 9,
                limit: Limit::new(2)?,
                newest,
            };
            let found = find(&db, &wanted, span, 4).await?;
            let places = found.items.iter().map(|change| change.position);
            assert_eq!(places.collect::<Vec<_>>(), expected, "{wanted:?}");
            assert_eq!(found.reached, reached, "{wanted:?}");
        }
        Ok(())
    }

    /// Steps of three, one, two and three changes: `a` to `i` at the places 1 to 9.
    #[sqlx::test(migrations = "../../migrations")]
    async fn a_span_may_begin_and_end_within_a_step(pool: PgPool) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO identity.head_steps (at, agent_id, columns, values, cause, undone)
             SELECT now(), '00000000-0000-4000-8000-000000000001', columns,
                    array_fill('1'::jsonb, ARRAY[cardinality(columns)]), columns::text, false
               FROM (VALUES (1, '{a,b,c}'::text[]), (2, '{d}'), (3, '{e,f}'), (4, '{g,h,i}')) AS v(nth, columns)
              ORDER BY nth",
        )
        .execute(&pool)
        .await?;
        let db = Db::from_pool(pool, Clock::manual(DateTime::UNIX_EPOCH));
        super::super::order(&db).await?;
        assert_eq!((first(&db).await?, end(&db).await?), (Some(1), 9));
        let columns = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        for (after, until, limit, newest, column) in spans(&columns) {
            let wanted = Wanted {
                column: column.map(str::to_owned),
                ..Wanted::default()
            };
            let span = Span {
                after,
                until,
                limit: Limit::new(limit)?,
                newest,
            };
            // A column has no index: a look goes through four places, which may end within a step, too.
            let seen = match column {
                Some(_) => span.at_most(4),
                None => span,
            };
            let found = find(&db, &wanted, span, 4).await?;
            let mut expected: Vec<(u64, &str)> = (1..)
                .zip(columns)
                .filter(|(place, _)| *place > seen.after && *place <= seen.until)
                .filter(|(_, what)| column.is_none_or(|column| column == *what))
                .collect();
            let beyond = expected.len().saturating_sub(span.limit.get());
            if newest {
                expected.drain(..beyond);
            } else {
                expected.truncate(span.limit.get());
            }
            let items = found.items.iter();
            let items = items.map(|change| (change.position, change.what.as_str()));
            assert_eq!(items.collect::<Vec<_>>(), expected, "{span:?} {column:?}");
            let reached = seen.reached(expected.iter().map(|(place, _)| *place));
            assert_eq!(found.reached, reached, "{span:?} {column:?}");
        }
        Ok(())
    }

    type Case<'a> = (u64, u64, u32, bool, Option<&'a str>);

    /// Beginnings and ends before, within and behind each step, for everything and for some columns.
    fn spans<'a>(columns: &'a [&'a str]) -> impl Iterator<Item = Case<'a>> {
        let of = [None, Some(columns[1]), Some(columns[5]), Some(columns[6])];
        of.into_iter().flat_map(|column| {
            (0..10_u64).flat_map(move |after| {
                (after..10).flat_map(move |until| {
                    [
                        (1, false),
                        (1, true),
                        (2, false),
                        (2, true),
                        (9, false),
                        (9, true),
                    ]
                    .map(|(limit, newest)| (after, until, limit, newest, column))
                })
            })
        })
    }
}
