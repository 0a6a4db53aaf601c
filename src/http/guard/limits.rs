//! Limits as HTTP tells them: `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-11), and 429.

use std::fmt::Write as _;

use access::{
    Known, Quotas, Verdict,
    address::of_one_caller,
    audit_log::{Event, EventType},
    origin::Origins,
};
use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};

use super::Remote;
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

    /// On the address of who asks. Programs on this machine share one, and are its owner's: they are not counted.
    pub async fn address(&mut self) -> Result<(), Problem> {
        let Some(ip) = self.remote.ip.filter(|ip| !ip.is_loopback()) else {
            return Ok(());
        };
        if !self.grant.is_counted() && !self.is_proof_sent {
            return Ok(());
        }
        let bucket = format!("{}:any", of_one_caller(ip));
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
        let bucket = format!("{did}:{} {}", self.grant.method, self.grant.route);
        let event = Event {
            client_id: Some(did.to_owned()),
            ..self.event()
        };
        let quotas = self.app.config.access.quotas();
        self.take(bucket, quotas, event).await
    }

    async fn take(&mut self, bucket: String, quotas: Quotas, event: Event) -> Result<(), Problem> {
        let verdict = self.app.limiter.take(&bucket, quotas).await;
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
