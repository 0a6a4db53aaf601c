//! Registration files of the demo's agents, which they name by http.

use axum::{Json, Router, extract::Path, http::StatusCode, routing::get};
use serde_json::Value;

use super::Shared;
use crate::demo;

/// Not part of the described API: it stands in for the agents' own web servers.
pub fn routes() -> Router<Shared> {
    Router::new().route("/demo/{file}", get(file))
}

async fn file(Path(name): Path<String>) -> Result<Json<Value>, StatusCode> {
    let place = name.strip_suffix(".json").and_then(|n| n.parse().ok());
    place
        .and_then(demo::file)
        .map(Json)
        .ok_or(StatusCode::NOT_FOUND)
}
