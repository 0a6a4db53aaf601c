//! IPFS: storing bytes, where they are kept, and handing them out verified.

use axum::{
    Extension,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, header},
    response::Response,
};
use content::{Error, pin};
use kernel::Cid;
use serde::Serialize;
use store::Cause;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Caller, Code, FOR_EVER, Path, Problem, Shared, conditional, extract::Body, paging, schema,
};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(add))
        .routes(routes!(show))
        .routes(routes!(file))
        .routes(routes!(file_below))
        // The handler knows the limit: what is stored must be readable again.
        .layer(DefaultBodyLimit::max(net::HARD_MAX_BYTES))
}

/// What was stored.
#[derive(Serialize, ToSchema)]
struct Added {
    /// Its CID.
    cid: String,
    /// Bytes.
    size: usize,
    /// Where it is kept.
    #[schema(value_type = Vec<schema::Pin>)]
    pins: Vec<pin::Pin>,
}

/// Stores the body in the blockstore, and has Kubo pin it where one is configured. The same bytes
/// again are nothing new.
#[utoipa::path(
    post, path = "/v1/ipfs", tag = "ipfs",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = OK, body = Added),
        (status = BAD_REQUEST, body = Problem),
        (status = UNAUTHORIZED, body = Problem),
        (status = PAYLOAD_TOO_LARGE, body = Problem),
    ),
)]
async fn add(
    State(app): State<Shared>,
    Extension(Caller(principal)): Extension<Caller>,
    headers: HeaderMap,
    Body(bytes): Body,
) -> Result<Response, Problem> {
    let most = app
        .config
        .content
        .max_bytes
        .min(app.config.http.body_limit_bytes);
    if bytes.len() > most {
        let detail = format!("a file has at most {most} bytes (content.max_bytes)");
        return Err(Problem::new(Code::TooLarge, detail));
    }
    if bytes.is_empty() {
        return Err(Problem::new(
            Code::Invalid,
            "the body is empty: send the file's bytes",
        ));
    }
    let cid = app.content.add(&bytes).await?;
    let mut tx = app.db.begin(Cause::Request(principal)).await?;
    pin::want(&mut tx, &app.content, &[cid]).await?;
    tx.commit().await?;
    let pins = pin::find(&app.db, &cid).await?;
    Ok(paging::json(
        &headers,
        &Added {
            cid: cid.to_string(),
            size: bytes.len(),
            pins,
        },
    ))
}

/// Where a CID is kept.
#[derive(Serialize, ToSchema)]
struct Kept {
    /// The CID.
    cid: String,
    /// Whether our own blockstore has its block.
    local: bool,
    /// Where it is wanted, and how far that is.
    #[schema(value_type = Vec<schema::Pin>)]
    pins: Vec<pin::Pin>,
}

/// Where a CID is kept.
#[utoipa::path(
    get, path = "/v1/ipfs/{cid}", tag = "ipfs", params(("cid" = String, Path)),
    responses((status = OK, body = Kept), (status = BAD_REQUEST, body = Problem)),
)]
async fn show(
    State(app): State<Shared>,
    headers: HeaderMap,
    Path(cid): Path<String>,
) -> Result<Response, Problem> {
    let cid = content::parse_cid(&cid)?;
    let local = app.content.blocks().has(&cid);
    let pins = pin::find(&app.db, &cid).await?;
    Ok(paging::json(
        &headers,
        &Kept {
            cid: cid.to_string(),
            local,
            pins,
        },
    ))
}

/// The verified bytes of a file in our own blockstore. Only what an instance on this database pinned, or names by IPNS,
/// is fetched from Kubo or a gateway where another process has stored it.
#[utoipa::path(
    get, path = "/ipfs/{cid}", tag = "ipfs", params(("cid" = String, Path)),
    responses(
        (status = OK, content((Vec<u8> = "application/octet-stream"), (serde_json::Value = "application/json"))),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn file(
    State(app): State<Shared>,
    headers: HeaderMap,
    Path(cid): Path<String>,
) -> Result<Response, Problem> {
    let cid = content::parse_cid(&cid)?;
    serve(&app, &headers, &cid, "", FOR_EVER).await
}

/// The same for a file below a directory.
#[utoipa::path(
    get, path = "/ipfs/{cid}/{*path}", tag = "ipfs",
    params(("cid" = String, Path), ("path" = String, Path, description = "`a/b.json`")),
    responses(
        (status = OK, content((Vec<u8> = "application/octet-stream"), (serde_json::Value = "application/json"))),
        (status = BAD_REQUEST, body = Problem), (status = NOT_FOUND, body = Problem),
    ),
)]
async fn file_below(
    State(app): State<Shared>,
    headers: HeaderMap,
    Path((cid, path)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let cid = content::parse_cid(&cid)?;
    serve(&app, &headers, &cid, &path, FOR_EVER).await
}

/// Strangers wrote these bytes: whatever they are, a browser must not run them as ours.
const POLICY: &str = "default-src 'none'; sandbox";

/// The file at `path` below `cid`, which may be kept for as long as `cache` says.
pub(super) async fn serve(
    app: &Shared,
    headers: &HeaderMap,
    cid: &Cid,
    path: &str,
    cache: &str,
) -> Result<Response, Problem> {
    let path: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let file = match app.content.local(cid, &path).await {
        Err(Error::Missing(_)) if is_ours(app, cid).await? => app.content.find(cid, &path).await,
        read => read,
    };
    let file = file.map_err(|error| match error {
        Error::Missing(missing) => Problem::new(
            Code::NotFound,
            format!("block {missing} is not in our blockstore"),
        ),
        other => other.into(),
    })?;
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&file.bytes).is_ok();
    let kind = if is_json {
        "application/json"
    } else {
        "application/octet-stream"
    };
    let fields = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, cache),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok(conditional(
        headers,
        &file.cid.to_string(),
        (fields, file.bytes),
    ))
}

/// Whether somebody else is sure to have it from us. For strangers nothing is looked for.
async fn is_ours(app: &Shared, cid: &Cid) -> Result<bool, Problem> {
    let pins = pin::find(&app.db, cid).await?;
    if pins.iter().any(|pin| pin.state == "pinned") {
        return Ok(true);
    }
    let layout = publish::layout::find(&app.db).await?;
    Ok(layout.is_some_and(|layout| layout.root == *cid))
}
