//! `/openapi.json` and the page that shows it, both from this binary alone.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, header},
    response::Response,
    routing::get,
};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{Problem, Shared, conditional};

const DOCUMENT: &str = "/openapi.json";

/// What the document says before any route does.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Chancery",
        description = "The record office for on-chain agents. Reads are open; writes need the token \
                       from `<data-dir>/token`. Errors are RFC 9457 problems."
    ),
    tags((name = "health", description = "Whether this instance lives and serves.")),
    components(schemas(Problem)),
    modifiers(&Token)
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(
            "token",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
    }
}

/// An empty router with the document's head.
pub fn described() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
}

/// The document and its page.
pub fn routes(openapi: &utoipa::openapi::OpenApi) -> Router<Shared> {
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
