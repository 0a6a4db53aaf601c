//! What was seen of those who asked, for the operator.

use access::audit_log::{self, EventType, Filter};
use axum::{
    extract::{OriginalUri, State},
    http::HeaderMap,
    response::Response,
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Code, Problem, Query, Shared, paging,
    schema::{self, ListOf},
};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only of this sort: authentication, api_key_created, api_key_updated, api_key_revoked, rate_limit_exceeded or
    /// agent_registered.
    event_type: Option<String>,
    /// Only of this client.
    client_id: Option<String>,
    /// Only with this key.
    key_id: Option<String>,
    /// Only what was done, or only what was not.
    success: Option<bool>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Most items, 1 to 200; 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Who proved himself, failed to, made keys or asked too often, newest first. Addresses and programs are forgotten after
/// some days (`access.ip_days`).
#[utoipa::path(
    get, path = "/v1/audit-logs", tag = "access", params(Wanted),
    responses(
        (status = OK, body = ListOf<schema::AuditEvent>),
        (status = BAD_REQUEST, body = Problem),
    ),
)]
async fn list(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let cursor = paging::number(wanted.cursor.as_deref())?;
    let known = EventType::ALL.map(EventType::as_str);
    if let Some(kind) = &wanted.event_type
        && !known.contains(&kind.as_str())
    {
        let detail = format!("event_type is one of {}", known.join(", "));
        return Err(Problem::new(Code::Invalid, detail));
    }
    let filter = Filter {
        event_type: wanted.event_type,
        client_id: wanted.client_id,
        key_id: wanted.key_id,
        success: wanted.success,
    };
    let page = audit_log::list(&app.db, &filter, cursor, paging::limit(wanted.limit)?).await?;
    Ok(paging::listed(&headers, &uri, &page))
}
