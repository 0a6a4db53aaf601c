//! Results of DID resolution and dereferencing as HTTP answers.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use did::{CONTENT_TYPE, Code, Resolution};
use serde_json::{Value, json};
use url::Url;

use super::accept::Form;

const RESULT: &str = "application/did-resolution";
const LEGACY: &str = "application/ld+json;profile=\"https://w3id.org/did-resolution\"";
const DEREFERENCING: &str = "application/did-url-dereferencing";

/// A resolution in the form that was asked for; what has no document is always told whole.
pub fn resolution(resolution: &Resolution, form: Form) -> Response {
    let status = status(resolution);
    match (form, &resolution.document) {
        (Form::Document, Some(_)) => document(&resolution.to_json()["didDocument"]),
        (Form::Legacy, _) => {
            let mut result = resolution.to_json();
            if let Some(error) = resolution.error() {
                result["didResolutionMetadata"]["error"] = json!(error.code.legacy_name());
            }
            answer(status, LEGACY, &result)
        }
        _ => answer(status, RESULT, &resolution.to_json()),
    }
}

/// A bare document, or a part of one.
pub fn document(document: &Value) -> Response {
    answer(StatusCode::OK, CONTENT_TYPE, document)
}

/// What a DID URL led to. The text of 2026 calls it `content` and `contentStream`.
pub fn content(content: &Value, resolution: &Resolution) -> Response {
    let result = json!({
        "@context": "https://w3id.org/did-resolution/v1",
        "content": content,
        "contentStream": content,
        "contentMetadata": resolution.document_metadata,
        "dereferencingMetadata": {"contentType": CONTENT_TYPE},
    });
    answer(StatusCode::OK, DEREFERENCING, &result)
}

/// A DID URL that led to nothing.
pub fn nothing(resolution: &Resolution) -> Response {
    let result = json!({
        "@context": "https://w3id.org/did-resolution/v1",
        "content": null,
        "contentStream": null,
        "contentMetadata": resolution.document_metadata,
        "dereferencingMetadata": resolution.resolution_metadata,
    });
    answer(status(resolution), DEREFERENCING, &result)
}

/// Sends the client to the first of these URLs.
pub fn redirect(urls: &[Url]) -> Response {
    let target = urls.first().map(Url::as_str).unwrap_or_default();
    match HeaderValue::from_str(target) {
        Ok(target) => (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

fn answer(status: StatusCode, kind: &'static str, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept"),
    ];
    (status, headers, body.to_string()).into_response()
}

/// The statuses of the HTTP(S) binding.
fn status(resolution: &Resolution) -> StatusCode {
    let Some(error) = resolution.error() else {
        return if resolution.document_metadata.deactivated {
            StatusCode::GONE
        } else {
            StatusCode::OK
        };
    };
    match error.code {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::RepresentationNotSupported => StatusCode::NOT_ACCEPTABLE,
        Code::MethodNotSupported | Code::FeatureNotSupported => StatusCode::NOT_IMPLEMENTED,
        Code::InvalidDidDocument | Code::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}
