//! Journal entries, and the proofs of them.

use axum::{
    extract::{OriginalUri, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use journal::{bundle, publication, read};
use kernel::{AgentId, Kind, Page, from_dag_cbor};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Path, Problem, Query, Shared,
    history::id_of,
    paging::{self, Paging},
    schema::{self, ListOf},
};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(of_agent))
        .routes(routes!(show))
        .routes(routes!(proof))
}

/// An entry and its place.
#[derive(Debug, Serialize, ToSchema)]
pub struct Record {
    /// Order of appending.
    seq: i64,
    /// CIDv1 (dag-cbor, sha2-256) of its canonical bytes.
    cid: String,
    /// `agent`, `retracted`, `incident` or `act`.
    kind: &'static str,
    /// `queued`, `sealed`, `stored`, `pinned` or `anchored`.
    state: &'static str,
    /// Its leaf, once it is sealed.
    leaf_index: Option<u64>,
    /// When it was appended.
    appended_at: DateTime<Utc>,
    /// The entry itself: its canonical DAG-CBOR as JSON. `changes` are lists of column, value, cause
    /// and the change's own time.
    #[schema(value_type = schema::Entry)]
    entry: Value,
}

/// An entry with each step of its publication.
#[derive(Debug, Serialize, ToSchema)]
struct Published {
    #[serde(flatten)]
    record: Record,
    /// What covers it, lowest state first.
    publications: Vec<Publication>,
}

/// A state that a checkpoint over the entry came to.
#[derive(Debug, Serialize, ToSchema)]
struct Publication {
    /// The checkpoint's size.
    size: u64,
    /// `stored`, `pinned` or `anchored`.
    state: &'static str,
    /// The manifest's CID, or the anchoring transaction.
    reference: String,
}

impl TryFrom<read::Record> for Record {
    type Error = Problem;

    fn try_from(record: read::Record) -> Result<Self, Problem> {
        let entry = from_dag_cbor(&record.body).map_err(|error| {
            Problem::of(Kind::Internal, format!("entry {}: {error}", record.cid))
        })?;
        Ok(Self {
            seq: record.seq,
            cid: record.cid,
            kind: record.entry.kind.as_str(),
            state: record.state.as_str(),
            leaf_index: record.leaf_index,
            appended_at: record.appended_at,
            entry,
        })
    }
}

fn page_of(page: Page<read::Record>) -> Result<Page<Record>, Problem> {
    let Page { items, next_cursor } = page;
    let items = items
        .into_iter()
        .map(Record::try_from)
        .collect::<Result<_, _>>()?;
    Ok(Page { items, next_cursor })
}

/// All entries, newest first, queued ones included.
#[utoipa::path(
    get, path = "/v1/entries", tag = "journal", params(Paging),
    responses((status = OK, body = ListOf<Record>), (status = BAD_REQUEST, body = Problem)),
)]
async fn list(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let page = read::newest(&app.db, paging.cursor()?, paging.limit()?).await?;
    Ok(paging::listed(&headers, &uri, &page_of(page)?))
}

/// The entries that speak of an agent, newest first.
#[utoipa::path(
    get, path = "/v1/agents/{agent}/entries", tag = "agents", params(schema::AgentName, Paging),
    responses(
        (status = OK, body = ListOf<Record>),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn of_agent(
    State(app): State<Shared>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Response, Problem> {
    let agent = AgentId(id_of(&app, &name).await?);
    let page = read::by_agent(&app.db, agent, paging.cursor()?, paging.limit()?).await?;
    Ok(paging::listed(&headers, &uri, &page_of(page)?))
}

/// One entry, and how far it is published.
#[utoipa::path(
    get, path = "/v1/entries/{cid}", tag = "journal",
    params(("cid" = String, Path, description = "The entry's CID")),
    responses(
        (status = OK, body = Published),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn show(
    State(app): State<Shared>,
    headers: HeaderMap,
    Path(cid): Path<String>,
) -> Result<Response, Problem> {
    let record = read::get(&app.db, &cid).await?;
    let publications = match record.leaf_index {
        Some(leaf) => publication::of_leaf(&app.db, leaf).await?,
        None => Vec::new(),
    };
    let publications = publications
        .into_iter()
        .map(|one| Publication {
            size: one.size,
            state: one.state.as_str(),
            reference: one.reference,
        })
        .collect();
    Ok(paging::json(
        &headers,
        &Published {
            record: record.try_into()?,
            publications,
        },
    ))
}

/// A proof file (c2sp.org/tlog-proof) that shows, offline, that the entry is in the signed log.
#[utoipa::path(
    get, path = "/v1/entries/{cid}/proof", tag = "journal",
    params(("cid" = String, Path, description = "The entry's CID")),
    responses(
        (status = OK, body = String, content_type = "text/plain"),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem),
        (status = CONFLICT, body = Problem, description = "The entry is not sealed yet"),
    ),
)]
async fn proof(State(app): State<Shared>, Path(cid): Path<String>) -> Result<Response, Problem> {
    let text = bundle::prove(&app.db, &cid).await?;
    // A CID is letters and digits, or there was no entry.
    let name = format!("attachment; filename=\"{cid}.tlog-proof\"");
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-cache".to_owned()),
    ];
    Ok((headers, text).into_response())
}
