//! The page at `/`: plain HTML, one script, one style sheet, all inside this binary.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, header},
    response::Response,
    routing::get,
};
use kernel::sha256;

use super::{Shared, conditional};

/// Nothing but what this instance serves is loaded, and nothing is sent elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page.
#[derive(Clone, Copy)]
struct Asset {
    kind: &'static str,
    text: &'static str,
}

const INDEX: Asset = Asset {
    kind: "text/html; charset=utf-8",
    text: include_str!("../../web/index.html"),
};
const SCRIPT: Asset = Asset {
    kind: "text/javascript; charset=utf-8",
    text: include_str!("../../web/app.js"),
};
const STYLE: Asset = Asset {
    kind: "text/css; charset=utf-8",
    text: include_str!("../../web/app.css"),
};
const ICON: Asset = Asset {
    kind: "image/svg+xml",
    text: include_str!("../../web/icon.svg"),
};

/// The routes of this file. They are no API, so `/openapi.json` does not have them.
pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(asset).with_state(INDEX))
        .route("/assets/app.js", get(asset).with_state(SCRIPT))
        .route("/assets/app.css", get(asset).with_state(STYLE))
        .route("/assets/icon.svg", get(asset).with_state(ICON))
}

async fn asset(State(asset): State<Asset>, headers: HeaderMap) -> Response {
    let tag = hex::encode(&sha256(asset.text.as_bytes())[..16]);
    let fields: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    conditional(&headers, &tag, (fields, asset.text))
}
