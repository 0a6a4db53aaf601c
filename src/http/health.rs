//! Whether we live and whether we serve.

use std::time::Duration;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Code, Problem, Shared};

const PATIENCE: Duration = Duration::from_secs(2);

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(livez))
        .routes(routes!(readyz))
}

/// The process answers.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = OK, body = String)))]
async fn livez() -> &'static str {
    "ok\n"
}

/// What `/readyz` says.
#[derive(Serialize, ToSchema)]
struct Ready {
    /// Always true; what is not ready answers with a problem.
    ready: bool,
    /// Why this process seals nothing now, where it is so. Requests are served meanwhile, and entries wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsealed: Option<String>,
}

/// Requests can be served. It says nothing of how far the chains are read: `/v1/sync` does.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses((status = OK, body = Ready), (status = SERVICE_UNAVAILABLE, body = Problem)),
)]
async fn readyz(State(app): State<Shared>) -> Result<Json<Ready>, Problem> {
    let ping = sqlx::query("SELECT").execute(app.db.pool());
    match tokio::time::timeout(PATIENCE, ping).await {
        Ok(Ok(_)) => Ok(Json(Ready {
            ready: true,
            unsealed: app.unsealed(),
        })),
        Ok(Err(error)) => Err(Problem::new(
            Code::Unavailable,
            store::Error::from(error).to_string(),
        )),
        Err(_) => Err(Problem::new(
            Code::Unavailable,
            format!(
                "the database did not answer within {} s",
                PATIENCE.as_secs()
            ),
        )),
    }
}
