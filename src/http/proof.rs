//! An agent's bundle: all that shows its record.

use axum::{
    Extension,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use kernel::Principal;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Caller, Code, Path, Problem, Shared, schema};
use crate::bundle;

/// Bundles that are put together at once. Each asks a node some questions, for which somebody may pay, and anybody
/// may ask for bundles.
pub const AT_ONCE: usize = 8;

/// Further ones for who has the token: strangers never take all places.
pub const OPERATORS: usize = 2;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(proof))
}

/// A bundle that shows the agent's record offline, from block header to signed checkpoint
/// (`docs/proofs.md`); `chancery verify` reads it. Canonical DAG-CBOR.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/proof", tag = "agents", params(schema::AgentName),
    responses(
        (status = OK, body = Vec<u8>, content_type = "application/vnd.ipld.dag-cbor"),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "Nothing can be proven of the agent yet"),
        (status = SERVICE_UNAVAILABLE, body = Problem, description = "The record changed meanwhile, or others are being put together"),
    ),
)]
async fn proof(
    State(app): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let mut places = vec![&app.proofs];
    if principal == Principal::Operator {
        places.insert(0, &app.operators_proofs);
    }
    let place = places
        .into_iter()
        .find_map(|places| places.try_acquire().ok());
    let _place = place.ok_or_else(|| {
        let detail = format!("{AT_ONCE} bundles are being put together: ask again in some seconds");
        Problem::new(Code::Unavailable, detail)
    })?;
    let (agent, bytes) = bundle::make(&app, &name).await?;
    let headers = [
        (
            header::CONTENT_TYPE,
            "application/vnd.ipld.dag-cbor".to_owned(),
        ),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{agent}.bundle\""),
        ),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    Ok((headers, bytes).into_response())
}
