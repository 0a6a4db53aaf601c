//! Watches: whose changes the caller wants to hear of. What is told of them is the head feed with `watch=`.

use axum::{
    Extension,
    extract::{OriginalUri, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use identity::watch::{self, Targets};
use kernel::Principal;
use serde::{Deserialize, Serialize};
use store::Cause;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Code, Json, Path, Problem, Query, Shared,
    grants::WATCHES_READ,
    guard::Proof,
    paging,
    schema::{self, ListOf},
};

/// A watch that nobody named.
const UNNAMED: &str = "mine";

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(remove))
}

/// What of it is the caller's: a watch says whom somebody is interested in.
fn whose(caller: &Principal) -> Result<String, Problem> {
    match caller {
        Principal::Anonymous => {
            let detail = "watches belong to whoever made them: say who you are";
            Err(Problem::new(Code::Unauthorized, detail))
        }
        principal => Ok(principal.to_string()),
    }
}

/// What the caller's watch of this name looks at.
pub async fn targets(
    app: &Shared,
    caller: &Principal,
    proof: &Proof,
    name: &str,
) -> Result<Targets, Problem> {
    let principal = whose(caller)?;
    proof.opens(WATCHES_READ)?;
    Ok(watch::targets(&app.db, &principal, name).await?)
}

/// Which watches.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only the one of this name.
    name: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Most items, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// The caller's watches: one item for each target.
#[utoipa::path(
    get, path = "/v1/watches", tag = "watches", params(Wanted),
    responses(
        (status = OK, body = ListOf<schema::Watch>), (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
    ),
)]
async fn list(
    State(app): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let principal = whose(&caller)?;
    let cursor = paging::cursor(wanted.cursor.as_deref())?;
    let limit = paging::limit(wanted.limit)?;
    let page = watch::list(&app.db, &principal, wanted.name.as_deref(), cursor, limit).await?;
    Ok(paging::listed(&headers, &uri, &page))
}

/// Whom to watch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewWatch {
    /// An owner's address, or an agent by any identifier. A DID or full token name may be of an agent to come.
    #[schema(max_length = 512)]
    target: String,
    /// Of the watch: 1 to 64 letters, digits, `.`, `_` or `-`; `mine` unless told.
    #[schema(max_length = 64)]
    name: Option<String>,
}

/// Adds a target to the caller's watch. What is watched already stays as it is.
#[utoipa::path(
    post, path = "/v1/watches", tag = "watches", request_body = NewWatch,
    responses(
        (status = CREATED, body = schema::Watch), (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem), (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "There are too many targets"),
    ),
)]
async fn add(
    State(app): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    Json(wanted): Json<NewWatch>,
) -> Result<Response, Problem> {
    let principal = whose(&caller)?;
    let name = wanted.name.as_deref().unwrap_or(UNNAMED);
    let target = watch::target(&app.db, &wanted.target).await?;
    let mut tx = app.db.begin(Cause::Request(caller)).await?;
    let watch = watch::add(&mut tx, &principal, name, target, &wanted.target).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, axum::Json(watch)).into_response())
}

/// What of a watch is to go.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Gone {
    /// Only this target, by the text that it was added with or any of its names; all of them unless told.
    target: Option<String>,
}

/// What was removed.
#[derive(Serialize, ToSchema)]
struct Removed {
    /// The watch.
    name: String,
    /// How many targets.
    removed: u64,
}

/// Removes the caller's watch, or a target of it.
#[utoipa::path(
    delete, path = "/v1/watches/{name}", tag = "watches",
    params(("name" = String, Path, description = "The watch's name"), Gone),
    responses(
        (status = OK, body = Removed), (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn remove(
    State(app): State<Shared>,
    Extension(Caller(caller)): Extension<Caller>,
    Path(name): Path<String>,
    Query(gone): Query<Gone>,
) -> Result<axum::Json<Removed>, Problem> {
    let principal = whose(&caller)?;
    let only = match gone.target.as_deref() {
        Some(text) => Some((watch::named(&app.db, text).await?, text)),
        None => None,
    };
    let mut tx = app.db.begin(Cause::Request(caller)).await?;
    let removed = watch::remove(&mut tx, &principal, &name, only).await?;
    tx.commit().await?;
    Ok(axum::Json(Removed { name, removed }))
}
