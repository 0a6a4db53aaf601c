//! `/openapi.json` and the page that shows it, both from this binary alone.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, Method, header},
    response::Response,
    routing::get,
};
use utoipa::{
    Modify, OpenApi as _,
    openapi::{
        Content, OpenApi, Ref, ResponseBuilder,
        security::{
            ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
        },
    },
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    Problem, Shared, conditional,
    grants::{self, Who},
    guard::COOKIE,
};

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
    modifiers(&Token)
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(
            "token",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
        let key = ApiKeyValue::with_description(
            "X-API-Key",
            "`ains_` and 44 characters; a bearer's token as well",
        );
        components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(key)));
        let session = ApiKeyValue::with_description(
            COOKIE,
            "A session (EIP-4361); its token is a bearer's as well",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    }
}

/// An empty router with the document's head.
pub fn described() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(Document::openapi())
}

/// Adds to each operation what the table of grants says of it, so that nobody has to say it twice.
pub fn grant(openapi: &mut OpenApi) {
    for (route, item) in &mut openapi.paths.paths {
        let operations = [
            ("GET", &mut item.get),
            ("PUT", &mut item.put),
            ("POST", &mut item.post),
            ("DELETE", &mut item.delete),
            ("PATCH", &mut item.patch),
        ];
        for (method, operation) in operations {
            let Some(operation) = operation else { continue };
            let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
            let grant = grants::of(&method, Some(route));
            let mut told = Vec::new();
            if grant.who != Who::Everybody {
                told.extend([
                    ("401", "Who asks did not prove who he is"),
                    ("403", "Who asks may not do this"),
                ]);
                let mut ways = vec!["token", "key"];
                if grant.who == Who::Proven {
                    ways.push("session");
                }
                let ways = ways
                    .into_iter()
                    .map(|way| SecurityRequirement::new(way, [""; 0]));
                operation.security = Some(ways.collect());
            }
            if grant.is_counted() {
                told.push(("429", "Too many requests"));
            }
            for (status, description) in told {
                let problem = Content::new(Some(Ref::from_schema_name("Problem")));
                let response = ResponseBuilder::new()
                    .description(description)
                    .content("application/json", problem);
                let responses = &mut operation.responses.responses;
                responses
                    .entry(status.to_owned())
                    .or_insert_with(|| response.build().into());
            }
        }
    }
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
