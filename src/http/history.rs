//! What is kept of one agent: status history, capabilities, metadata, logs.

use axum::{
    extract::{OriginalUri, State},
    http::HeaderMap,
    response::Response,
};
use identity::{document, history, identifier};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Code, Path, Problem, Query, Shared,
    paging::{self, Paging},
    schema::{self, ListOf},
};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(dimension))
        .routes(routes!(capabilities))
        .routes(routes!(metadata))
        .routes(routes!(events))
}

/// The id of the agent that a name finds.
pub async fn id_of(app: &Shared, name: &str) -> Result<Uuid, Problem> {
    let found = identifier::find(&app.db, name).await?;
    found.ok_or_else(|| identity::Error::NotFound(name.to_owned()).into())
}

/// The changes of `runtime_status`, newest first; the first status is the last item.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/history", tag = "agents", params(schema::AgentName, Paging),
    responses(
        (status = OK, body = ListOf<schema::StatusChange>),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn status(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let id = id_of(&app, &name).await?;
    let page = history::status(&app.db, id, paging.cursor()?, paging.limit()?).await?;
    Ok(paging::listed(&headers, &uri, &page))
}

/// Which changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfDimension {
    /// `liveness` (unless told), `admin_status` or `load`.
    #[param(value_type = Option<String>)]
    dimension: Option<history::Dimension>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Most items, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// The changes of a status beside the runtime status, newest first.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/status-changes", tag = "agents", params(schema::AgentName, OfDimension),
    responses(
        (status = OK, body = ListOf<schema::DimensionChange>),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn dimension(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(wanted): Query<OfDimension>,
) -> Result<Response, Problem> {
    let id = id_of(&app, &name).await?;
    let cursor = paging::cursor(wanted.cursor.as_deref())?;
    let limit = paging::limit(wanted.limit)?;
    let dimension = wanted.dimension.unwrap_or(history::Dimension::Liveness);
    let page = history::dimension(&app.db, id, dimension, cursor, limit).await?;
    Ok(paging::listed(&headers, &uri, &page))
}

/// The capabilities in force, by name.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/capabilities", tag = "agents", params(schema::AgentName, Paging),
    responses(
        (status = OK, body = ListOf<schema::CapabilityVector>),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn capabilities(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let id = id_of(&app, &name).await?;
    let page = history::capabilities(&app.db, id, paging.cursor()?, paging.limit()?).await?;
    Ok(paging::listed(&headers, &uri, &page))
}

/// The registration file as it was found, how it was verified, and what had to be bent.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/metadata", tag = "agents", params(schema::AgentName),
    responses(
        (status = OK, body = schema::Metadata),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn metadata(
    State(app): State<Shared>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let id = id_of(&app, &name).await?;
    let metadata = document::of_agent(&app.db, id).await?.ok_or_else(|| {
        Problem::new(
            Code::NotFound,
            format!("`{name}` never had a URI of a registration file"),
        )
    })?;
    Ok(paging::json(&headers, &metadata))
}

/// The logs that spoke of the agent, newest first.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/events", tag = "agents", params(schema::AgentName, Paging),
    responses(
        (status = OK, body = ListOf<schema::Event>),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn events(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let id = id_of(&app, &name).await?;
    let page = history::events(&app.db, id, paging.cursor()?, paging.limit()?).await?;
    Ok(paging::listed(&headers, &uri, &page))
}
