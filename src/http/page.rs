//! The page for people: built from `web/` by `npm run build`, committed as `web/dist`, embedded here. It works offline:
//! nothing but what this instance serves is loaded, and nothing is sent elsewhere.

mod about;

use std::{io::Write as _, sync::OnceLock};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use kernel::sha256;

use self::about::About;
use super::{Path, Shared, conditional};

/// Scripts, styles and answers of this instance alone; pictures may stand in `data:` URIs, as wallets give theirs.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const INDEX: &str = include_str!("../../web/dist/index.html");

/// A file of the page.
struct Asset {
    kind: &'static str,
    text: &'static str,
    packed: OnceLock<Vec<u8>>,
}

impl Asset {
    const fn new(kind: &'static str, text: &'static str) -> Self {
        Self {
            kind,
            text,
            packed: OnceLock::new(),
        }
    }

    /// Its gzip form, made when it is first asked for.
    fn packed(&self) -> &[u8] {
        self.packed.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            // A `Vec` takes everything.
            let _ = encoder.write_all(self.text.as_bytes());
            encoder.finish().unwrap_or_default()
        })
    }
}

static SCRIPT: Asset = Asset::new(
    "text/javascript; charset=utf-8",
    include_str!("../../web/dist/app.js"),
);
static STYLE: Asset = Asset::new(
    "text/css; charset=utf-8",
    include_str!("../../web/dist/style.css"),
);
static ICON: Asset = Asset::new("image/svg+xml", include_str!("../../web/dist/icon.svg"));
static LICENCES: Asset = Asset::new(
    "text/plain; charset=utf-8",
    include_str!("../../web/dist/licences.txt"),
);

/// The routes of this file. They are no API, so `/openapi.json` does not have them. Whatever the page shows has an
/// address of its own: all of them answer with the one document, whose script reads the address.
pub fn routes() -> Router<Shared> {
    let asset = |asset: &'static Asset| get(async move |headers: HeaderMap| serve(asset, &headers));
    Router::new()
        .route("/assets/app.js", asset(&SCRIPT))
        .route("/assets/style.css", asset(&STYLE))
        .route("/assets/icon.svg", asset(&ICON))
        .route("/assets/licences.txt", asset(&LICENCES))
        .route("/", get(index))
        .route("/register", get(index))
        .route("/office", get(index))
        .route("/watches", get(index))
        .route("/owners/{address}", get(index))
        .route("/transactions/{chain}/{tx}", get(index))
        .route("/agents/{agent}", get(agent))
        .route("/agents/{agent}/{action}", get(index))
}

fn serve(asset: &'static Asset, headers: &HeaderMap) -> Response {
    let is_packed = takes_gzip(headers);
    let body = if is_packed {
        asset.packed()
    } else {
        asset.text.as_bytes()
    };
    let fields = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept-encoding"),
    ];
    let tag = hex::encode(&sha256(body)[..16]);
    let mut response = conditional(headers, &tag, (fields, body));
    if is_packed && response.status() == StatusCode::OK {
        let gzip = HeaderValue::from_static("gzip");
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, gzip);
    }
    response
}

async fn index(headers: HeaderMap) -> Response {
    known(&headers, &About::office())
}

/// The document of one agent, which says in itself what the agent is: to who has no script, and to who shows a link to
/// it. Where the database does not answer, the script will say so.
async fn agent(
    State(app): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match identity::agent::find(&app.db, &name).await {
        Ok(Some(agent)) => known(&headers, &About::agent(&agent)),
        Ok(None) => (StatusCode::NOT_FOUND, FIELDS, document(&About::nobody())).into_response(),
        Err(_) => known(&headers, &About::office()),
    }
}

const FIELDS: [(HeaderName, &str); 5] = [
    (header::CONTENT_TYPE, HTML),
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

fn known(headers: &HeaderMap, about: &About) -> Response {
    let text = document(about);
    let tag = hex::encode(&sha256(text.as_bytes())[..16]);
    conditional(headers, &tag, (FIELDS, text))
}

fn document(about: &About) -> String {
    INDEX
        .replace("<!--about-->", &about.head())
        .replace("<!--summary-->", &about.summary())
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let is_gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let is_refused =
                parts.any(|part| part.replace(' ', "").trim_end_matches(['0', '.']) == "q=");
            is_gzip && !is_refused
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_gzip_gets_it() {
        let takes = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
            takes_gzip(&headers)
        };
        assert!(takes("gzip, deflate, br") && takes("br;q=1.0, GZIP;q=0.5"));
        assert!(!takes("identity") && !takes("gzip;q=0") && !takes("br, gzip; q=0.0"));
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_packed_is_the_text() {
        use std::io::Read as _;
        let mut text = String::new();
        flate2::read::GzDecoder::new(STYLE.packed())
            .read_to_string(&mut text)
            .expect("gzip");
        assert_eq!(text, STYLE.text);
    }
}
