//! The two feeds as one: places, cursors, filters, and reading a part.

use std::{collections::HashMap, fmt};

use identity::{agent, head, subject, watch::Targets};
use journal::{EntryKind, feed as settled};
use kernel::{Address, Found, Limit, Span};
use serde::{Deserialize, Serialize};
use store::Db;
use utoipa::ToSchema;
use uuid::Uuid;

use super::item::Item;
use crate::http::{Code, Problem};

/// Which feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Sealed journal entries.
    Settled,
    /// What is seen before it is settled.
    Head,
}

/// The part of a feed that there is.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// The place before the oldest change that is kept.
    pub floor: u64,
    /// The place of the newest change.
    pub end: u64,
}

impl Level {
    /// From where to where the feed goes now.
    pub async fn ends(self, db: &Db) -> Result<Ends, Problem> {
        let end = self.end(db).await?;
        let floor = match self {
            Self::Settled => 0,
            Self::Head => head::first(db).await?.map_or(end, |first| first - 1),
        };
        Ok(Ends { floor, end })
    }

    /// The place of the newest change.
    pub async fn end(self, db: &Db) -> Result<u64, Problem> {
        Ok(match self {
            Self::Settled => settled::end(db).await?,
            Self::Head => head::end(db).await?,
        })
    }
}

impl Ends {
    /// A place from which one can go on.
    pub fn holds(self, place: u64) -> Result<u64, Problem> {
        if (self.floor..=self.end).contains(&place) {
            return Ok(place);
        }
        let why = if place > self.end {
            "this cursor is beyond the end of the feed: the database is another or an older one"
        } else {
            "what follows this cursor is not kept any more"
        };
        let detail = format!("{why}; begin again with after=start");
        Err(Problem::new(Code::Gone, detail))
    }
}

/// A place in a feed, as clients keep it: the same for all filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub level: Level,
    pub place: u64,
}

impl Cursor {
    /// Reads a cursor of this level.
    pub fn parse(text: &str, level: Level) -> Result<Self, Problem> {
        let place = text.strip_prefix(level.letter()).filter(|digits| {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && (*digits == "0" || !digits.starts_with('0'))
        });
        let place = place.and_then(|digits| digits.parse::<i64>().ok());
        place
            .map(|place| Self {
                level,
                place: place.cast_unsigned(),
            })
            .ok_or_else(|| Problem::new(Code::Invalid, "this is no cursor of this feed"))
    }
}

impl Level {
    fn letter(self) -> char {
        match self {
            Self::Settled => 's',
            Self::Head => 'h',
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.level.letter(), self.place)
    }
}

/// What of a feed is wanted.
#[derive(Debug, Clone)]
pub enum Filter {
    /// Of the settled one.
    Settled {
        agent: Option<Uuid>,
        owner: Option<Address>,
        kind: Option<EntryKind>,
    },
    /// Of the head's.
    Head(head::Wanted),
}

impl Filter {
    /// Everything.
    pub fn all(level: Level) -> Self {
        match level {
            Level::Settled => Self::Settled {
                agent: None,
                owner: None,
                kind: None,
            },
            Level::Head => Self::Head(head::Wanted::default()),
        }
    }

    /// What passes all of these.
    pub fn new(
        level: Level,
        kind: Option<&str>,
        column: Option<String>,
        agent: Option<Uuid>,
        owner: Option<Address>,
        watch: Option<Targets>,
    ) -> Result<Self, Problem> {
        let invalid = |detail: &str| Problem::new(Code::Invalid, detail);
        if level == Level::Head {
            let undone = match kind {
                None => None,
                Some("changed") => Some(false),
                Some("undone") => Some(true),
                Some(_) => return Err(invalid("kind is `changed` or `undone` at the head")),
            };
            let owner = owner.map(|owner| format!("{owner:#x}"));
            return Ok(Self::Head(head::Wanted {
                agent,
                owner,
                column,
                undone,
                watch,
            }));
        }
        if column.is_some() {
            return Err(invalid(
                "column is for level=head: an entry says many at once",
            ));
        }
        if watch.is_some() {
            return Err(invalid(
                "watch is for level=head: what is told of it is seen before it is settled",
            ));
        }
        let wrong = || invalid("kind is `agent`, `retracted`, `incident` or `act`");
        let kind = kind.map(|kind| EntryKind::parse(kind).ok_or_else(wrong));
        Ok(Self::Settled {
            agent,
            owner,
            kind: kind.transpose()?,
        })
    }

    /// Of which feed.
    pub fn level(&self) -> Level {
        match self {
            Self::Settled { .. } => Level::Settled,
            Self::Head(_) => Level::Head,
        }
    }
}

/// A part of a feed.
#[derive(Debug)]
pub struct Part {
    /// What is wanted of it, in its order.
    pub items: Vec<Item>,
    /// Where it ends: nothing that is wanted was left out up to there.
    pub next: Cursor,
    /// Whether there may be more behind that already.
    pub more: bool,
    /// Of the newest ones: before which place there may be older ones.
    pub older: Option<Cursor>,
}

/// What follows a place.
pub async fn after(db: &Db, filter: &Filter, place: u64, limit: Limit) -> Result<Part, Problem> {
    let level = filter.level();
    let until = level.end(db).await?;
    let span = Span {
        after: place,
        until,
        limit,
        newest: false,
    };
    let found = read(db, filter, &span).await?;
    if level == Level::Head {
        // What was forgotten while it was read is missing in it.
        level.ends(db).await?.holds(place)?;
    }
    let place = found.reached;
    Ok(Part {
        items: found.items,
        next: Cursor { level, place },
        more: place < until,
        older: None,
    })
}

/// The newest ones up to a place.
pub async fn newest(db: &Db, filter: &Filter, until: u64, limit: Limit) -> Result<Part, Problem> {
    let level = filter.level();
    let floor = level.ends(db).await?.floor;
    let span = Span {
        after: floor.min(until),
        until,
        limit,
        newest: true,
    };
    let Found { items, reached } = read(db, filter, &span).await?;
    let place = until;
    let older = (reached > floor).then_some(Cursor {
        level,
        place: reached + 1,
    });
    Ok(Part {
        items,
        next: Cursor { level, place },
        more: false,
        older,
    })
}

/// What is wanted of a span, as far as one look goes.
pub async fn read(db: &Db, filter: &Filter, span: &Span) -> Result<Found<Item>, Problem> {
    match filter {
        Filter::Settled { agent, owner, kind } => {
            let (agents, span) = match owner {
                Some(owner) => owned(db, *owner, *agent, *span).await?,
                None => (agent.map(|agent| vec![agent]), *span),
            };
            let kind = *kind;
            let found = settled::read(db, &settled::Wanted { agents, kind }, &span).await?;
            let agents = found.items.iter().filter_map(|told| Some(told.agent?.0));
            let called = called(db, agents.collect()).await?;
            let items = found.items.into_iter();
            Ok(Found {
                items: items.map(|told| Item::settled(told, &called)).collect(),
                reached: found.reached,
            })
        }
        Filter::Head(wanted) => {
            let found = head::read(db, wanted, span).await?;
            let agents = found.items.iter().map(|change| change.agent_id).collect();
            let called = called(db, agents).await?;
            let items = found.items.into_iter();
            Ok(Found {
                items: items.map(|change| Item::head(change, &called)).collect(),
                reached: found.reached,
            })
        }
    }
}

/// Of which agents an owner's entries are, and in which part of the span these are all: whoever owns very many
/// agents is asked for those of whom the next entries speak.
async fn owned(
    db: &Db,
    owner: Address,
    only: Option<Uuid>,
    mut span: Span,
) -> Result<(Option<Vec<Uuid>>, Span), Problem> {
    let among = if let Some(agent) = only {
        vec![agent]
    } else if let Some(all) = agent::owned_by(db, owner, settled::MANY).await? {
        return Ok((Some(all), span));
    } else {
        span = span.at_most(settled::MOST);
        settled::agents(db, &span).await?
    };
    Ok((Some(agent::owned_among(db, owner, &among).await?), span))
}

async fn called(db: &Db, mut agents: Vec<Uuid>) -> Result<HashMap<Uuid, subject::Called>, Problem> {
    agents.sort_unstable();
    agents.dedup();
    Ok(subject::called(db, &agents).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_its_feed_and_has_one_form() {
        let cursor = Cursor::parse("s42", Level::Settled).unwrap();
        assert_eq!((cursor.place, cursor.to_string().as_str()), (42, "s42"));
        assert_eq!(Cursor::parse("h0", Level::Head).unwrap().place, 0);
        for wrong in [
            "h42",
            "42",
            "s",
            "s042",
            "s-1",
            "s+1",
            "s4 ",
            "s9223372036854775808",
        ] {
            assert!(Cursor::parse(wrong, Level::Settled).is_err(), "{wrong}");
        }
    }
}
