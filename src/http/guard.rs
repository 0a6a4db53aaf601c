//! Who asks, and whether he may: a proof is looked for in the request's head, held against the table of grants, and what
//! is refused is noted. Reading what is everybody's, with or without the token or a key that the operator made and that is
//! no agent's, asks the database nothing.

mod limits;
mod proof;
mod remote;
mod site;
mod standing;

use std::{sync::Arc, time::Duration};

use access::{
    Known,
    audit_log::{Event, EventType},
    principal,
    session::Session,
};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use kernel::Principal;

use super::{
    Code, Problem, Shared,
    grants::{self, Effect, Grant, Who},
};
use limits::Counter;
pub use limits::{Meter, RATE_LIMIT, RATE_LIMIT_POLICY};
use proof::Asker;
pub use proof::{signed_by, who_signed};
pub use remote::Remote;
pub use site::{COOKIE, HALF, here, is_browser, is_ours, no_strangers_socket, set_cookie};
pub use standing::Standing;

/// Whoever asks, in the request's extensions: take it as `Extension<Caller>`. Who asks with an API key is the one for
/// whom the key acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(pub Principal);

/// What proved him: take it as `Extension<Proof>`.
#[derive(Debug, Clone, Default)]
pub enum Proof {
    /// Nothing did.
    #[default]
    Nothing,
    /// The operator's token.
    Token,
    /// An API key.
    Key(Arc<Known>),
    /// A session, by its token.
    Session(Session, String),
    /// A signature of this request: Ed25519 (RFC 9421), of the key of this DID.
    Signature(String),
    /// A signature of this request: a wallet's (EIP-712).
    Wallet,
}

impl Proof {
    /// The API key that was used, if one was.
    pub fn key(&self) -> Option<&Arc<Known>> {
        match self {
            Self::Key(key) => Some(key),
            _ => None,
        }
    }

    /// Whether it opens what takes this scope: every proof does but an API key without it.
    pub fn opens(&self, scope: &str) -> Result<(), Problem> {
        match self.key() {
            Some(key) if !key.scopes.iter().any(|has| has == scope) => {
                let detail = format!("this API key lacks the scope `{scope}`");
                Err(Problem::new(Code::Denied, detail))
            }
            _ => Ok(()),
        }
    }
}

/// Finds out who asks and refuses what he may not do.
pub async fn guard(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let grant = grants::of(request.method(), route.map(MatchedPath::as_str));
    let remote = Remote::of(&request, &app.proxies);
    let mut counter = Counter::new(&app, grant, &remote);
    let admitted = admit(&app, request, grant, &mut counter).await;
    let verdict = counter.verdict;
    let mut meter = Meter::new(grant);
    let mut response = match admitted {
        Ok(mut request) => {
            let extensions = request.extensions_mut();
            meter.proof = extensions.get::<Proof>().cloned().unwrap_or_default();
            extensions.insert(remote);
            extensions.insert(meter.clone());
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    if let Some(verdict) = meter.verdict().or(verdict) {
        limits::tell(&mut response, &verdict);
    }
    response
}

async fn admit(
    app: &Shared,
    mut request: Request,
    grant: &Grant,
    counter: &mut Counter<'_>,
) -> Result<Request, Problem> {
    let asker = match ask(app, &mut request, grant, counter).await {
        Ok(asker) => asker,
        Err(problem) => {
            if problem.code == Code::Unauthorized {
                counter.failed(&problem);
            }
            return Err(problem);
        }
    };
    allow(grant, &asker)?;
    if let Some(key) = asker.proof.key() {
        app.usage.note(&key.key_id, app.db.clock().now());
    }
    if grant.effect == Effect::Journaled {
        let most = app.config.journal.max_queued;
        let room = app.room.check(&app.db, most).await;
        room.map_err(|full| Problem::of(full.kind(), full))?;
    }
    let extensions = request.extensions_mut();
    extensions.insert(Caller(asker.principal));
    extensions.insert(asker.proof);
    Ok(request)
}

/// Who asks, counted. What costs nothing to verify is verified first: the operator is not counted, and who has a key of
/// the operator's making has quotas of his own. Everybody else is counted by his address before anything is asked of a
/// database or a chain: accounts and keys cost nothing to make.
async fn ask(
    app: &Shared,
    request: &mut Request,
    grant: &Grant,
    counter: &mut Counter<'_>,
) -> Result<Asker, Problem> {
    let presented = match proof::presented(counter.origins(), request.headers(), grant) {
        Ok(presented) => presented,
        Err(several) => {
            counter.is_proof_sent = true;
            counter.address().await?;
            return Err(several);
        }
    };
    counter.is_proof_sent = presented.is_sent();
    if let Some(asker) = proof::in_memory(app, &presented).await? {
        if let Some(key) = asker.proof.key() {
            counter.key(key).await?;
        }
        proof::refuse_former(app, &asker.principal).await?;
        return Ok(asker);
    }
    counter.address().await?;
    // Bodies may come slowly, and so may what nodes say: the layer that bounds answers is further in.
    let within = Duration::from_secs(app.config.http.timeout_seconds);
    let origins = counter.origins();
    let verified = proof::verify(app, origins, request, presented);
    let verified = tokio::time::timeout(within, verified).await;
    let asker = verified.unwrap_or_else(|_| {
        let detail = format!("the proof was not verified within {} s", within.as_secs());
        Err(Problem::new(Code::Timeout, detail))
    })?;
    match &asker.proof {
        Proof::Signature(did) => counter.agent(did).await?,
        Proof::Key(key) => {
            counter.key(key).await?;
            proof::refuse_former(app, &asker.principal).await?;
        }
        _ => {}
    }
    let is_page = matches!(asker.proof, Proof::Session(..)) && asker.is_by_cookie;
    if is_page && !grant.is_harmless() && !is_ours(request.headers(), origins) {
        let detail = "a page of another origin asked for this in your name: it is refused";
        return Err(Problem::new(Code::Denied, detail));
    }
    Ok(asker)
}

/// Whether a line of the table is for whoever asks.
fn allow(grant: &Grant, asker: &Asker) -> Result<(), Problem> {
    if !grant.who.includes(&asker.principal) {
        return Err(match asker.principal {
            Principal::Anonymous => {
                let detail = "this needs a proof of who you are: `Authorization: Bearer` with the operator's token \
                              (<data-dir>/token), an API key or a session's token, or a signed request";
                Problem::new(Code::Unauthorized, detail)
            }
            _ => Problem::new(Code::Denied, "this is the operator's"),
        });
    }
    match grant.scope {
        _ if grant.who == Who::Everybody => Ok(()),
        Some(scope) => asker.proof.opens(scope),
        None if asker.proof.key().is_some() => {
            Err(Problem::new(Code::Denied, "no API key may do this"))
        }
        None => Ok(()),
    }
}

impl Caller {
    /// Whom rows name as their owner; none for the operator, whose all rows are.
    pub fn owner(&self) -> Option<String> {
        match &self.0 {
            Principal::Operator => None,
            other => principal::text(other),
        }
    }
}

impl Counter<'_> {
    /// Notes that somebody did not prove who he is.
    fn failed(&self, problem: &Problem) {
        let event = Event {
            error_message: Some(problem.detail.clone()),
            ..self.event()
        };
        self.note(EventType::Authentication, event);
    }
}
