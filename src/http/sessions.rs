//! Sessions of Ethereum accounts (EIP-4361): a wallet signs a message that names this office, once.

use access::{
    audit_log::{self, Event, EventType},
    origin::{Origin, Origins},
    session,
    siwe::Message,
};
use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use chain::typed;
use chrono::{DateTime, TimeDelta, Utc};
use kernel::{Bytes, Principal};
use serde::{Deserialize, Serialize};
use store::Cause;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Code, Json, Problem, Shared,
    guard::{self, Proof, Remote},
    paging,
};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(nonce))
        .routes(routes!(open))
        .routes(routes!(current, close))
}

/// What a message must say, to be signed.
#[derive(Serialize, ToSchema)]
struct Challenge {
    /// `Nonce`, good once and for five minutes.
    nonce: String,
    /// Until when it is good.
    expires_at: DateTime<Utc>,
    /// The domain, in its first line.
    domain: String,
    /// `URI`.
    uri: String,
    /// What people may be shown.
    statement: String,
}

/// Gives a nonce for a message of EIP-4361.
#[utoipa::path(
    post, path = "/v1/sessions/nonce", tag = "access",
    responses(
        (status = OK, body = Challenge),
        (status = BAD_REQUEST, body = Problem, description = "This office is not reached by this name"),
        (status = FORBIDDEN, body = Problem, description = "A page of another origin asked"),
    ),
)]
async fn nonce(
    State(app): State<Shared>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let origins = remote.origins(&app);
    no_stranger(origins, &headers)?;
    let here = guard::here(origins, &headers)?;
    let mut tx = app.db.begin(Cause::Request(Principal::Anonymous)).await?;
    let given = session::challenge(&mut tx).await?;
    tx.commit().await?;
    let challenge = Challenge {
        nonce: given.nonce,
        expires_at: given.expires_at,
        domain: here.authority().to_owned(),
        uri: here.text(),
        statement: "Sign in to this record office. This costs nothing and changes nothing."
            .to_owned(),
    };
    Ok(kept_by_nobody(paging::json(&headers, &challenge)))
}

/// Refuses a page of another origin, which a browser lets ask, though not read. It may run on this machine, where
/// nobody is counted.
fn no_stranger(origins: &Origins, headers: &HeaderMap) -> Result<(), Problem> {
    if guard::is_browser(headers) && !guard::is_ours(headers, origins) {
        let detail = "a page of another origin asked for this: it is refused";
        return Err(Problem::new(Code::Denied, detail));
    }
    Ok(())
}

/// A message and its signature.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignedMessage {
    /// The message of EIP-4361, as it was shown.
    #[schema(max_length = 4096)]
    message: String,
    /// The account's signature (EIP-191, ERC-1271 or ERC-6492), `0x`-hex.
    #[schema(value_type = String)]
    signature: Bytes,
}

/// A session that began.
#[derive(Serialize, ToSchema)]
struct Opened {
    /// For `Authorization: Bearer`. A browser gets half of it in a cookie, which its scripts do not see.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// The other half, where a browser asks: its page sends it as `Chancery-Session` beside the cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    half: Option<String>,
    #[serde(flatten)]
    #[schema(value_type = super::schema::Session)]
    session: session::Session,
}

/// Begins a session: with the token in the answer, or, where a browser asks, with half of it there and half in a cookie.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "access", request_body = SignedMessage,
    responses(
        (status = OK, body = Opened),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem, description = "Not this account's, not for this office, over, or used"),
        (status = FORBIDDEN, body = Problem, description = "A page of another origin asked"),
        (status = SERVICE_UNAVAILABLE, body = Problem),
    ),
)]
async fn open(
    State(app): State<Shared>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    Json(signed): Json<SignedMessage>,
) -> Result<Response, Problem> {
    let origins = remote.origins(&app);
    no_stranger(origins, &headers)?;
    let is_browser = guard::is_browser(&headers);
    let here = guard::here(origins, &headers)?;
    let message = Message::parse(&signed.message)?;
    let event = Event {
        client_id: Some(format!("{:#x}", message.address)),
        ..remote.event("POST /v1/sessions")
    };
    let begun = begin(&app, &message, &signed, here, event.clone()).await;
    let (token, session) = begun.inspect_err(|problem| {
        let event = Event {
            error_message: Some(problem.detail.clone()),
            ..event
        };
        let now = app.db.clock().now();
        app.audit_log.note(EventType::Authentication, now, event);
    })?;
    let seconds = (session.expires_at - session.created_at).num_seconds();
    let (kept, half) = session::halves(&token);
    let opened = Opened {
        token: (!is_browser).then(|| token.clone()),
        half: is_browser.then(|| half.to_owned()),
        session,
    };
    let mut response = kept_by_nobody(paging::json(&headers, &opened));
    if is_browser {
        guard::set_cookie(&mut response, here, kept, seconds);
    }
    Ok(response)
}

async fn begin(
    app: &Shared,
    message: &Message,
    signed: &SignedMessage,
    here: &Origin,
    event: Event,
) -> Result<(String, session::Session), Problem> {
    session::check(message, here, app.db.clock().now())?;
    session::expect(&app.db, message).await?;
    let digest = typed::personal(signed.message.as_bytes());
    let (chain, address) = (message.chain, message.address);
    let checked = guard::signed_by(app, chain, address, digest, &signed.signature).await?;
    let caller = guard::who_signed(chain, address, checked);
    let is_contract = matches!(caller, Principal::Contract { .. });
    let longest = TimeDelta::seconds(i64::from(app.config.access.session_seconds));
    let mut tx = app.db.begin(Cause::Request(caller)).await?;
    let begun = session::open(&mut tx, message, is_contract, longest).await?;
    audit_log::write(&mut tx, EventType::Authentication, vec![event]).await?;
    tx.commit().await?;
    Ok(begun)
}

/// Who you are here.
#[derive(Serialize, ToSchema)]
struct Who {
    /// `operator`, `account`, `key` or `anonymous`.
    kind: &'static str,
    /// The address (EIP-55), DID or key; of a contract `eip155:<chain>:<address>`, for it is this account on that chain
    /// alone. Null for the operator and for nobody.
    #[schema(required)]
    id: Option<String>,
    /// What proved it: `token`, `api_key`, `session`, `signature`, `wallet` or `nothing`.
    proof: &'static str,
    /// What an API key may do; null: all that its principal may.
    #[schema(required)]
    scopes: Option<Vec<String>>,
    /// When the session or the key ends.
    #[schema(required)]
    expires_at: Option<DateTime<Utc>>,
}

/// Who you are here, and by what.
#[utoipa::path(
    get, path = "/v1/sessions/current", tag = "access", responses((status = OK, body = Who)),
)]
async fn current(
    Extension(Caller(principal)): Extension<Caller>,
    Extension(proof): Extension<Proof>,
    headers: HeaderMap,
) -> Response {
    let (kind, id) = match principal {
        Principal::Operator => ("operator", None),
        Principal::Account(address) => ("account", Some(address.to_string())),
        Principal::Contract { chain, address } => {
            ("account", Some(format!("eip155:{chain}:{address}")))
        }
        Principal::Key(id) => ("key", Some(id)),
        Principal::Anonymous => ("anonymous", None),
    };
    let (proof, scopes, expires_at) = match proof {
        Proof::Nothing => ("nothing", None, None),
        Proof::Token => ("token", None, None),
        Proof::Key(key) => ("api_key", Some(key.scopes.clone()), key.expires_at),
        Proof::Session(session, _) => ("session", None, Some(session.expires_at)),
        Proof::Signature(_) => ("signature", None, None),
        Proof::Wallet => ("wallet", None, None),
    };
    let who = Who {
        kind,
        id,
        proof,
        scopes,
        expires_at,
    };
    kept_by_nobody(paging::json(&headers, &who))
}

/// Ends the session that asks.
#[utoipa::path(
    delete, path = "/v1/sessions/current", tag = "access",
    responses(
        (status = OK, body = Who),
        (status = NOT_FOUND, body = Problem, description = "No session asks"),
    ),
)]
async fn close(
    State(app): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
    Extension(proof): Extension<Proof>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Proof::Session(_, token) = proof else {
        return Err(Problem::new(Code::NotFound, "no session asks"));
    };
    let mut tx = app.db.begin(Cause::Request(principal)).await?;
    session::close(&mut tx, &token).await?;
    tx.commit().await?;
    let nobody = (
        Extension(Caller(Principal::Anonymous)),
        Extension(Proof::Nothing),
    );
    let mut response = current(nobody.0, nobody.1, headers.clone()).await;
    if let Ok(here) = guard::here(remote.origins(&app), &headers) {
        guard::set_cookie(&mut response, here, "", 0);
    }
    Ok(response)
}

/// An answer that no cache keeps.
pub fn kept_by_nobody(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.remove(header::ETAG);
    response
}
