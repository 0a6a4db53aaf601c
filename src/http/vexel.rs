//! What contracts of VEXEL's said: of an agent, of an address, or of a DID that nobody knows.

use axum::{
    extract::{OriginalUri, State},
    http::HeaderMap,
    response::Response,
};
use identity::vexel::{self, Filter};
use kernel::Address;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Code, Problem, Query, Shared,
    history::id_of,
    paging,
    schema::{self, ListOf},
};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// That name this address, any hex case: as owner, or as the agent itself.
    #[param(value_type = Option<String>)]
    owner: Option<Address>,
    /// About the DIDs of this agent, by any identifier.
    agent: Option<String>,
    /// About this DID, exactly as it was hashed, also where nobody knows it.
    did: Option<String>,
    /// Only those that speak for their agent, or only others.
    attributed: Option<bool>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Most items, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Events of VEXEL's `AgentHeartbeat` and `AgentRegistry`, newest first. Anybody can make these contracts speak about any
/// DID; `attributed` tells whether an event counts as its agent's own.
#[utoipa::path(
    get, path = "/v1/vexel/events", tag = "agents", params(Wanted),
    responses(
        (status = OK, body = ListOf<schema::VexelEvent>), (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem, description = "No such agent"),
    ),
)]
async fn list(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    if wanted
        .did
        .as_ref()
        .is_some_and(|did| did.len() > did::MAX_LENGTH)
    {
        let detail = format!("a DID has at most {} bytes", did::MAX_LENGTH);
        return Err(Problem::new(Code::Invalid, detail));
    }
    let agent = match &wanted.agent {
        Some(name) => Some(id_of(&app, name).await?),
        None => None,
    };
    let filter = Filter {
        account: wanted.owner,
        agent,
        did: wanted.did,
        attributed: wanted.attributed,
    };
    let cursor = paging::cursor(wanted.cursor.as_deref())?;
    let limit = paging::limit(wanted.limit)?;
    let page = vexel::list(&app.db, &filter, cursor, limit).await?;
    Ok(paging::listed(&headers, &uri, &page))
}
