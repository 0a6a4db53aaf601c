//! Change feeds: what is settled and what is seen at the head, as pages, as a stream of events and as an Atom feed.
//!
//! A place in a feed never changes and nothing comes in before it later, so whoever goes on from a cursor misses
//! nothing and is told nothing twice.

mod atom;
mod feed;
mod item;
mod stream;

use axum::{
    Extension,
    extract::{OriginalUri, State},
    http::{HeaderMap, HeaderValue, Uri, header},
    response::Response,
};
use kernel::{Address, Limit, Principal};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{
    feed::{Cursor, Filter, Level},
    item::Item,
};
use super::{
    Caller, Code, Problem, Query, Shared,
    guard::{Proof, Standing},
    paging, watches,
};

pub use stream::{LAST_EVENT_ID, Streams};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(atom::show))
}

/// Which changes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// `settled` (unless told): sealed journal entries, which stay. `head`: what is seen before it is settled, and
    /// what is undone of it; kept some days.
    #[param(inline)]
    level: Option<Level>,
    /// Changes behind this cursor. Or `start`: all that are kept; `now`: those to come; `newest`: the newest ones
    /// there are, then those to come. A page begins at the start unless told, a stream now.
    after: Option<String>,
    /// The newest changes before this cursor. Not for streams.
    before: Option<String>,
    /// Most items of a page, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Of agents of this owner, any hex case. At the head who owned the agent when it changed, before or after it;
    /// of what is settled who owns it now.
    #[param(value_type = Option<String>)]
    owner: Option<Address>,
    /// Of the agent with this DID.
    did: Option<String>,
    /// Of this agent, by any identifier.
    agent: Option<String>,
    /// Of what is settled `agent`, `retracted`, `incident` or `act`; at the head `changed` or `undone`.
    kind: Option<String>,
    /// At the head: of this column, such as `runtime_status`.
    column: Option<String>,
    /// At the head: alerts of the caller's watch with this name. A stream follows the watch: a target that is added or
    /// removed counts within seconds.
    watch: Option<String>,
}

/// A page of a feed.
#[derive(Debug, Serialize, ToSchema)]
struct Changes {
    /// Oldest first.
    items: Vec<Item>,
    /// Behind all that is told here: pass it as `after` to get what comes next.
    next_cursor: String,
    /// Whether there may be more already. One look is bounded: a page may have few items, or none, and more follow.
    more: bool,
    /// Of the newest changes, where there may be older ones: pass it as `before` to get these.
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_cursor: Option<String>,
}

/// Where a page or a stream begins.
enum From {
    /// Behind this place.
    After(u64),
    /// At the newest ones up to this place.
    Newest(u64),
}

impl Wanted {
    fn level(&self) -> Level {
        self.level.unwrap_or(Level::Settled)
    }

    fn limit(&self) -> Result<Limit, Problem> {
        paging::limit(self.limit)
    }

    /// What is wanted of the feed, with names looked up.
    async fn filter(
        &self,
        app: &Shared,
        caller: &Principal,
        proof: &Proof,
    ) -> Result<Filter, Problem> {
        let mut agent = None;
        for name in [&self.did, &self.agent].into_iter().flatten() {
            let found = identity::subject::find(&app.db, name).await?;
            let id = found.ok_or_else(|| identity::Error::NotFound(name.clone()))?;
            if agent.replace(id).is_some_and(|other| other != id) {
                let detail = "did and agent name two different agents";
                return Err(Problem::new(Code::Invalid, detail));
            }
        }
        let watch = match &self.watch {
            Some(name) => Some(watches::targets(app, caller, proof, name).await?),
            None => None,
        };
        let (kind, column) = (self.kind.as_deref(), self.column.clone());
        Filter::new(self.level(), kind, column, agent, self.owner, watch)
    }

    /// Where to begin: `after` or `before`, else `otherwise`.
    async fn from(&self, app: &Shared, otherwise: &str) -> Result<From, Problem> {
        let level = self.level();
        let cursor = |text: &str| Cursor::parse(text, level).map(|cursor| cursor.place);
        let ends = level.ends(&app.db).await?;
        Ok(match (self.after.as_deref(), self.before.as_deref()) {
            (Some(_), Some(_)) => {
                let detail = "after and before are for two directions: give one of them";
                return Err(Problem::new(Code::Invalid, detail));
            }
            (None, Some(before)) => From::Newest(ends.holds(cursor(before)?)?.saturating_sub(1)),
            (after, None) => match after.unwrap_or(otherwise) {
                "start" => From::After(ends.floor),
                "now" => From::After(ends.end),
                "newest" => From::Newest(ends.end),
                text => From::After(ends.holds(cursor(text)?)?),
            },
        })
    }
}

/// Changes in their order, oldest first.
///
/// `next_cursor` is always there: who asks again with it as `after` gets what came since, or where `more` is true what
/// there is already. With
/// `Accept: text/event-stream` the answer does not end: each change is an event as it comes, `id` its cursor, `event`
/// its kind, `data` the item; a reconnecting client sends its last id as `Last-Event-ID`, which wins over `after`. It
/// ends within half a minute of the API key, session or agent's key that opened it: the last event is `closed`, its
/// `data` the problem.
#[utoipa::path(
    get, path = "/v1/changes", tag = "journal", params(Wanted),
    responses(
        (status = OK, content((Changes = "application/json"), (String = "text/event-stream"))),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem, description = "A watch is its principal's"),
        (status = FORBIDDEN, body = Problem, description = "An API key without `watches:read` asks for a watch"),
        (status = NOT_FOUND, body = Problem, description = "No such agent, or no such watch"),
        (status = GONE, body = Problem, description = "What follows the cursor is not kept any more"),
        (status = SERVICE_UNAVAILABLE, body = Problem, description = "Too many streams are open"),
    ),
)]
async fn list(
    State(app): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    Extension(proof): Extension<Proof>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let filter = wanted.filter(&app, &caller, &proof).await?;
    let mut response = if wants_events(&headers) {
        let standing = Standing::of(&app, proof);
        stream::open(app, &headers, wanted, filter, &caller, standing).await?
    } else {
        page(&app, &uri, &headers, &wanted, &filter).await?
    };
    let vary = HeaderValue::from_static("accept");
    response.headers_mut().append(header::VARY, vary);
    Ok(response)
}

async fn page(
    app: &Shared,
    uri: &Uri,
    headers: &HeaderMap,
    wanted: &Wanted,
    filter: &Filter,
) -> Result<Response, Problem> {
    let limit = wanted.limit()?;
    let read = match wanted.from(app, "start").await? {
        From::After(place) => feed::after(&app.db, filter, place, limit).await?,
        From::Newest(until) => feed::newest(&app.db, filter, until, limit).await?,
    };
    let next = read.next.to_string();
    let page = Changes {
        items: read.items,
        next_cursor: next.clone(),
        more: read.more,
        prev_cursor: read.older.map(|older| older.to_string()),
    };
    let mut response = paging::json(headers, &page);
    let turn = [("after", Some(next.as_str())), ("before", None)];
    paging::link(&mut response, uri, &turn);
    Ok(response)
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/event-stream"))
}
