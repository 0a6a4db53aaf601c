//! Extractors whose refusals are problems. What Postgres cannot hold (U+0000, bytes that are no
//! UTF-8) is refused here, once for all routes.

use axum::{
    extract::{
        FromRequest, FromRequestParts, Request,
        rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection},
    },
    http::{StatusCode, request::Parts},
};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Code, Problem};

/// A JSON body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

/// The query.
#[derive(Debug, Clone, Copy, Default)]
pub struct Query<T>(pub T);

/// The path's parts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Path<T>(pub T);

/// A raw body.
#[derive(Debug, Clone, Default)]
pub struct Body(pub axum::body::Bytes);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let axum::Json(value) = axum::Json::<Value>::from_request(request, state).await?;
        // A struct would be read from a list as well, by the order of its fields.
        if value.is_array() {
            let detail = "the body is a list: an object is expected";
            return Err(Problem::new(Code::Invalid, detail));
        }
        if holds_nul(&value) {
            return Err(nul("the body"));
        }
        serde_json::from_value(value)
            .map(Self)
            .map_err(|error| Problem::new(Code::Invalid, format!("the body: {error}")))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        plain("the query", parts.uri.query().unwrap_or_default())?;
        let query = axum::extract::Query::from_request_parts(parts, state).await?;
        Ok(Self(query.0))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        plain("the path", parts.uri.path())?;
        let path = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(path.0))
    }
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(axum::body::Bytes::from_request(request, state).await?))
    }
}

/// Refuses what percent signs hide: bytes that are no UTF-8, and U+0000.
fn plain(what: &str, text: &str) -> Result<(), Problem> {
    match percent_decode_str(text).decode_utf8() {
        Ok(text) if text.contains('\0') => Err(nul(what)),
        Ok(_) => Ok(()),
        Err(_) => Err(Problem::new(Code::Invalid, format!("{what} is no UTF-8"))),
    }
}

fn nul(what: &str) -> Problem {
    Problem::new(
        Code::Invalid,
        format!("{what} has the character U+0000 in it"),
    )
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(map) => map
            .iter()
            .any(|(key, item)| key.contains('\0') || holds_nul(item)),
        _ => false,
    }
}

fn of_body(status: StatusCode, text: String) -> Problem {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
        _ => Code::Invalid,
    };
    Problem::new(code, text)
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        of_body(rejection.status(), rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        of_body(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Code::Invalid, rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Code::Invalid, rejection.body_text())
    }
}
