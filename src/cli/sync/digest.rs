//! `chancery sync verify --digest`.

use serde::Deserialize;

use crate::cli::{Context, client::Client, show};

/// The answer of `/v1/sync/digest`.
#[derive(Debug, Deserialize)]
struct Digests {
    digest: String,
    tables: Vec<Part>,
    journal: Part,
}

/// The digest of a table, or of the journal.
#[derive(Debug, Deserialize)]
struct Part {
    name: String,
    rows: u64,
    digest: String,
}

/// Asks for the digests and prints them.
pub async fn run(context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?.patient()?.known()?;
    let answer = client.get("v1/sync/digest").await?;
    let digest: Digests = serde_json::from_value(answer.clone()).map_err(|_| client.stranger())?;
    Ok(context.output.one(&answer, || human(&digest))?)
}

/// Digests are printed whole, after the names: two of these texts are equal or not.
fn human(digest: &Digests) -> String {
    let parts = digest.tables.iter().chain([&digest.journal]);
    let lines: Vec<String> = parts
        .map(|part| {
            let (name, digest) = (show::clean(&part.name), show::clean(&part.digest));
            format!("{digest}  {name} ({} rows)", part.rows)
        })
        .collect();
    format!(
        "{}\n{}  everything",
        lines.join("\n"),
        show::clean(&digest.digest)
    )
}
