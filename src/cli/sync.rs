//! `chancery sync`.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;

use super::{Context, client::Client, show};

/// The verbs of `sync`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Show each chain's head, how far it is read and settled, and what is wrong
    Status,
}

/// A chain as `/v1/sync` shows it.
#[derive(Debug, Deserialize)]
struct Row {
    /// Unknown while the chain could not be opened.
    chain: Option<u64>,
    name: String,
    /// Unknown where this instance does not follow it.
    state: Option<String>,
    head: Option<i64>,
    settled: Option<i64>,
    source_head: Option<i64>,
    lag: Option<i64>,
    error: Option<String>,
}

impl Row {
    fn id(&self) -> String {
        self.chain
            .map_or_else(|| "-".to_owned(), |chain| chain.to_string())
    }
}

/// Runs the verb.
pub async fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    let Command::Status = command;
    let client = Client::of(context)?;
    let answer = client.get("v1/sync").await?;
    let chains: Vec<Row> =
        serde_json::from_value(answer["chains"].clone()).map_err(|_| client.stranger())?;
    Ok(context.output.one(&answer, || human(&answer, &chains))?)
}

fn human(answer: &Value, chains: &[Row]) -> String {
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let rows: Vec<Vec<String>> = chains
        .iter()
        .map(|chain| {
            vec![
                chain.id(),
                chain.name.clone(),
                chain.state.clone().unwrap_or_else(|| "-".to_owned()),
                number(chain.source_head),
                number(chain.head),
                number(chain.lag),
                number(chain.settled),
            ]
        })
        .collect();
    let mut lines = Vec::new();
    if rows.is_empty() {
        lines.push("no chain is indexed".to_owned());
    } else {
        let heads = ["CHAIN", "NAME", "STATE", "HEAD", "READ", "LAG", "SETTLED"];
        lines.push(show::table(&heads, &rows, 1));
    }
    for chain in chains {
        if let Some(error) = &chain.error {
            lines.push(format!(
                "{} {}: {}",
                chain.id(),
                show::clean(&chain.name),
                show::clean(error)
            ));
        }
    }
    let journal = &answer["journal"];
    lines.push(format!(
        "{} agents; journal: {} sealed, {} queued",
        answer["agents"], journal["size"], journal["queued"]
    ));
    lines.join("\n")
}
