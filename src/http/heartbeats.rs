//! Heartbeats that agents sign: one, many in a request, or over a WebSocket. The signature is the authority, whoever
//! brings it; each beat is answered once it is recorded.

mod seats;
mod socket;

use access::address::Network;
use axum::{
    Extension, Json as Answered,
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::Response,
};
use chrono::{DateTime, Utc};
use identity::{
    heartbeat::{Answer, Beat, Form},
    identifier,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    Code, Json, Path, Problem, Shared,
    guard::{Proof, Remote, Standing, no_strangers_socket},
    schema,
};

pub use self::seats::Seats;

/// Most beats of one request.
const MOST: usize = 1_000;

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(one))
        .routes(routes!(many))
        .routes(routes!(of_agent))
        .routes(routes!(of_many))
}

/// What was signed.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Signed {
    /// The UTF-8 bytes of `timestamp` alone, as Zynd's agents do; by keys alone.
    #[default]
    Zynd,
    /// `chancery heartbeat v1`, the journal's origin, the agent's DID and `timestamp`, a line feed between them. A wallet
    /// signs it as a message for people (EIP-191).
    Chancery,
}

/// A beat.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct OneBeat {
    /// When, RFC 3339, exactly as it is signed: at most 60 s from our clock, a second later than the
    /// last one or more.
    timestamp: String,
    /// By the agent's Ed25519 key, or one that claimed its token: `ed25519:` and base64 (with padding) of 64 bytes. Or by
    /// the key of its wallet or owner, in the form `chancery`: `0x` and hex of 65 bytes.
    signature: String,
    /// What was signed; `zynd` unless told.
    #[serde(default)]
    #[schema(inline, required = false)]
    form: Signed,
}

/// A beat and whose it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NamedBeat {
    /// The agent, by any verified identifier.
    #[serde(alias = "agent_id", alias = "entity_id")]
    agent: String,
    /// When, RFC 3339, exactly as it is signed.
    timestamp: String,
    /// `ed25519:` and base64 of 64 bytes, or a wallet's `0x` and hex of 65.
    signature: String,
    /// What was signed; `zynd` unless told.
    #[serde(default)]
    #[schema(inline, required = false)]
    form: Signed,
}

impl NamedBeat {
    fn beat(self) -> Beat {
        Beat {
            agent: self.agent,
            timestamp: self.timestamp,
            signature: self.signature,
            form: match self.form {
                Signed::Zynd => Form::Zynd,
                Signed::Chancery => Form::Own,
            },
        }
    }
}

/// A beat that counts.
#[derive(Debug, Serialize, ToSchema)]
struct Counted {
    /// The agent's row id.
    agent: Uuid,
    /// The beat's time.
    timestamp: DateTime<Utc>,
    /// The agent counts as alive until then.
    next_due: DateTime<Utc>,
}

/// What became of one of many beats.
#[derive(Debug, Serialize, ToSchema)]
struct Told {
    /// The agent as it was named.
    agent: String,
    /// Whether it counts.
    accepted: bool,
    /// The agent counts as alive until then; only where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_due: Option<DateTime<Utc>>,
    /// Why not, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Told {
    fn new(agent: String, answer: &Answer) -> Self {
        match answer {
            Ok(taken) => Self {
                agent,
                accepted: true,
                next_due: Some(taken.next_due),
                code: None,
                detail: None,
            },
            Err(refusal) => Self::refused(agent, refusal.kind().into(), refusal.to_string()),
        }
    }

    fn refused(agent: String, code: Code, detail: String) -> Self {
        Self {
            agent,
            accepted: false,
            next_due: None,
            code: Some(code),
            detail: Some(detail),
        }
    }
}

/// Takes one beat.
#[utoipa::path(
    post, path = "/v1/agents/{agent}/heartbeat", tag = "heartbeats", params(schema::AgentName),
    request_body = OneBeat,
    responses(
        (status = OK, body = Counted),
        (status = BAD_REQUEST, body = Problem, description = "No beat, or its time is too far from ours"),
        (status = FORBIDDEN, body = Problem, description = "The signature is not the agent's"),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "The agent beat then or later already, or ended"),
        (status = TOO_MANY_REQUESTS, body = Problem, description = "Also within a second of the agent's last beat"),
    ),
)]
async fn one(
    State(app): State<Shared>,
    Path(agent): Path<String>,
    Json(beat): Json<OneBeat>,
) -> Result<Answered<Counted>, Problem> {
    let OneBeat {
        timestamp,
        signature,
        form,
    } = beat;
    let beat = NamedBeat {
        agent,
        timestamp,
        signature,
        form,
    };
    let answers = app.beats.record(vec![beat.beat()]).await?;
    let answer = answers.into_iter().next();
    let lost = || Problem::new(Code::Unavailable, "the beat was not recorded");
    let taken = answer.ok_or_else(lost)??;
    Ok(Answered(Counted {
        agent: taken.agent,
        timestamp: taken.at,
        next_due: taken.next_due,
    }))
}

/// Beats of many agents.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ManyBeats {
    /// At most 1000.
    #[schema(max_items = 1000)]
    items: Vec<NamedBeat>,
}

/// What became of them.
#[derive(Debug, Serialize, ToSchema)]
struct ManyTold {
    /// In the order in which they came.
    items: Vec<Told>,
    /// How many count.
    accepted: usize,
}

/// Takes beats of many agents. Each is answered by itself: that one is refused stops no other.
#[utoipa::path(
    post, path = "/v1/heartbeats", tag = "heartbeats", request_body = ManyBeats,
    responses(
        (status = OK, body = ManyTold), (status = BAD_REQUEST, body = Problem),
        (status = TOO_MANY_REQUESTS, body = Problem),
    ),
)]
async fn many(
    State(app): State<Shared>,
    Json(beats): Json<ManyBeats>,
) -> Result<Answered<ManyTold>, Problem> {
    if beats.items.len() > MOST {
        let detail = format!("{} beats in one request: at most {MOST}", beats.items.len());
        return Err(Problem::new(Code::Invalid, detail));
    }
    let beats: Vec<Beat> = beats.items.into_iter().map(NamedBeat::beat).collect();
    let names: Vec<String> = beats.iter().map(|beat| shown(&beat.agent)).collect();
    let answers = app.beats.record(beats).await?;
    let told = names.into_iter().zip(&answers);
    Ok(Answered(ManyTold {
        items: told.map(|(name, answer)| Told::new(name, answer)).collect(),
        accepted: answers.iter().filter(|answer| answer.is_ok()).count(),
    }))
}

/// An agent as it is told back. What waits is small, whatever was sent: of what is longer than any name a part.
fn shown(name: &str) -> String {
    name[..name.floor_char_boundary(identifier::LONGEST)].to_owned()
}

/// Whose place a socket takes; nobody's where the operator opens it, who may have them all.
fn counted(app: &Shared, proof: &Proof, remote: &Remote) -> Option<Network> {
    match proof {
        Proof::Token => None,
        _ => remote.caller(app),
    }
}

/// A WebSocket, or why there is none.
type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// A WebSocket for the beats of one agent: each text message is a beat as `POST .../heartbeat` takes it, and each is
/// answered by one. It is closed where no beat counted for six minutes (code 4408; `http.socket_silence_seconds`), after
/// 64 wrong messages in a row (4400), and within half a minute (1008) of the end of the API key, session or agent's key
/// that opened it.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/ws", tag = "heartbeats", params(schema::AgentName),
    responses(
        (status = SWITCHING_PROTOCOLS, description = "The socket is open"),
        (status = BAD_REQUEST, body = Problem, description = "The request asks for no WebSocket"),
        (status = FORBIDDEN, body = Problem, description = "A page of another origin asks"),
        (status = NOT_FOUND, body = Problem),
        (status = TOO_MANY_REQUESTS, body = Problem, description = "Also where this address has too many sockets"),
        (status = SERVICE_UNAVAILABLE, body = Problem, description = "Too many sockets are open"),
    ),
)]
async fn of_agent(
    State(app): State<Shared>,
    Extension(proof): Extension<Proof>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    Path(name): Path<String>,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    no_strangers_socket(&headers, remote.origins(&app))?;
    let found = identifier::find(&app.db, &name).await?;
    let id = found.ok_or_else(|| identity::Error::NotFound(name))?;
    let caller = counted(&app, &proof, &remote);
    let standing = Standing::of(&app, proof);
    socket::open(app, upgrade, Some(id), standing, caller)
}

/// A WebSocket for the beats of many agents: the same, and each message names its `agent`.
#[utoipa::path(
    get, path = "/v1/heartbeat", tag = "heartbeats",
    responses(
        (status = SWITCHING_PROTOCOLS, description = "The socket is open"),
        (status = BAD_REQUEST, body = Problem, description = "The request asks for no WebSocket"),
        (status = FORBIDDEN, body = Problem, description = "A page of another origin asks"),
        (status = TOO_MANY_REQUESTS, body = Problem, description = "Also where this address has too many sockets"),
        (status = SERVICE_UNAVAILABLE, body = Problem, description = "Too many sockets are open"),
    ),
)]
async fn of_many(
    State(app): State<Shared>,
    Extension(proof): Extension<Proof>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Result<Response, Problem> {
    no_strangers_socket(&headers, remote.origins(&app))?;
    let caller = counted(&app, &proof, &remote);
    let standing = Standing::of(&app, proof);
    socket::open(app, upgrade, None, standing, caller)
}
