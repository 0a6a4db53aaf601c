//! The sealed journal in the form that other people's tools verify (c2sp.org/tlog-tiles).

use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use journal::{
    log,
    tile::{TILE_WIDTH, TilePath},
};
use kernel::sha256;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Code, FOR_EVER, Path, Problem, Shared, conditional};

/// A head is the newest one for a moment.
const A_MOMENT: &str = "public, max-age=1";

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(checkpoint))
        .routes(routes!(vkey))
        .routes(routes!(tile))
}

/// The newest signed tree head (c2sp.org/tlog-checkpoint).
#[utoipa::path(
    get, path = "/audit/checkpoint", tag = "journal",
    responses(
        (status = OK, body = String, content_type = "text/plain"),
        (status = NOT_FOUND, body = Problem, description = "Nothing is sealed yet"),
    ),
)]
async fn checkpoint(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    let head = log::head(&app.db).await?;
    let head = head.ok_or_else(|| Problem::new(Code::NotFound, "nothing is sealed yet"))?;
    let tag = hex::encode(&sha256(head.note.as_bytes())[..16]);
    let kind = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, A_MOMENT),
    ];
    Ok(conditional(&headers, &tag, (kind, head.note)))
}

/// The key that verifies checkpoints, in the text form of c2sp.org/signed-note.
#[utoipa::path(
    get, path = "/audit/vkey", tag = "journal",
    responses((status = OK, body = String, content_type = "text/plain")),
)]
async fn vkey(State(app): State<Shared>) -> Response {
    let kind = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (kind, format!("{}\n", app.sealer.vkey())).into_response()
}

/// A tile or an entry bundle: `<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]` (c2sp.org/tlog-tiles).
#[utoipa::path(
    get, path = "/audit/tile/{*path}", tag = "journal",
    params(("path" = String, Path, description = "`0/000.p/17`, `entries/x001/234`, ...")),
    responses(
        (status = OK, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = BAD_REQUEST, body = Problem),
        (status = NOT_FOUND, body = Problem),
    ),
)]
async fn tile(State(app): State<Shared>, Path(path): Path<String>) -> Result<Response, Problem> {
    let path: TilePath = format!("tile/{path}")
        .parse()
        .map_err(|error| Problem::new(Code::NotFound, format!("{error}")))?;
    let size = log::head(&app.db).await?.map_or(0, |head| head.size);
    if !implied(path, size) {
        let detail = format!("a log of {size} entries has no {path}");
        return Err(Problem::new(Code::NotFound, detail));
    }
    let bytes = match path {
        TilePath::Hashes {
            level,
            index,
            width,
        } => log::tile(&app.db, level, index, width).await?,
        TilePath::Entries { index, width } => log::entry_bundle(&app.db, index, width).await?,
    };
    let kind = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, FOR_EVER),
    ];
    Ok((kind, bytes).into_response())
}

/// Whether a log of `size` entries has the file. Narrower ones than the newest checkpoint implies are
/// served too: somebody may hold an older checkpoint, and their bytes are those of the wider one.
fn implied(path: TilePath, size: u64) -> bool {
    let (level, index, width) = match path {
        TilePath::Hashes {
            level,
            index,
            width,
        } => (level, index, width),
        TilePath::Entries { index, width } => (0, index, width),
    };
    let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
    let end = index
        .checked_mul(TILE_WIDTH)
        .and_then(|first| first.checked_add(width.into()));
    end.is_some_and(|end| end <= hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of c2sp.org/tlog-tiles.
    #[test]
    fn a_log_of_70_000_entries() {
        let has = |path: &str| implied(path.parse().unwrap(), 70_000);
        for path in [
            "tile/0/272",
            "tile/0/273.p/112",
            "tile/1/000",
            "tile/1/001.p/17",
            "tile/2/000.p/1",
        ] {
            assert!(has(path), "{path}");
        }
        for path in [
            "tile/0/273",
            "tile/0/273.p/113",
            "tile/1/001.p/18",
            "tile/2/000",
            "tile/3/000.p/1",
            "tile/63/000.p/1",
        ] {
            assert!(!has(path), "{path}");
        }
        assert!(!implied(
            "tile/0/x018/x446/x744/x073/x709/x551/615".parse().unwrap(),
            u64::MAX - 1
        ));
    }
}
