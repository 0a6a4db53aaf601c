//! How the anchoring of checkpoints stands.

use axum::{extract::State, http::HeaderMap, response::Response};
use chrono::{DateTime, Utc};
use journal::{
    log,
    publication::{self, State as Published},
};
use publish::anchor::{self, Standing};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Problem, Query, Shared, paging};

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show))
}

/// What may be asked besides.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// A size, such as that of the head in the contract: the answer then has the proof that the newest
    /// checkpoint goes on from there.
    from: Option<u64>,
}

/// How anchoring stands.
#[derive(Debug, Serialize, ToSchema)]
struct Anchoring {
    /// `off`, `empty`, `current`, `waiting`, `sent`, `mined`, `budget_spent`, `failing` or `refused`.
    state: &'static str,
    /// What a person should know of the state.
    why: Option<String>,
    /// Where heads are anchored; null where nothing ever was.
    place: Option<Place>,
    /// The newest checkpoint that is anchored in a settled block.
    anchored: Option<Anchored>,
    /// The transaction that is on its way.
    sent: Option<Anchored>,
    /// What anchors of the last 24 hours cost at most, in gwei.
    spent_gwei: u64,
    /// When whoever anchors looked last.
    looked_at: Option<DateTime<Utc>>,
    /// The newest checkpoint, a signed note.
    checkpoint: Option<String>,
    /// Hashes (hex) that prove that the checkpoint goes on from the size `from` (RFC 9162 §2.1.4).
    proof: Option<Vec<String>>,
}

/// Where heads are anchored.
#[derive(Debug, Serialize, ToSchema)]
struct Place {
    /// EIP-155 id.
    chain: u64,
    /// The `AuditAnchor` contract.
    contract: String,
    /// The account whose head it is.
    keeper: String,
    /// The journal's name there: sha2-256 of its verifier key as text.
    journal: String,
    /// The contract's head when it was read last.
    head: Option<Head>,
}

/// A head in the contract.
#[derive(Debug, Serialize, ToSchema)]
struct Head {
    /// Entries.
    size: u64,
    /// Root (hex).
    root: String,
    /// Block time of its last anchor.
    time: Option<DateTime<Utc>>,
}

/// A checkpoint and its transaction.
#[derive(Debug, Serialize, ToSchema)]
struct Anchored {
    /// Entries.
    size: u64,
    /// The transaction.
    tx: String,
}

impl From<&Standing> for Place {
    fn from(standing: &Standing) -> Self {
        let head = standing.head.map(|head| Head {
            size: head.size,
            root: hex::encode(head.root),
            time: DateTime::from_timestamp(head.time.cast_signed(), 0),
        });
        Self {
            chain: standing.chain,
            contract: standing.contract.to_string(),
            keeper: standing.keeper.to_string(),
            journal: standing.journal.to_string(),
            head,
        }
    }
}

/// How the anchoring of checkpoints on chain stands.
#[utoipa::path(
    get, path = "/audit/anchor", tag = "journal", params(Asked),
    responses(
        (status = OK, body = Anchoring),
        (status = BAD_REQUEST, body = Problem, description = "`from` is beyond the newest checkpoint"),
    ),
)]
async fn show(
    State(app): State<Shared>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let standing = anchor::standing(&app.db).await?;
    let anchored = publication::latest(&app.db, Published::Anchored).await?;
    let head = log::head(&app.db).await?;
    let proof = match asked.from {
        None => None,
        Some(from) => {
            let size = head.as_ref().map_or(0, |head| head.size);
            let hashes = log::consistency(&app.db, from, size).await?;
            Some(hashes.iter().map(hex::encode).collect())
        }
    };
    let said = standing.as_ref();
    // The process that cannot ask the anchor says so itself, whatever was written down before.
    let (state, why) = match (app.unanchored(), said) {
        (Some(why), _) => (anchor::State::Failing.as_str(), Some(why)),
        (None, Some(standing)) => (standing.state.as_str(), standing.why.clone()),
        (None, None) => ("off", None),
    };
    Ok(paging::json(
        &headers,
        &Anchoring {
            state,
            why,
            place: said.map(Place::from),
            anchored: anchored.map(|anchored| Anchored {
                size: anchored.size,
                tx: anchored.reference,
            }),
            sent: said
                .and_then(|standing| standing.open.clone())
                .map(|(size, tx)| Anchored { size, tx }),
            spent_gwei: said.map_or(0, |standing| standing.spent_gwei),
            looked_at: said.map(|standing| standing.looked_at),
            checkpoint: head.map(|head| head.note),
            proof,
        },
    ))
}
