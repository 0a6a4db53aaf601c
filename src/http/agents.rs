//! Agents: the list, one of them, and its status.

use std::collections::BTreeMap;

use axum::{
    Extension,
    extract::{OriginalUri, State},
    http::HeaderMap,
    response::Response,
};
use chrono::{DateTime, Utc};
use identity::{
    act,
    agent::{self, Agent, Filter, Named},
    fact::{ADMIN_STATUSES, LIVENESSES, LOADS, RuntimeStatus, SUSPENDED},
    identifier,
};
use kernel::{Address, AgentId, Limit, Principal};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Cause;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Caller, Code, Json, Path, Problem, Query, Shared, paging,
    schema::{self, ListOf},
};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(of_owner))
        .routes(routes!(show))
        .routes(routes!(set_status))
        .routes(routes!(set_admin_status))
        .routes(routes!(set_load))
}

/// Which agents.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Owner's address, any hex case.
    #[param(value_type = Option<String>)]
    owner: Option<Address>,
    /// EIP-155 chain id.
    chain: Option<u64>,
    /// ACTIVE, SLEEP or TERMINATED.
    status: Option<String>,
    /// ACTIVE, INACTIVE or SUSPENDED, in the operator's word; `any` for all of them. Unless this, `owner` or
    /// `identifier` is given, those who are suspended are left out.
    admin_status: Option<String>,
    /// `unknown`, `active` or `inactive`: whether they beat.
    liveness: Option<String>,
    /// AVAILABLE or BUSY: whether they take work.
    load: Option<String>,
    /// A part of the name or description, any case.
    q: Option<String>,
    /// Name of a capability, such as `service:A2A`.
    capability: Option<String>,
    /// A name of the agent's, also one that its file claims, such as an ENS name, or that it had before.
    identifier: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Most items, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Agents, newest first. Whom the operator suspended is left out, unless `admin_status`, `owner` or `identifier` is given.
#[utoipa::path(
    get, path = "/v1/agents", tag = "agents", params(Wanted),
    responses((status = OK, body = ListOf<schema::Agent>), (status = BAD_REQUEST, body = Problem)),
)]
async fn list(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let cursor = paging::cursor(wanted.cursor.as_deref())?;
    let limit = paging::limit(wanted.limit)?;
    let status = wanted.status.as_deref().map(status_of).transpose()?;
    if wanted
        .chain
        .is_some_and(|chain| i64::try_from(chain).is_err())
    {
        return Err(Problem::new(Code::Invalid, "no chain has so large an id"));
    }
    let is_any = |word: &&str| word.eq_ignore_ascii_case("any");
    let standing = wanted.admin_status.as_deref();
    let admin_status = standing.filter(|word| !is_any(word));
    let filter = Filter {
        owner: wanted.owner,
        chain: wanted.chain,
        status,
        admin_status: one_of("admin_status", admin_status, &ADMIN_STATUSES)?,
        liveness: one_of("liveness", wanted.liveness.as_deref(), &LIVENESSES)?,
        load: one_of("load", wanted.load.as_deref(), &LOADS)?,
        without_suspended: wanted.owner.is_none()
            && wanted.identifier.is_none()
            && standing.is_none(),
        query: wanted.q.clone().filter(|text| !text.is_empty()),
        capability: wanted.capability.clone(),
        identifier: wanted.identifier.clone(),
        ended_before: Some(ended_before(&app)),
    };
    let page = agent::list(&app.db, &filter, cursor, limit).await?;
    Ok(paging::listed(&headers, &uri, &page))
}

/// A word of a status, in the case of the rows.
fn one_of(
    name: &str,
    given: Option<&str>,
    words: &'static [&'static str],
) -> Result<Option<&'static str>, Problem> {
    let Some(given) = given else {
        return Ok(None);
    };
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(given));
    found.copied().map(Some).ok_or_else(|| {
        let detail = format!("{name}: expected one of {}", words.join(", "));
        Problem::new(Code::Invalid, detail)
    })
}

/// Lists leave out who was deregistered before this time.
fn ended_before(app: &Shared) -> DateTime<Utc> {
    app.db.clock().now() - app.config.identity.tombstone()
}

/// The agents of one owner, newest first.
#[utoipa::path(
    get, path = "/v1/owners/{address}/agents", tag = "agents",
    params(("address" = String, Path, description = "Ethereum address, any hex case"), paging::Paging),
    responses((status = OK, body = ListOf<schema::Agent>), (status = BAD_REQUEST, body = Problem)),
)]
async fn of_owner(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Path(owner): Path<Address>,
    Query(paging): Query<paging::Paging>,
) -> Result<Response, Problem> {
    let filter = Filter {
        owner: Some(owner),
        ended_before: Some(ended_before(&app)),
        ..Filter::default()
    };
    let page = agent::list(&app.db, &filter, paging.cursor()?, paging.limit()?).await?;
    Ok(paging::listed(&headers, &uri, &page))
}

/// One agent, by any of its identifiers.
#[utoipa::path(
    get, path = "/v1/agents/{agent}", tag = "agents",
    params(schema::AgentName),
    responses(
        (status = OK, body = schema::NamedAgent, headers(("etag" = String, description = "The record's revision"))),
        (status = NOT_MODIFIED, description = "The client has this revision already"),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem),
    ),
)]
async fn show(
    State(app): State<Shared>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let Some(named) = app.lookups.get(&name).await? else {
        // Apart, so that whoever is found is answered by a small future.
        return Err(Box::pin(identifier::nobody(&app.db, &name)).await.into());
    };
    Ok(paging::json(&headers, &*named))
}

/// What the status is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewStatus {
    /// ACTIVE, SLEEP or TERMINATED.
    status: String,
    /// Why; it stands in the history and the journal.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// The agent as it is then, and the entry that says so.
#[derive(Serialize)]
struct Changed {
    #[serde(flatten)]
    named: Named,
    entry: Option<EntryState>,
}

/// A journal entry and how far it is published.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EntryState {
    /// Its CID.
    pub cid: String,
    /// `queued`, `sealed`, `stored`, `pinned` or `anchored`.
    pub state: &'static str,
}

const LONGEST_REASON: usize = 1000;

/// Sets an agent's runtime status, as an act of the operator. The status that it has already
/// changes nothing.
#[utoipa::path(
    put, path = "/v1/agents/{agent}/status", tag = "agents",
    params(schema::AgentName), request_body = NewStatus,
    responses(
        (status = OK, body = schema::ChangedAgent),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "The status is final, or somebody holds the row"),
    ),
)]
async fn set_status(
    State(app): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Json(wanted): Json<NewStatus>,
) -> Result<Response, Problem> {
    let status = status_of(&wanted.status)?;
    let reason = reason_of(wanted.reason.as_deref())?;
    let before = agent::get(&app.db, &name).await?;
    let id = before.id;
    let mut entry = None;
    if before.runtime_status != status {
        let mut tx = app.db.begin(Cause::Request(principal)).await?;
        act::set_status(&mut tx, AgentId(id), status, reason).await?;
        tx.commit().await?;
        entry = newest_entry(&app, id).await?;
    }
    changed(&app, &headers, id, entry).await
}

/// What the administrative status is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewAdminStatus {
    /// ACTIVE, INACTIVE or SUSPENDED.
    admin_status: String,
    /// Why; it stands in the history and the journal. To suspend takes one.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// Sets what the operator thinks of an agent: ACTIVE, INACTIVE, or SUSPENDED with a reason.
#[utoipa::path(
    put, path = "/v1/agents/{agent}/admin_status", tag = "agents",
    params(schema::AgentName), request_body = NewAdminStatus,
    responses(
        (status = OK, body = schema::ChangedAgent),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "Somebody holds the row"),
    ),
)]
async fn set_admin_status(
    State(app): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Json(wanted): Json<NewAdminStatus>,
) -> Result<Response, Problem> {
    let reason = reason_of(wanted.reason.as_deref())?;
    if wanted.admin_status == SUSPENDED && reason.is_none() {
        let detail = "reason: whoever is suspended is told why";
        return Err(Problem::new(Code::Invalid, detail));
    }
    let is = |agent: &Agent| agent.admin_status.clone();
    let to = ("admin_status", wanted.admin_status.as_str(), reason);
    set(&app, &headers, principal, &name, is, to).await
}

/// What the load is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewLoad {
    /// AVAILABLE or BUSY.
    load: String,
    /// Why.
    #[schema(max_length = 1000)]
    reason: Option<String>,
}

/// Sets whether an agent takes work: AVAILABLE or BUSY. Its key and its owner say it by a statement.
#[utoipa::path(
    put, path = "/v1/agents/{agent}/load", tag = "agents",
    params(schema::AgentName), request_body = NewLoad,
    responses(
        (status = OK, body = schema::ChangedAgent),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "Somebody holds the row"),
    ),
)]
async fn set_load(
    State(app): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Json(wanted): Json<NewLoad>,
) -> Result<Response, Problem> {
    let reason = reason_of(wanted.reason.as_deref())?;
    let is = |agent: &Agent| agent.load.clone();
    let to = ("load", wanted.load.as_str(), reason);
    set(&app, &headers, principal, &name, is, to).await
}

/// Sets a column of an agent as an act of the operator, where it is not so already.
async fn set(
    app: &Shared,
    headers: &HeaderMap,
    principal: Principal,
    name: &str,
    is: impl Fn(&Agent) -> String,
    (column, value, reason): (&str, &str, Option<&str>),
) -> Result<Response, Problem> {
    let before = agent::get(&app.db, name).await?;
    let (id, mut entry) = (before.id, None);
    if is(&before) != value {
        let changes = BTreeMap::from([(column.to_owned(), json!(value))]);
        let mut tx = app.db.begin(Cause::Request(principal)).await?;
        act::update(&mut tx, AgentId(id), &changes, reason).await?;
        tx.commit().await?;
        entry = newest_entry(app, id).await?;
    }
    changed(app, headers, id, entry).await
}

async fn changed(
    app: &Shared,
    headers: &HeaderMap,
    id: Uuid,
    entry: Option<EntryState>,
) -> Result<Response, Problem> {
    let agent = agent::get(&app.db, &id.to_string()).await?;
    let identifiers = identifier::list(&app.db, id).await?;
    let named = Named { agent, identifiers };
    Ok(paging::json(headers, &Changed { named, entry }))
}

fn reason_of(text: Option<&str>) -> Result<Option<&str>, Problem> {
    let reason = text.filter(|text| !text.is_empty());
    if reason.is_some_and(|text| text.chars().count() > LONGEST_REASON) {
        let detail = format!("a reason has at most {LONGEST_REASON} characters");
        return Err(Problem::new(Code::Invalid, detail));
    }
    Ok(reason)
}

/// The entry that an act led to: the newest one, if an act is among its causes.
async fn newest_entry(app: &Shared, agent: Uuid) -> Result<Option<EntryState>, Problem> {
    let one = Limit::new(1).unwrap_or_default();
    let page = journal::read::by_agent(&app.db, AgentId(agent), None, one).await?;
    Ok(page
        .items
        .into_iter()
        .find(|record| {
            record
                .entry
                .changes
                .iter()
                .any(|change| change.cause.starts_with("act:"))
        })
        .map(|record| EntryState {
            cid: record.cid,
            state: record.state.as_str(),
        }))
}

fn status_of(word: &str) -> Result<RuntimeStatus, Problem> {
    RuntimeStatus::parse(word).ok_or_else(|| {
        let detail = "a status is ACTIVE, SLEEP or TERMINATED";
        Problem::new(Code::Invalid, detail)
    })
}
