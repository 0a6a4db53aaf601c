//! The journal's own name on IPFS: what it stands for now, its signed record, and files below it. Other names
//! are not looked up.

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use chrono::{DateTime, Utc};
use content::ipns::Name;
use publish::layout::{self, Layout, TTL};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Code, Path, Problem, Query, Shared, conditional, ipfs, paging};

/// Media type of a record (IANA).
const RECORD: &str = "application/vnd.ipfs.ipns-record";

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(own))
        .routes(routes!(name))
        .routes(routes!(file_below))
}

/// What the journal's name stands for.
#[derive(Serialize, ToSchema)]
struct Named {
    /// The name, `/ipns/<name>` on any gateway.
    name: String,
    /// CID of the directory that it stands for now.
    root: String,
    /// How many entries of the journal the directory covers; also the record's sequence.
    size: u64,
    /// Until when the record is valid; a new one is signed long before.
    valid_until: DateTime<Utc>,
}

/// In which form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    /// `ipns-record` for the signed record, as with `Accept`.
    format: Option<String>,
}

/// The journal's own name, and what it stands for.
#[utoipa::path(
    get, path = "/ipns", tag = "ipfs",
    responses((status = OK, body = Named), (status = NOT_FOUND, body = Problem, description = "No agent is published yet")),
)]
async fn own(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    let own = app.name_key.name()?;
    Ok(paging::json(
        &headers,
        &named(&own, &published(&app).await?),
    ))
}

/// What a name stands for; with `Accept: application/vnd.ipfs.ipns-record` or `format=ipns-record` the signed
/// record, which anybody can verify and pass on.
#[utoipa::path(
    get, path = "/ipns/{name}", tag = "ipfs",
    params(("name" = String, Path), ("format" = Option<String>, Query, description = "`ipns-record`")),
    responses(
        (status = OK, content((Named = "application/json"), (Vec<u8> = "application/vnd.ipfs.ipns-record"))),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn name(
    State(app): State<Shared>,
    headers: HeaderMap,
    Path(name): Path<String>,
    Query(form): Query<Form>,
) -> Result<Response, Problem> {
    let (name, layout) = resolve(&app, &name).await?;
    let mut response = in_form(&headers, &form, &name, layout)?;
    let vary = HeaderValue::from_static("accept");
    response.headers_mut().append(header::VARY, vary);
    Ok(response)
}

fn in_form(
    headers: &HeaderMap,
    form: &Form,
    name: &Name,
    layout: Layout,
) -> Result<Response, Problem> {
    let accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains(RECORD));
    match form.format.as_deref() {
        None if !accepted => return Ok(paging::json(headers, &named(name, &layout))),
        None | Some("ipns-record") => {}
        Some(other) => {
            let detail = format!("`{other}` is no format of a name: ipns-record is one");
            return Err(Problem::new(Code::Invalid, detail));
        }
    }
    let fields = [
        (header::CONTENT_TYPE, RECORD.to_owned()),
        (header::CACHE_CONTROL, cache()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.ipns-record\""),
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    let tag = hex::encode(&kernel::sha256(&layout.record)[..16]);
    Ok(conditional(headers, &tag, (fields, layout.record)))
}

/// The verified bytes of a file below what the name stands for, such as
/// `dukenet/agents/{id}/registration`.
#[utoipa::path(
    get, path = "/ipns/{name}/{*path}", tag = "ipfs",
    params(("name" = String, Path), ("path" = String, Path, description = "`dukenet/agents/<id>/registration`")),
    responses(
        (status = OK, content((Vec<u8> = "application/octet-stream"), (serde_json::Value = "application/json"))),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn file_below(
    State(app): State<Shared>,
    headers: HeaderMap,
    Path((name, path)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (_, layout) = resolve(&app, &name).await?;
    ipfs::serve(&app, &headers, &layout.root, &path, &cache()).await
}

async fn resolve(app: &Shared, name: &str) -> Result<(Name, Layout), Problem> {
    let name = Name::parse(name)?;
    let own = app.name_key.name()?;
    if name != own {
        let detail = format!("only the journal's own name is known here: {own}");
        return Err(Problem::new(Code::NotFound, detail));
    }
    Ok((name, published(app).await?))
}

async fn published(app: &Shared) -> Result<Layout, Problem> {
    let layout = layout::find(&app.db).await?;
    layout.ok_or_else(|| Problem::new(Code::NotFound, "no agent is published yet"))
}

fn named(name: &Name, layout: &Layout) -> Named {
    Named {
        name: name.to_string(),
        root: layout.root.to_string(),
        size: layout.size,
        valid_until: layout.valid_until,
    }
}

fn cache() -> String {
    format!("public, max-age={}", TTL.as_secs())
}
