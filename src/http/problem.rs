//! Errors as RFC 9457 problems. The one place that knows HTTP statuses of failures.

use std::{error::Error, fmt::Display};

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use kernel::Kind;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The thing that was named does not exist.
    NotFound,
    /// The request is wrong; the same request fails again.
    Invalid,
    /// The request contradicts what is stored now.
    Conflict,
    /// Whoever asks may not do this.
    Denied,
    /// A limit was reached; later it may work.
    Limited,
    /// Something that we depend on does not answer; later it may work.
    Unavailable,
    /// Our own fault.
    Internal,
    /// Who asks did not prove who he is.
    Unauthorized,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The body is larger than the limit.
    TooLarge,
    /// The body is no JSON, or says so.
    UnsupportedMediaType,
    /// The answer took too long.
    Timeout,
    /// What was asked for was here once, and is not any more.
    Gone,
    /// The Idempotency-Key was used for another request.
    KeyReused,
}

impl From<Kind> for Code {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::NotFound => Self::NotFound,
            Kind::Invalid => Self::Invalid,
            Kind::Conflict => Self::Conflict,
            Kind::Denied => Self::Denied,
            Kind::Limited => Self::Limited,
            Kind::Unavailable => Self::Unavailable,
            Kind::Internal => Self::Internal,
        }
    }
}

impl Code {
    /// The status, the URI and the title.
    fn parts(self) -> (StatusCode, &'static str, &'static str) {
        macro_rules! urn {
            ($name:literal) => {
                concat!("urn:chancery:problem:", $name)
            };
        }
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, urn!("not_found"), "Not found"),
            Self::Invalid => (StatusCode::BAD_REQUEST, urn!("invalid"), "Invalid request"),
            Self::Conflict => (StatusCode::CONFLICT, urn!("conflict"), "Conflict"),
            Self::Denied => (StatusCode::FORBIDDEN, urn!("denied"), "Denied"),
            Self::Limited => (
                StatusCode::TOO_MANY_REQUESTS,
                urn!("limited"),
                "Too many requests",
            ),
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                urn!("unavailable"),
                "Not available",
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                urn!("internal"),
                "Internal error",
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                urn!("unauthorized"),
                "A proof is needed",
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                urn!("method_not_allowed"),
                "Method not allowed",
            ),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                urn!("too_large"),
                "Body too large",
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                urn!("unsupported_media_type"),
                "Unsupported media type",
            ),
            Self::Timeout => (
                StatusCode::GATEWAY_TIMEOUT,
                urn!("timeout"),
                "Took too long",
            ),
            Self::Gone => (StatusCode::GONE, urn!("gone"), "Not here any more"),
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                urn!("key_reused"),
                "Idempotency-Key used before",
            ),
        }
    }
}

/// Which of the two limits were reached; written as a list of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violated {
    /// That of a minute.
    Minute,
    /// That of an hour.
    Hour,
    /// Both.
    Both,
}

impl Serialize for Violated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: &[&str] = match self {
            Self::Minute => &["minute"],
            Self::Hour => &["hour"],
            Self::Both => &["minute", "hour"],
        };
        names.serialize(serializer)
    }
}

/// A failed request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// A URI that names this sort of problem.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The sort of problem, for people.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time.
    pub detail: String,
    /// The sort of problem, for programs.
    pub code: Code,
    /// The path that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Finds the request in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The limits that were reached, by the names in `RateLimit-Policy`.
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub violated_policies: Option<Violated>,
    /// Seconds after which it may work; 0: nobody knows.
    #[serde(skip)]
    pub retry_after: u32,
}

impl Problem {
    /// A problem of this sort.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let (status, kind, title) = code.parts();
        Self {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code,
            instance: None,
            request_id: None,
            violated_policies: None,
            retry_after: 0,
        }
    }

    /// Too many requests, by the names of the limits (draft-ietf-httpapi-ratelimit-headers, section 6).
    pub fn quota_exceeded(violated: Violated, retry_after: u64) -> Self {
        let detail = format!("too many requests: ask again in {retry_after} s");
        Self {
            kind: "https://iana.org/assignments/http-problem-types#quota-exceeded",
            violated_policies: Some(violated),
            retry_after: u32::try_from(retry_after).unwrap_or(u32::MAX),
            ..Self::new(Code::Limited, detail)
        }
    }

    /// A room's error. What is our own fault is told to the log, not to whoever asks.
    pub fn of(kind: Kind, error: impl Display) -> Self {
        if kind == Kind::Internal {
            tracing::error!(%error, "a request failed: {error}");
            return Self::new(
                Code::Internal,
                "an error of ours; the log has it under this request's id",
            );
        }
        Self::new(kind.into(), error.to_string())
    }
}

/// `From<E> for Problem` for errors with a `kind()`.
macro_rules! problems {
    ($($error:ty),+ $(,)?) => { $(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                if does_not_fit(&error) {
                    return Self::new(Code::Invalid, "a number or time is out of range");
                }
                Self::of(error.kind(), error)
            }
        }
    )+ };
}

problems!(
    crate::Error,
    crate::bundle::Error,
    store::Error,
    identity::Error,
    identity::heartbeat::Refusal,
    crate::beating::Failed,
    journal::Error,
    publish::Error,
    content::Error,
    indexer::Error,
    chain::RpcError,
    chain::SendError,
);

impl From<access::Error> for Problem {
    fn from(error: access::Error) -> Self {
        if does_not_fit(&error) {
            return Self::new(Code::Invalid, "a number or time is out of range");
        }
        if error.is_unproven() {
            return Self::new(Code::Unauthorized, error.to_string());
        }
        Self::of(error.kind(), error)
    }
}

/// Whether Postgres refused a value itself, and not what was to be done with it: then it is the
/// request's. SQLSTATE 22003, 22008, 22021, 22P05: number or time out of range, text it cannot hold.
fn does_not_fit(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<sqlx::Error>() {
            Some(sqlx::Error::Encode(_)) => return true,
            Some(sqlx::Error::Database(database)) => {
                return database
                    .code()
                    .is_some_and(|code| ["22003", "22008", "22021", "22P05"].contains(&&*code));
            }
            _ => next = error.source(),
        }
    }
    false
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.code {
            Code::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Code::Limited | Code::Unavailable => {
                let seconds = if self.retry_after == 0 {
                    5
                } else {
                    self.retry_after
                };
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            _ => {}
        }
        // `layers` adds what only it knows and writes the body again.
        response.extensions_mut().insert(self);
        response
    }
}
