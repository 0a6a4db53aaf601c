//! `/openapi.json` and the page that shows it, both from this binary alone.

mod complete;
mod schemes;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, header},
    response::Response,
    routing::get,
};
use utoipa::{OpenApi as _, openapi::OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

pub use self::complete::complete;
use self::schemes::Schemes;
use super::{Problem, Shared, conditional};

const DOCUMENT: &str = "/openapi.json";

/// What the document says before any route does.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Chancery",
        description = "The record office for on-chain agents. Reads are open; writes need a proof of who asks: \
                       the operator's token from `<data-dir>/token`, an API key, a session of an Ethereum account \
                       (EIP-4361), or a signature of the request by an agent's key (RFC 9421) or a wallet (EIP-712). Errors are RFC 9457 problems."
    ),
    tags((name = "health", description = "Whether this instance lives and serves.")),
    components(schemas(Problem)),
    modifiers(&Schemes)
)]
struct Document;

/// An empty router with the document's head.
pub fn described() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
}

/// The document and its page.
pub fn routes(openapi: &OpenApi) -> Router<Shared> {
    let text: std::sync::Arc<str> = openapi.to_pretty_json().unwrap_or_default().into();
    let tag = hex::encode(&kernel::sha256(text.as_bytes())[..16]);
    Router::new()
        .route(DOCUMENT, get(document).with_state((text, tag)))
        .merge(SwaggerUi::new("/docs").config(Config::from(DOCUMENT)))
}

async fn document(
    State((text, tag)): State<(std::sync::Arc<str>, String)>,
    headers: HeaderMap,
) -> Response {
    conditional(
        &headers,
        &tag,
        (
            [(header::CONTENT_TYPE, "application/json")],
            text.to_string(),
        ),
    )
}
