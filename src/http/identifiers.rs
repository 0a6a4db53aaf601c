//! DID resolution over HTTP (W3C DID Resolution v1, "HTTP(S) Binding").
//!
//! `/1.0/identifiers/{did}` answers with the whole result, or with the bare document where `Accept`
//! asks for one. A DID URL in its place, plain or percent-encoded, is dereferenced.

mod accept;
mod answer;

use axum::{
    extract::{OriginalUri, State},
    http::{HeaderMap, header},
    response::Response,
};
use did::{Code, DidUrl, Error, Resolution, dereference, methods::web, service_urls};
use percent_encoding::percent_decode_str;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Code as ProblemCode, Path, Problem, Shared, paging};
use crate::resolver::{self, METHODS, Question};
use accept::Form;

const ENDPOINT: &str = "/1.0/identifiers/";

/// Parts of a query that belong to the DID URL; all others are options of the resolution.
const OF_THE_URL: [&str; 4] = [
    "service",
    "serviceType",
    "relativeRef",
    "verificationRelationship",
];

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(identifier))
        .routes(routes!(methods))
        .routes(routes!(own_document))
}

/// Resolves a DID: did:key, did:pkh, did:nft and did:vexel of indexed agents, did:web of our own.
///
/// Errors are those of DID Resolution, inside the result (`didResolutionMetadata.error`): 400
/// INVALID_DID, 404 NOT_FOUND, 406 REPRESENTATION_NOT_SUPPORTED, 410 for a burned token, 501
/// METHOD_NOT_SUPPORTED.
#[utoipa::path(
    get, path = "/1.0/identifiers/{*did}", tag = "identifiers",
    params(("did" = String, Path, description = "A DID or DID URL, plain or percent-encoded")),
    responses(
        (status = OK, content(
            (Resolved = "application/did-resolution"),
            (serde_json::Value = "application/did"),
            (Dereferenced = "application/did-url-dereferencing"),
        )),
        (status = SEE_OTHER, description = "`Accept: text/uri-list`: the URL of the service"),
        (status = BAD_REQUEST, content(
            (Resolved = "application/did-resolution"), (Dereferenced = "application/did-url-dereferencing"),
        )),
        (status = NOT_FOUND, content(
            (Resolved = "application/did-resolution"), (Dereferenced = "application/did-url-dereferencing"),
        )),
        (status = NOT_ACCEPTABLE, body = Resolved, content_type = "application/did-resolution"),
        (status = GONE, content(
            (Resolved = "application/did-resolution"), (Dereferenced = "application/did-url-dereferencing"),
            (serde_json::Value = "application/did"),
        )),
        (status = NOT_IMPLEMENTED, content(
            (Resolved = "application/did-resolution"), (Dereferenced = "application/did-url-dereferencing"),
        )),
    ),
)]
async fn identifier(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(form) = Form::of(&headers) else {
        let detail = "offered are application/did-resolution, application/did, \
                      application/did-url-dereferencing and text/uri-list";
        let error = Error::new(Code::RepresentationNotSupported, detail);
        return Ok(answer::resolution(&Resolution::failed(error), Form::Result));
    };
    let text = wanted(uri.path(), uri.query());
    let url = match text.and_then(|text| DidUrl::parse(&text)) {
        Ok(url) => url,
        Err(error) => return Ok(answer::resolution(&Resolution::failed(error), form)),
    };
    let options: Vec<_> = url
        .parameters()
        .iter()
        .filter(|(name, _)| !OF_THE_URL.contains(&name.as_str()))
        .cloned()
        .collect();
    let question = Question {
        options: &options,
        authority: authority(&headers),
    };
    let resolution = resolver::resolve(&app.db, url.did(), question).await?;
    Ok(find_in(&url, &resolution, form))
}

/// The document, or the part of it that the DID URL points at.
fn find_in(url: &DidUrl, resolution: &Resolution, form: Form) -> Response {
    let points_inside = url.fragment().is_some()
        || !url.path().is_empty()
        || OF_THE_URL.iter().any(|name| url.parameter(name).is_some());
    let Some(document) = &resolution.document else {
        return match form {
            Form::Dereferencing => answer::nothing(resolution),
            _ => answer::resolution(resolution, form),
        };
    };
    match form {
        Form::UriList => match service_urls(url, document) {
            Ok(urls) => answer::redirect(&urls),
            Err(error) => answer::nothing(&Resolution::failed(error)),
        },
        Form::Dereferencing => match dereference(url, document) {
            Ok(content) => answer::content(&content.to_json(), resolution),
            Err(error) => answer::nothing(&Resolution::failed(error)),
        },
        // What a document type was asked for, or nothing particular, is the part itself.
        _ if points_inside => match dereference(url, document) {
            Ok(content) if form == Form::Document => answer::document(&content.to_json()),
            Ok(content) => answer::content(&content.to_json(), resolution),
            Err(error) => answer::nothing(&Resolution::failed(error)),
        },
        _ => answer::resolution(resolution, form),
    }
}

/// What stands behind the endpoint. A DID that came percent-encoded as a whole is decoded once; one
/// that came plain keeps its own `%` (`did:web:host%3A8004`), but for those that end a DID.
fn wanted(path: &str, query: Option<&str>) -> Result<String, Error> {
    let raw = path.strip_prefix(ENDPOINT).unwrap_or_default();
    let no_text = |_| Error::new(Code::InvalidDid, "the DID hides bytes that are no text");
    let mut text = if raw.starts_with("did:") {
        [
            ("%23", "#"),
            ("%2F", "/"),
            ("%2f", "/"),
            ("%3F", "?"),
            ("%3f", "?"),
        ]
        .iter()
        .fold(raw.to_owned(), |text, (code, sign)| {
            text.replace(code, sign)
        })
    } else {
        percent_decode_str(raw)
            .decode_utf8()
            .map_err(no_text)?
            .into_owned()
    };
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        // An encoded DID URL may have a query and a fragment of its own.
        let fragment = text
            .find('#')
            .map(|at| text.split_off(at))
            .unwrap_or_default();
        let sign = if text.contains('?') { '&' } else { '?' };
        text = format!("{text}{sign}{query}{fragment}");
    }
    Ok(text)
}

fn authority(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// The DID methods that are answered for.
#[utoipa::path(
    get, path = "/1.0/methods", tag = "identifiers", responses((status = OK, body = Vec<String>)),
)]
async fn methods(headers: HeaderMap) -> Response {
    paging::json(&headers, &METHODS)
}

/// The document of one of our agents where did:web looks for it.
#[utoipa::path(
    get, path = "/agents/{agent}/did.json", tag = "identifiers", params(super::schema::AgentName),
    responses(
        (status = OK, body = serde_json::Value, content_type = "application/did"),
        (status = NOT_FOUND, body = Problem),
        (status = GONE, body = Resolved, content_type = "application/did-resolution"),
    ),
)]
async fn own_document(
    State(app): State<Shared>,
    headers: HeaderMap,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let authority = authority(&headers);
    let did = web::of_agent(authority.unwrap_or_default(), &name).map_err(|error| {
        let detail = format!("this instance has no did:web under this address: {error}");
        Problem::new(ProblemCode::NotFound, detail)
    })?;
    let question = Question {
        options: &[],
        authority,
    };
    let resolution = resolver::resolve(&app.db, &did, question).await?;
    if resolution.error().is_some() {
        return Err(identity::Error::NotFound(name).into());
    }
    Ok(answer::resolution(&resolution, Form::Document))
}

/// A resolution result, for the description.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code, reason = "only the schema is used")]
struct Resolved {
    /// `https://w3id.org/did-resolution/v1`.
    #[schema(rename = "@context")]
    context: String,
    /// The document; null with an error or for a deactivated DID.
    #[schema(required)]
    did_document: Option<serde_json::Value>,
    /// `contentType`, or `error` with `type`, `title`, `detail`.
    did_resolution_metadata: serde_json::Value,
    /// `created`, `updated`, `versionId` (the block), `canonicalId`, `deactivated`.
    did_document_metadata: serde_json::Value,
}

/// A result of dereferencing, for the description.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "camelCase")]
#[allow(dead_code, reason = "only the schema is used")]
struct Dereferenced {
    /// `https://w3id.org/did-resolution/v1`.
    #[schema(rename = "@context")]
    context: String,
    /// What the DID URL led to; null with an error.
    #[schema(required)]
    content: Option<serde_json::Value>,
    /// The same, by its older name.
    #[schema(required)]
    content_stream: Option<serde_json::Value>,
    /// That of the document.
    content_metadata: serde_json::Value,
    /// `contentType`, or `error` with `type`, `title`, `detail`.
    dereferencing_metadata: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_encoded_dids_are_the_same() {
        let of = |path: &str, query| wanted(&format!("{ENDPOINT}{path}"), query).unwrap();
        assert_eq!(
            of("did:web:a%3A80:agents:x", None),
            "did:web:a%3A80:agents:x"
        );
        assert_eq!(
            of("did%3Aweb%3Aa%253A80%3Aagents%3Ax", None),
            "did:web:a%3A80:agents:x"
        );
        assert_eq!(of("did:a:b%23key", None), "did:a:b#key");
        assert_eq!(of("did:a:b", Some("service=x")), "did:a:b?service=x");
        assert_eq!(
            of("did%3Aa%3Ab%3Fservice%3Dx%23k", Some("versionId=2")),
            "did:a:b?service=x&versionId=2#k"
        );
        assert!(wanted("/1.0/identifiers/%ff", None).is_err());
    }
}
