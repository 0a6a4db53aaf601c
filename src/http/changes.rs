//! The feed of the head: what changed just now, and what a reorg took back.

use axum::{extract::State, http::HeaderMap, response::Response};
use kernel::Page;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Code, Problem, Query, Shared, paging,
    schema::{self, ListOf},
};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which changes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// `head`: what is seen, before it is settled. (What is settled is `/v1/entries`.)
    level: Option<String>,
    /// Most items, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// The newest changes at the head, newest first. They are kept some days.
#[utoipa::path(
    get, path = "/v1/changes", tag = "journal", params(Wanted),
    responses((status = OK, body = ListOf<schema::HeadChange>), (status = BAD_REQUEST, body = Problem)),
)]
async fn list(
    State(app): State<Shared>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    if wanted.level.as_deref().is_some_and(|level| level != "head") {
        let detail = "level is `head`; settled changes are the entries of /v1/entries";
        return Err(Problem::new(Code::Invalid, detail));
    }
    let limit = paging::limit(wanted.limit)?;
    let items = identity::head::latest(&app.db, limit.lookahead() - 1).await?;
    Ok(paging::json(
        &headers,
        &Page {
            items,
            next_cursor: None,
        },
    ))
}
