//! Proving again what is stored of a chain, piece by piece.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use indexer::{Verifier, view};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{Code, Json, Problem, Query, Shared, paging};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(ranges))
        .routes(routes!(verify))
}

/// Which chain's ranges.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct OfChain {
    /// EIP-155 id.
    chain: u64,
}

/// What is proven of a chain's blocks.
#[derive(Debug, Serialize, ToSchema)]
struct Ranges {
    /// The highest ranges, from the head down; neighbours of one level are one.
    ranges: Vec<Range>,
    /// Whether there are more below.
    more: bool,
}

/// Blocks of one level.
#[derive(Debug, Serialize, ToSchema)]
struct Range {
    /// First block.
    from: i64,
    /// Last block.
    to: i64,
    /// `reported`, `agreed`, `bloom`, `proven` or `finalized`.
    level: String,
}

/// Blocks to prove again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// EIP-155 id.
    chain: u64,
    /// First block.
    from: i64,
    /// Last block; at most 1,024 blocks at once.
    to: i64,
}

/// What came of it.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Verified {
    /// EIP-155 id.
    chain: u64,
    /// First block.
    from: i64,
    /// Last block.
    to: i64,
    /// How far the blocks were proven this time; null where they could not be.
    #[schema(required)]
    level: Option<String>,
    /// Logs that were stored otherwise than the blocks have them. They are put right.
    incidents: Vec<Incident>,
    /// How many of these were not known before; they are journaled.
    new: usize,
    /// Why the blocks could not be proven. Nothing was changed then.
    #[schema(required)]
    problem: Option<String>,
}

/// A log that was stored wrongly.
#[derive(Debug, Serialize, ToSchema)]
struct Incident {
    /// Height of its block.
    block: u64,
    /// Its index in the block.
    log_index: u32,
    /// `lost_log`, `extra_log`, `altered_log` or `reordered_log`.
    kind: &'static str,
}

/// What is proven of a chain's blocks, range by range
#[utoipa::path(get, path = "/v1/sync/ranges", tag = "health", params(OfChain),
    responses((status = OK, body = Ranges), (status = BAD_REQUEST, body = Problem)))]
async fn ranges(
    State(app): State<Shared>,
    headers: HeaderMap,
    Query(OfChain { chain }): Query<OfChain>,
) -> Result<Response, Problem> {
    let most = 200;
    let mut found = view::ranges(&app.db, chain, most + 1).await?;
    let more = found.len() > most;
    found.truncate(most);
    let range = |view: view::LevelView| Range {
        from: view.from,
        to: view.to,
        level: view.level,
    };
    let ranges = found.into_iter().map(range).collect();
    Ok(paging::json(&headers, &Ranges { ranges, more }))
}

/// Prove blocks again, from another provider where there are several. What is stored otherwise than the
/// blocks have it is put right, and journaled as an incident
#[utoipa::path(post, path = "/v1/sync/verify", tag = "health", request_body = Wanted,
    responses(
    (status = OK, body = Verified),
    (status = BAD_REQUEST, body = Problem, description = "too many blocks, or some that are not read yet"),
    (status = UNAUTHORIZED, body = Problem),
    (status = NOT_FOUND, body = Problem, description = "this process does not read the chain from a node"),
    (status = SERVICE_UNAVAILABLE, body = Problem, description = "no provider answers"),
))]
async fn verify(
    State(app): State<Shared>,
    Json(wanted): Json<Wanted>,
) -> Result<Response, Problem> {
    let Wanted { chain, from, to } = wanted;
    let Some(verifier) = app.chains.verifier(chain) else {
        let why = format!("this process does not read chain {chain} from a node");
        return Err(Problem::new(Code::NotFound, why));
    };
    let standing = indexer::standing(&app.db, chain).await?;
    let first = view::start(&app.db, chain).await?.unwrap_or_default();
    if from > to || from < first || to > standing.head || to - from >= Verifier::MOST {
        let why = format!(
            "blocks {from}..{to}: give at most {} of the blocks {first}..{}",
            Verifier::MOST,
            standing.head
        );
        return Err(Problem::new(Code::Invalid, why));
    }
    let mut answer = Verified {
        chain,
        from,
        to,
        ..Verified::default()
    };
    match verifier.verify(from, to).await {
        Ok(proven) => {
            let incident = |one: &indexer::Incident| Incident {
                block: one.block_number,
                log_index: one.log_index,
                kind: one.word(),
            };
            answer.level = Some(proven.range.proof.level.as_str().to_owned());
            answer.incidents = proven.incidents.iter().map(incident).collect();
            answer.new = proven.new;
        }
        Err(error @ (indexer::Error::Unproven { .. } | indexer::Error::OtherFork { .. })) => {
            answer.problem = Some(error.to_string());
        }
        Err(error) => return Err(error.into()),
    }
    Ok(axum::Json(answer).into_response())
}
