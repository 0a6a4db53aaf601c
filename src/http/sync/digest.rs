//! What two instances of the same chains compare: digests of everything that follows from facts.

use axum::{extract::State, http::HeaderMap, response::Response};
use kernel::sha256;
use serde::Serialize;
use store::TableDigest;
use tokio::sync::Mutex;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::http::{Code, Problem, Shared, paging};

/// Held while a digest is made.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Digests of one moment.
#[derive(Serialize, ToSchema)]
struct Digests {
    /// SHA-256 over the lines `<name> <rows> <digest>` of the tables, in the order of their names, and of
    /// the journal, each with its line feed.
    digest: String,
    /// The tables, by name.
    tables: Vec<Part>,
    /// What the journal says: its changes net of retractions.
    journal: Part,
}

/// The digest of a part.
#[derive(Serialize, ToSchema)]
struct Part {
    /// Schema and table, or `journal`.
    name: String,
    /// Rows, or changes that are said.
    rows: u64,
    /// SHA-256 over the SHA-256 of each row, these in ascending order; 64 hex digits.
    digest: String,
}

impl Part {
    fn of(table: TableDigest) -> Self {
        Self {
            name: table.table,
            rows: table.rows,
            digest: hex::encode(table.digest),
        }
    }

    fn line(&self) -> String {
        format!("{} {} {}\n", self.name, self.rows, self.digest)
    }
}

/// Digests of all rows that follow from facts, and of what the journal says: equal on two instances that
/// saw the same facts. Every row is read for it, so it is the operator's.
#[utoipa::path(get, path = "/v1/sync/digest", tag = "health", responses(
    (status = OK, body = Digests),
    (status = TOO_MANY_REQUESTS, body = Problem, description = "another digest is being made"),
))]
async fn show(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    let Ok(_alone) = ALONE.try_lock() else {
        let why = "another digest is being made: one reads every row, so there is one at a time";
        return Err(Problem::new(Code::Limited, why));
    };
    let mut moment = app.db.snapshot().await?;
    let mut found = indexer::digest::tables(&mut moment).await?;
    found.extend(identity::digest::tables(&mut moment).await?);
    let said = journal::said::digest_set_in(&mut moment).await?;
    let tables: Vec<Part> = found.into_iter().map(Part::of).collect();
    let journal = Part {
        name: "journal".to_owned(),
        rows: said.changes,
        digest: hex::encode(said.digest),
    };
    let lines: String = tables.iter().chain([&journal]).map(Part::line).collect();
    let digest = Digests {
        digest: hex::encode(sha256(lines.as_bytes())),
        tables,
        journal,
    };
    Ok(paging::json(&headers, &digest))
}
