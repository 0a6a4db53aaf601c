//! Statements: agents registered without gas, and what their keys and owners sign about them. The
//! signature is the authority, whoever brings it: these writes need no token.

mod prepare;
mod queue;

use std::collections::BTreeMap;

use access::{audit_log::Event, principal};
use axum::{
    Extension,
    extract::{OriginalUri, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use identity::{
    agent,
    request::{Known, Request},
    statement::{self, Action, Receipt, Signer, Submission},
};
use kernel::sha256;
use serde::Serialize;
use store::Cause;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub use self::queue::Statements;
use super::{
    Code, Json, Path, Problem, Query, Shared,
    agents::EntryState,
    guard::{Meter, Remote},
    paging,
    schema::{self, ListOf},
};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(say))
        .routes(routes!(list))
        .routes(routes!(prepare::prepare))
}

/// The header of requests that are to be done once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What became of a statement.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct Recorded {
    /// The agent's row id; `/v1/agents/{agent}` shows it.
    agent: Uuid,
    /// The statement's place among all off-chain facts; `statement:<serial>` names it as a cause.
    serial: i64,
    /// Its sequence: the next one is larger.
    sequence: String,
    /// The journal entry that says it; null where the agent's row is held, and it follows later.
    #[schema(required)]
    entry: Option<EntryState>,
}

/// Registers an agent without gas. Signed by the agent's Ed25519 key, and by its owner's account
/// where it has one (EIP-712; a key's account, or a contract wallet's by ERC-1271 or ERC-6492).
#[utoipa::path(
    post, path = "/v1/agents", tag = "statements", request_body = schema::Submission,
    params(("idempotency-key" = Option<String>, Header, description = "Done once by this signer within a day")),
    responses(
        (status = OK, body = Recorded, headers(("location" = String, description = "The agent"))),
        (status = BAD_REQUEST, body = Problem, description = "Form, time, office or signers are wrong"),
        (status = FORBIDDEN, body = Problem, description = "A signature is not his"),
        (status = CONFLICT, body = Problem, description = "The key was used before, or the sequence, or the nonce"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, description = "The Idempotency-Key was used for another body"),
        (status = TOO_MANY_REQUESTS, body = Problem),
        (status = SERVICE_UNAVAILABLE, body = Problem, description = "The wallet's chain cannot be asked now"),
    ),
)]
async fn register(
    State(app): State<Shared>,
    Extension(remote): Extension<Remote>,
    Extension(meter): Extension<Meter>,
    headers: HeaderMap,
    Json(submission): Json<Submission>,
) -> Result<Response, Problem> {
    if submission.statement.action != Action::Register {
        let detail = "action: here agents are registered; other statements go to /v1/agents/{agent}/statements";
        return Err(Problem::new(Code::Invalid, detail));
    }
    let from = Bringer { remote, meter };
    once(&app, from, &headers, submission).await
}

/// Says something about an agent: update, status, rotate, transfer, deregister or claim.
#[utoipa::path(
    post, path = "/v1/agents/{agent}/statements", tag = "statements",
    params(
        schema::AgentName,
        ("idempotency-key" = Option<String>, Header, description = "Done once by this signer within a day"),
    ),
    request_body = schema::Submission,
    responses(
        (status = OK, body = Recorded),
        (status = BAD_REQUEST, body = Problem, description = "Form, time, office or signers are wrong"),
        (status = FORBIDDEN, body = Problem, description = "Whoever signed may not say this"),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "The sequence or nonce was used before, or the agent ended"),
        (status = UNPROCESSABLE_ENTITY, body = Problem, description = "The Idempotency-Key was used for another body"),
        (status = TOO_MANY_REQUESTS, body = Problem),
        (status = SERVICE_UNAVAILABLE, body = Problem, description = "The wallet's chain cannot be asked now"),
    ),
)]
async fn say(
    State(app): State<Shared>,
    Extension(remote): Extension<Remote>,
    Extension(meter): Extension<Meter>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Json(submission): Json<Submission>,
) -> Result<Response, Problem> {
    let spoken_of = &submission.statement.agent;
    if submission.statement.action == Action::Register {
        let detail = "action: agents are registered at /v1/agents";
        return Err(Problem::new(Code::Invalid, detail));
    }
    if *spoken_of != name {
        let here = agent::id_of(&app.db, &name).await?;
        let there = agent::id_of(&app.db, spoken_of).await?;
        if here != there {
            let detail = "agent: the statement speaks of another agent than the path";
            return Err(Problem::new(Code::Invalid, detail));
        }
    }
    let from = Bringer { remote, meter };
    once(&app, from, &headers, submission).await
}

/// The statements of an agent with their signatures, newest first.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/statements", tag = "statements",
    params(schema::AgentName, paging::Paging),
    responses(
        (status = OK, body = ListOf<schema::ListedStatement>),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem),
    ),
)]
async fn list(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(paging): Query<paging::Paging>,
) -> Result<Response, Problem> {
    let agent = agent::id_of(&app.db, &name).await?;
    let page = statement::list(&app.db, agent, paging.cursor()?, paging.limit()?).await?;
    Ok(paging::listed(&headers, &uri, &page))
}

/// Who brings a statement.
struct Bringer {
    remote: Remote,
    meter: Meter,
}

/// Records a statement; one that carries an `Idempotency-Key` once.
async fn once(
    app: &Shared,
    from: Bringer,
    headers: &HeaderMap,
    submission: Submission,
) -> Result<Response, Problem> {
    let request = request(headers, &submission)?;
    // The same one is answered before it is looked at: by then it may have expired. That its key was used
    // for another one is told to its signer alone.
    if let Some(request) = &request
        && let Some(known @ Known::Done { .. }) = request.find(&app.db).await?
    {
        return known_answer(known);
    }
    let signed = verified(app, &from, submission).await?;
    // Where the client goes away, it counts, and the answer is kept for when it asks again.
    let app = Shared::clone(app);
    let kept = tokio::spawn(async move {
        match request {
            Some(request) => keep(&app, &from, &request, signed).await,
            None => Ok(answer(&record(&app, &from, signed, None).await?)),
        }
    });
    kept.await
        .map_err(|error| Problem::of(kernel::Kind::Internal, error))?
}

/// Records what was verified, and the answer with it, unless it is known.
async fn keep(
    app: &Shared,
    from: &Bringer,
    request: &Request,
    signed: statement::Signed,
) -> Result<Response, Problem> {
    let cause = Cause::Request(signed.signer().principal());
    let mut tx = app.db.begin(cause.clone()).await?;
    let known = request.start(&mut tx).await?;
    tx.commit().await?;
    if known != Known::New {
        return known_answer(known);
    }
    let problem = match record(app, from, signed, Some(request.clone())).await {
        Ok(recorded) => return Ok(answer(&recorded)),
        Err(problem) => problem,
    };
    let mut tx = app.db.begin(cause).await?;
    request.give_up(&mut tx).await?;
    tx.commit().await?;
    // It may be done nevertheless: another process took it over, or the connection broke when it was committed.
    match request.find(&app.db).await? {
        Some(known @ Known::Done { .. }) => known_answer(known),
        _ => Err(problem),
    }
}

/// Records what was verified, with it who registered an agent here, and counts it.
async fn record(
    app: &Shared,
    from: &Bringer,
    signed: statement::Signed,
    request: Option<Request>,
) -> Result<Recorded, Problem> {
    let (signer, agent) = (
        signed.signer().principal(),
        signed.statement().agent.clone(),
    );
    let is_new = signed.statement().action == Action::Register;
    let event = is_new.then(|| Event {
        client_id: principal::text(&signer),
        resource_type: Some("agent".to_owned()),
        ..from.remote.event("POST /v1/agents")
    });
    let recorded = app.statements.record(app, signed, event, request).await?;
    from.meter.count(app, &signer, &agent).await;
    Ok(recorded)
}

/// Verifies a statement; who signed too many is refused.
async fn verified(
    app: &Shared,
    from: &Bringer,
    submission: Submission,
) -> Result<statement::Signed, Problem> {
    let origin = app.sealer.vkey().name();
    let now = app.db.clock().now();
    // Before any node is asked: whoever wants one asked brings one statement, and not a hundred chains.
    submission.check(origin, now)?;
    let mut nodes = BTreeMap::new();
    for chain in submission.contract_chains() {
        if let Some(node) = app.nodes.find(Some(chain), &app.config.indexer).await {
            nodes.insert(chain, node);
        }
    }
    let signed = statement::verify(submission, origin, now, &nodes).await?;
    let (signer, agent) = (signed.signer().principal(), &signed.statement().agent);
    from.meter.look(app, &from.remote, &signer, agent).await?;
    Ok(signed)
}

impl Recorded {
    fn of(receipt: Receipt, sequence: u64) -> Self {
        let entry = receipt.entry.map(|cid| EntryState {
            cid,
            state: "queued",
        });
        Self {
            agent: receipt.agent.0,
            serial: receipt.serial,
            sequence: sequence.to_string(),
            entry,
        }
    }
}

fn answer(recorded: &Recorded) -> Response {
    located(
        axum::Json(recorded).into_response(),
        &recorded.agent.to_string(),
    )
}

fn located(mut response: Response, agent: &str) -> Response {
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/agents/{agent}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// What the request is called, where it has a key: by its first signer, whose signature is verified
/// before anything is kept under his name.
fn request(headers: &HeaderMap, submission: &Submission) -> Result<Option<Request>, Problem> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = key.to_str().unwrap_or_default();
    if key.is_empty() || key.len() > 255 {
        let detail = "Idempotency-Key: it is 1 to 255 printable characters";
        return Err(Problem::new(Code::Invalid, detail));
    }
    let first = submission.signatures.first().ok_or_else(|| {
        let detail = "signatures: one or two";
        Problem::new(Code::Invalid, detail)
    })?;
    let body = serde_json::to_vec(submission)
        .map_err(|error| Problem::of(kernel::Kind::Internal, error))?;
    Ok(Some(Request {
        principal: Signer::parse(&first.by)?.to_string(),
        key: key.to_owned(),
        body: sha256(&body),
    }))
}

fn known_answer(known: Known) -> Result<Response, Problem> {
    match known {
        Known::Done { status, answer } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let kind = [(header::CONTENT_TYPE, "application/json")];
            let said: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
            let agent = said["agent"].as_str().unwrap_or_default();
            Ok(located((status, kind, answer).into_response(), agent))
        }
        Known::OtherBody => Err(Problem::new(
            Code::KeyReused,
            "this Idempotency-Key was used for another body: take a new one",
        )),
        Known::New | Known::UnderWay => Err(Problem::new(
            Code::Conflict,
            "a request with this Idempotency-Key is under way: ask again for its answer",
        )),
    }
}
