//! API keys: everybody who proved who he is makes them for himself, the operator for anybody.

use std::time::Duration;

use access::{
    audit_log::{self, Event, EventType},
    key::{self, Filter, NewKey},
    principal, usage,
};
use axum::{
    Extension,
    extract::{OriginalUri, State},
    http::HeaderMap,
    response::Response,
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use journal::{Change, NewEntry};
use kernel::Principal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Cause, Tx};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Code, Json, Path, Problem, Query, Shared, grants,
    guard::{Proof, Remote},
    paging,
    schema::{self, ListOf},
    sessions::kept_by_nobody,
};

/// How long an old key holds beside its successor, unless told.
const OVERLAP: Duration = Duration::from_hours(24);

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, revoke))
        .routes(routes!(rotate))
        .routes(routes!(used))
}

/// Which keys.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only this client's.
    client_id: Option<String>,
    /// Only those that are (`false`) or are not (`true`) revoked.
    active: Option<bool>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Most items, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Your keys, newest first; the operator sees all.
#[utoipa::path(
    get, path = "/v1/keys", tag = "access", params(Wanted),
    responses(
        (status = OK, body = ListOf<schema::ApiKey>),
        (status = BAD_REQUEST, body = Problem),
    ),
)]
async fn list(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let cursor = paging::number(wanted.cursor.as_deref())?;
    let filter = Filter {
        principal: caller.owner(),
        client_id: wanted.client_id,
        active: wanted.active,
    };
    let page = key::list(&app.db, &filter, cursor, paging::limit(wanted.limit)?).await?;
    Ok(paging::listed(&headers, &uri, &page))
}

/// What a key is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyWish {
    /// What it is for.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// What it may do, such as `agents:write`.
    #[serde(default)]
    scopes: Vec<String>,
    /// For whom it acts: `operator`, an address, `eip155:<chain>:<address>` of a contract wallet, a `did:key:...`, or
    /// `nobody` (a client that is nobody else). Absent: for you. The operator alone may name somebody else.
    principal: Option<String>,
    /// Whose it is, in your words. Absent: the principal's name.
    #[schema(min_length = 1, max_length = 64)]
    client_id: Option<String>,
    /// When it ends by itself: after 90 days at most, where the operator does not make it; and a key that asks makes none
    /// that outlives it. Absent: with that key or after 90 days, whichever comes first; the operator's never.
    expires_at: Option<DateTime<Utc>>,
    /// The same, counted from now.
    #[schema(minimum = 1)]
    expires_in_seconds: Option<u32>,
    /// Requests in a minute; 60 unless told. The operator alone may give more, and a key no more than it has.
    #[schema(minimum = 1)]
    rate_limit_per_minute: Option<i32>,
    /// Requests in an hour; 1000 unless told. The operator alone may give more, and a key no more than it has.
    #[schema(minimum = 1)]
    rate_limit_per_hour: Option<i32>,
    /// More about it.
    #[schema(max_length = 512)]
    description: Option<String>,
}

/// Makes a key. The answer is the only one that shows it.
#[utoipa::path(
    post, path = "/v1/keys", tag = "access", request_body = KeyWish,
    responses(
        (status = OK, body = schema::IssuedKey),
        (status = BAD_REQUEST, body = Problem),
        (status = CONFLICT, body = Problem, description = "You have too many keys, or the key that asks made too many"),
    ),
)]
async fn create(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Extension(proof): Extension<Proof>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    Json(wish): Json<KeyWish>,
) -> Result<Response, Problem> {
    let mut tx = app.db.begin(Cause::Request(caller.0.clone())).await?;
    let new = wish.check(&caller.0, &proof, tx.now())?;
    let issued = key::create(&mut tx, &new).await?;
    let event = seen(
        &caller,
        &proof,
        &remote,
        "POST /v1/keys",
        &issued.record.key_id,
    );
    told(&mut tx, &caller, EventType::ApiKeyCreated, vec![event]).await?;
    tx.commit().await?;
    app.keys.look_again();
    Ok(kept_by_nobody(paging::json(&headers, &issued)))
}

/// One key.
#[utoipa::path(
    get, path = "/v1/keys/{key}", tag = "access", params(schema::KeyName),
    responses(
        (status = OK, body = schema::ApiKey),
        (status = NOT_FOUND, body = Problem),
    ),
)]
async fn show(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(key_id): Path<String>,
) -> Result<Response, Problem> {
    let key = key::get(&app.db, &key_id, caller.owner().as_deref()).await?;
    Ok(paging::json(&headers, &key))
}

/// How long the old key holds.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Seconds for which the old key holds beside the new one; a day unless told, 30 days at most.
    #[schema(maximum = 2_592_000)]
    overlap_seconds: Option<u32>,
}

/// Gives a key a successor with the same rights; the key before it ends at once. Only this answer shows the new key.
#[utoipa::path(
    post, path = "/v1/keys/{key}/rotate", tag = "access", params(schema::KeyName), request_body = Rotation,
    responses(
        (status = OK, body = schema::RotatedKey),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "The key is over, has a successor, or you have too many"),
    ),
)]
async fn rotate(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Extension(proof): Extension<Proof>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    Path(key_id): Path<String>,
    Json(rotation): Json<Rotation>,
) -> Result<Response, Problem> {
    let old = key::get(&app.db, &key_id, caller.owner().as_deref()).await?;
    let quotas = (old.rate_limit_per_minute, old.rate_limit_per_hour);
    within(&proof, &old.scopes.0, quotas)?;
    let overlap = rotation
        .overlap_seconds
        .map_or(OVERLAP.as_secs(), u64::from);
    let overlap = TimeDelta::seconds(i64::try_from(overlap).unwrap_or(i64::MAX));
    let mut tx = app.db.begin(Cause::Request(caller.0.clone())).await?;
    let rotated = key::rotate(&mut tx, &key_id, overlap, asked_with(&proof)).await?;
    let action = "POST /v1/keys/{key}/rotate";
    let event = |of: &str, more: Value| Event {
        extra_metadata: Some(more),
        ..seen(&caller, &proof, &remote, action, of)
    };
    let successor = &rotated.issued.record.key_id;
    let turned = event(&key_id, json!({ "successor": successor }));
    let ended = rotated.ended.iter();
    let ended = ended.map(|ended| event(ended, json!({ "ended_by_rotating": key_id })));
    let events = std::iter::once(turned).chain(ended).collect();
    told(&mut tx, &caller, EventType::ApiKeyUpdated, events).await?;
    tx.commit().await?;
    app.keys.look_again();
    Ok(kept_by_nobody(paging::json(&headers, &rotated)))
}

/// A key that ended, and what ended with it.
#[derive(Serialize, ToSchema)]
struct Revoked {
    #[serde(flatten)]
    #[schema(value_type = super::schema::ApiKey)]
    key: key::ApiKey,
    /// Ids of the keys that were made with it, or with those, and that were in force.
    also_revoked: Vec<String>,
}

/// Ends a key, and those that were made with it: within a second no process takes them any more. The key that asks
/// stays, unless it is the one.
#[utoipa::path(
    delete, path = "/v1/keys/{key}", tag = "access", params(schema::KeyName),
    responses(
        (status = OK, body = Revoked),
        (status = NOT_FOUND, body = Problem),
    ),
)]
async fn revoke(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    Extension(proof): Extension<Proof>,
    Extension(remote): Extension<Remote>,
    headers: HeaderMap,
    Path(key_id): Path<String>,
) -> Result<Response, Problem> {
    let owner = caller.owner();
    key::get(&app.db, &key_id, owner.as_deref()).await?;
    let mut tx = app.db.begin(Cause::Request(caller.0.clone())).await?;
    let also_revoked = key::revoke(&mut tx, &key_id, asked_with(&proof)).await?;
    let event = |key_id: &str| seen(&caller, &proof, &remote, "DELETE /v1/keys/{key}", key_id);
    let with_it = also_revoked.iter().map(|other| Event {
        extra_metadata: Some(json!({ "revoked_with": key_id })),
        ..event(other)
    });
    let events = std::iter::once(event(&key_id)).chain(with_it).collect();
    told(&mut tx, &caller, EventType::ApiKeyRevoked, events).await?;
    tx.commit().await?;
    app.keys.look_again();
    let key = key::get(&app.db, &key_id, owner.as_deref()).await?;
    Ok(paging::json(&headers, &Revoked { key, also_revoked }))
}

/// Which windows.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Windows {
    /// `minute` (kept for a day) or `hour` (kept for 90); `hour` unless told.
    window_type: Option<String>,
    /// Most items, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// How often a key was used, newest window first. Counts are written some seconds behind.
#[utoipa::path(
    get, path = "/v1/keys/{key}/usage", tag = "access", params(schema::KeyName, Windows),
    responses(
        (status = OK, body = ListOf<schema::UsageWindow>),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem),
    ),
)]
async fn used(
    State(app): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(key_id): Path<String>,
    Query(windows): Query<Windows>,
) -> Result<Response, Problem> {
    let kind = windows.window_type.as_deref().unwrap_or("hour");
    if !["minute", "hour"].contains(&kind) {
        return Err(Problem::new(Code::Invalid, "window_type is minute or hour"));
    }
    let limit = paging::limit(windows.limit)?;
    key::get(&app.db, &key_id, caller.owner().as_deref()).await?;
    let items = usage::list(&app.db, &key_id, kind, limit).await?;
    let page = kernel::Page {
        items,
        next_cursor: None,
    };
    Ok(paging::json(&headers, &page))
}

impl KeyWish {
    /// The key that this caller may have made: within what he may do himself.
    fn check(
        self,
        caller: &Principal,
        proof: &Proof,
        now: DateTime<Utc>,
    ) -> Result<NewKey, Problem> {
        let known = grants::scopes();
        if let Some(strange) = self
            .scopes
            .iter()
            .find(|scope| !known.contains(&scope.as_str()))
        {
            let detail = format!(
                "there is no scope `{strange}`; there are {}",
                known.join(", ")
            );
            return Err(Problem::new(Code::Invalid, detail));
        }
        let expires_at = self.end(proof, now)?;
        let acts_for = match self.principal.as_deref() {
            None => Some(caller.clone()),
            Some(text) => named(text)?,
        };
        let (most_a_minute, most_an_hour) = quotas(proof);
        let per_minute = self.rate_limit_per_minute;
        let per_minute = per_minute.unwrap_or(key::PER_MINUTE.min(most_a_minute));
        let per_hour = self.rate_limit_per_hour;
        let per_hour = per_hour.unwrap_or(key::PER_HOUR.min(most_an_hour));
        if *caller != Principal::Operator {
            if acts_for.as_ref() != Some(caller) {
                let detail = "your keys act for you: the operator alone makes keys for others";
                return Err(Problem::new(Code::Denied, detail));
            }
            if per_minute > key::PER_MINUTE || per_hour > key::PER_HOUR {
                let detail = "the operator alone gives keys more requests than the usual ones";
                return Err(Problem::new(Code::Denied, detail));
            }
        }
        within(proof, &self.scopes, (per_minute, per_hour))?;
        Ok(NewKey {
            principal: acts_for,
            client_id: self.client_id,
            name: self.name,
            scopes: self.scopes,
            expires_at,
            per_minute,
            per_hour,
            created_by: caller.clone(),
            made_with: asked_with(proof).map(str::to_owned),
            description: self.description,
        })
    }

    /// When it is to end, if that is said: with the key that asks at the latest.
    fn end(&self, proof: &Proof, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Problem> {
        let in_seconds = self
            .expires_in_seconds
            .map(|seconds| now + TimeDelta::seconds(i64::from(seconds)));
        if in_seconds.is_some() && self.expires_at.is_some() {
            let detail = "expires_at or expires_in_seconds, not both";
            return Err(Problem::new(Code::Invalid, detail));
        }
        let wanted = self.expires_at.or(in_seconds);
        let last = proof.key().and_then(|key| key.expires_at);
        if let (Some(wanted), Some(last)) = (wanted, last)
            && wanted > last
        {
            let last = last.to_rfc3339_opts(SecondsFormat::Secs, true);
            let detail = format!("this API key ends at {last}: it makes none that outlives it");
            return Err(Problem::new(Code::Denied, detail));
        }
        Ok(wanted)
    }
}

/// Whom a key is to act for.
fn named(text: &str) -> Result<Option<Principal>, Problem> {
    if text == "nobody" {
        return Ok(None);
    }
    let address = match text.strip_prefix("eip155:") {
        Some(account) => of_chain(account),
        None => Some(text),
    };
    let is_address = address.is_some_and(|address| kernel::written_address(address).is_ok());
    if text == principal::OPERATOR || is_address {
        return Ok(Some(principal::parse(text)));
    }
    let is_key = text.strip_prefix("did:key:").is_some_and(|key| {
        did::methods::key::PublicKey::from_multibase(key).is_ok_and(|key| key.ed25519().is_some())
    });
    if is_key {
        return Ok(Some(Principal::Key(text.to_owned())));
    }
    let detail = "principal is `operator`, an address (mixed case is that of EIP-55), `eip155:<chain>:<address>` of a \
                  contract wallet, a did:key, or `nobody`";
    Err(Problem::new(Code::Invalid, detail))
}

/// The address in `<chain>:<address>` (CAIP-10 without its namespace), where the chain is written as ids are.
fn of_chain(account: &str) -> Option<&str> {
    let (chain, address) = account.split_once(':')?;
    let id: i64 = chain.parse().ok()?;
    (id > 0 && id.to_string() == chain).then_some(address)
}

/// The key that asks, if one does.
fn asked_with(proof: &Proof) -> Option<&str> {
    proof.key().map(|key| &*key.key_id)
}

/// The most requests in a minute and in an hour that whoever asks may give a key: those of the key that he asks with.
fn quotas(proof: &Proof) -> (i32, i32) {
    let most = |own: u32| i32::try_from(own).unwrap_or(i32::MAX);
    proof.key().map_or((i32::MAX, i32::MAX), |key| {
        (most(key.per_minute), most(key.per_hour))
    })
}

/// A key makes no key that may do more than itself, nor more often.
fn within(proof: &Proof, scopes: &[String], (minute, hour): (i32, i32)) -> Result<(), Problem> {
    let Some(key) = proof.key() else {
        return Ok(());
    };
    if let Some(scope) = scopes.iter().find(|scope| !key.scopes.contains(scope)) {
        let detail = format!("this API key lacks the scope `{scope}`, so it gives it to none");
        return Err(Problem::new(Code::Denied, detail));
    }
    let (most_a_minute, most_an_hour) = quotas(proof);
    if minute > most_a_minute || hour > most_an_hour {
        let detail = format!(
            "this API key has {most_a_minute} requests in a minute and {most_an_hour} in an hour: it gives none more"
        );
        return Err(Problem::new(Code::Denied, detail));
    }
    Ok(())
}

fn seen(caller: &Caller, proof: &Proof, remote: &Remote, action: &str, key_id: &str) -> Event {
    Event {
        client_id: principal::text(&caller.0),
        key_id: proof.key().map(|key| key.key_id.to_string()),
        resource_type: Some("api_key".to_owned()),
        resource_id: Some(key_id.to_owned()),
        ..remote.event(action)
    }
}

/// Notes what became of keys in the audit log, and tells of it in the journal: what sort of act, whose, and by which
/// digest the record is known. What else the record says stays with the operator.
async fn told(
    tx: &mut Tx,
    caller: &Caller,
    what: EventType,
    events: Vec<Event>,
) -> Result<(), Problem> {
    let principal = principal::text(&caller.0);
    let records = audit_log::write_salted(tx, what, events).await?;
    let changes = records.into_iter().map(|record| Change {
        column: record.event_type.clone(),
        value: json!({ "principal": principal, "digest": record.digest() }),
        cause: format!("audit:{}", record.id),
        time: record.created_at,
    });
    journal::append(tx, vec![NewEntry::act(changes.collect())]).await?;
    Ok(())
}
