//! Limits as HTTP tells them: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11), and 429.

use std::{
    fmt::Write as _,
    sync::{Arc, OnceLock},
};

use access::{
    Known, Quotas, Verdict,
    audit_log::{Event, EventType},
    origin::Origins,
    principal,
};
use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};
use kernel::Principal;

use super::{Proof, Remote};
use crate::http::{Problem, Shared, grants::Grant, problem::Violated};

/// What is left of each quota.
pub const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The quotas.
pub const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Counts one request.
pub struct Counter<'a> {
    app: &'a Shared,
    grant: &'a Grant,
    remote: &'a Remote,
    /// Whether somebody means to prove who he is: what that costs is counted wherever he does it.
    pub is_proof_sent: bool,
    /// What the bucket that was asked last says: the one that is nearest to who asks.
    pub verdict: Option<Verdict>,
}

impl<'a> Counter<'a> {
    /// Nothing is counted yet.
    pub fn new(app: &'a Shared, grant: &'a Grant, remote: &'a Remote) -> Self {
        Self {
            app,
            grant,
            remote,
            is_proof_sent: false,
            verdict: None,
        }
    }

    /// The names that are ours for who asks.
    pub fn origins(&self) -> &'a Origins {
        self.remote.origins(self.app)
    }

    /// On the address of who asks, where it is counted.
    pub async fn address(&mut self) -> Result<(), Problem> {
        let Some(caller) = self.remote.caller(self.app) else {
            return Ok(());
        };
        if !self.grant.is_counted() && !self.is_proof_sent {
            return Ok(());
        }
        let bucket = format!("{caller}:any");
        let quotas = self.app.config.access.quotas();
        self.take(bucket, quotas, self.event()).await
    }

    /// On the key, which has quotas of its own from whoever made it, and shares them with those that it was rotated to.
    pub async fn key(&mut self, key: &Known) -> Result<(), Problem> {
        if !self.grant.is_counted() {
            return Ok(());
        }
        let quotas = Quotas {
            minute: key.per_minute,
            hour: key.per_hour,
        };
        let event = Event {
            client_id: Some(key.client_id.clone()),
            key_id: Some(key.key_id.to_string()),
            ..self.event()
        };
        self.take(format!("{}:any", key.line), quotas, event).await
    }

    /// On an agent and this endpoint.
    pub async fn agent(&mut self, did: &str) -> Result<(), Problem> {
        let bucket = endpoint(self.grant, did);
        let quotas = self.app.config.access.quotas();
        self.take(bucket, quotas, self.event_of(did)).await
    }

    async fn take(&mut self, bucket: String, quotas: Quotas, event: Event) -> Result<(), Problem> {
        let verdict = self.app.limiter.take(&bucket, quotas).await;
        self.judge(verdict, event)
    }

    /// Refuses what a bucket refuses, and notes it once in a while.
    fn judge(&mut self, verdict: Verdict, event: Event) -> Result<(), Problem> {
        self.verdict = Some(verdict);
        let Some(retry_after) = verdict.retry_after() else {
            return Ok(());
        };
        metrics::counter!("chancery_requests_limited_total").increment(1);
        if verdict.is_news {
            let event = Event {
                error_message: Some("too many requests".to_owned()),
                ..event
            };
            self.note(EventType::RateLimitExceeded, event);
        }
        let violated = match verdict.left.map(|left| left.wait.is_some()) {
            [true, true] => Violated::Both,
            [false, true] => Violated::Hour,
            _ => Violated::Minute,
        };
        Err(Problem::quota_exceeded(violated, retry_after))
    }

    fn event_of(&self, who: &str) -> Event {
        Event {
            client_id: Some(who.to_owned()),
            ..self.event()
        }
    }

    /// The beginning of an event.
    pub fn event(&self) -> Event {
        let action = format!("{} {}", self.grant.method, self.grant.route);
        self.remote.event(action.trim_end())
    }

    /// Keeps an event for the audit log.
    pub fn note(&self, event_type: EventType, event: Event) {
        let now = self.app.db.clock().now();
        self.app.audit_log.note(event_type, now, event);
    }
}

/// The bucket of somebody at one endpoint.
fn endpoint(grant: &Grant, whose: &str) -> String {
    format!("{whose}:{} {}", grant.method, grant.route)
}

/// Counts who signed what a request carries, as one who signs the request itself: take it as `Extension<Meter>`.
#[derive(Debug, Clone)]
pub struct Meter {
    grant: &'static Grant,
    /// What proved who asks.
    pub proof: Proof,
    verdict: Arc<OnceLock<Verdict>>,
}

impl Meter {
    /// For a request of this line of the table.
    pub fn new(grant: &'static Grant) -> Self {
        Self {
            grant,
            proof: Proof::Nothing,
            verdict: Arc::default(),
        }
    }

    /// Whether what `signer` says is counted: not where the operator brings it, who is not, and not where the request is
    /// the same signer's, which counted already.
    fn counts(&self, signer: &Principal) -> bool {
        match (&self.proof, signer) {
            (Proof::Token, _) => false,
            (Proof::Signature(did), Principal::Key(key)) => did != key,
            _ => true,
        }
    }

    /// Whether whoever signed a statement about `agent` said too much here already. Nothing is counted yet: anybody reads
    /// what is signed, and may bring it again.
    pub async fn look(
        &self,
        app: &Shared,
        remote: &Remote,
        signer: &Principal,
        agent: &str,
    ) -> Result<(), Problem> {
        if !self.counts(signer) {
            return Ok(());
        }
        let quotas = app.config.access.quotas();
        let verdict = app.limiter.look(&self.bucket(signer, agent), quotas).await;
        // One request carries one statement.
        let _ = self.verdict.set(verdict);
        let mut counter = Counter::new(app, self.grant, remote);
        let who = principal::text(signer).unwrap_or_default();
        counter.judge(verdict, counter.event_of(&who))
    }

    /// Counts a statement that was recorded.
    pub async fn count(&self, app: &Shared, signer: &Principal, agent: &str) {
        if !self.counts(signer) {
            return;
        }
        let quotas = app.config.access.quotas();
        app.limiter.take(&self.bucket(signer, agent), quotas).await;
    }

    /// What was said of it, if it was asked.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict.get().copied()
    }

    /// A key is its agent's. An account may have many agents, and is counted for each of them apart.
    fn bucket(&self, signer: &Principal, agent: &str) -> String {
        let who = principal::text(signer).unwrap_or_default();
        match signer {
            Principal::Key(_) => endpoint(self.grant, &who),
            // Look-ups fold the case of hex digits.
            _ => endpoint(self.grant, &format!("{who} {}", agent.to_ascii_lowercase())),
        }
    }
}

/// Tells what is left.
pub fn tell(response: &mut Response, verdict: &Verdict) {
    let (mut policy, mut left) = (String::new(), String::new());
    for (i, window) in verdict.left.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        let (name, quota, seconds) = (window.window, window.quota, window.seconds);
        let _ = write!(policy, "{comma}\"{name}\";q={quota};w={seconds}");
        let (remaining, reset) = (window.remaining, window.reset_seconds);
        let _ = write!(left, "{comma}\"{name}\";r={remaining};t={reset}");
    }
    for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
}
