//! Who asks: everybody may read, the holder of the local token may write, as long as the journal has room.

use axum::{
    extract::{Request, State},
    http::{Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use kernel::{Principal, sha256};

use super::{Code, Problem, Shared, heartbeats};

/// Questions that are too long for a query: they are asked with POST and change nothing.
const QUESTIONS: [&str; 1] = ["/v1/transactions/prepare"];

/// Whoever asks, in the request's extensions: take it as `Extension<Caller>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub Principal);

/// Finds out who asks and refuses a write that nobody stands behind.
pub async fn guard(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let principal = match bearer(&request) {
        Some(token) if same(token, &app.token) => Principal::Operator,
        Some(_) => return Problem::new(Code::Unauthorized, "the token is wrong").into_response(),
        None => Principal::Anonymous,
    };
    let path = request.uri().path();
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method())
        || QUESTIONS.contains(&path)
        // What they lead to waits for the journal by itself.
        || heartbeats::is_signed(path);
    if !reads && principal == Principal::Anonymous {
        let detail =
            "writes need `Authorization: Bearer <token>`; the token is in <data-dir>/token";
        return Problem::new(Code::Unauthorized, detail).into_response();
    }
    if !reads {
        let most = app.config.journal.max_queued;
        if let Err(full) = journal::backlog::room(&app.db, most).await {
            return Problem::from(full).into_response();
        }
    }
    request.extensions_mut().insert(Caller(principal));
    next.run(request).await
}

fn bearer(request: &Request) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") {
        token.trim()
    } else {
        ""
    })
}

/// Compares digests, so that the time says nothing about the token.
fn same(given: &str, token: &str) -> bool {
    sha256(given.as_bytes()) == sha256(token.as_bytes())
}
