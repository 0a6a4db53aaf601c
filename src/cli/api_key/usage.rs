//! `chancery key usage`: how often a key was used.

use clap::builder::PossibleValuesParser;
use serde_json::Value;

use super::day;
use crate::cli::{
    Context,
    client::{Client, segment},
    show::{listed_as, table},
    signer::Asking,
};

/// Arguments of `key usage`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The key's id, key_...
    id: String,
    /// Counted by the minute, which is kept for a day, or by the hour, for 90 days
    #[arg(long, value_name = "WINDOW", default_value = "hour", value_parser = PossibleValuesParser::new(["minute", "hour"]))]
    by: String,
    /// At most so many windows
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Prints them.
pub async fn run(client: &Client<'_>, args: Args, context: &Context) -> anyhow::Result<()> {
    let path = format!("v1/keys/{}/usage", segment(&args.id));
    let query = [("window_type", args.by)];
    let listed = client
        .list(&path, &query, Some(args.limit as usize))
        .await?;
    listed_as(context, &listed.items, || {
        let rows: Vec<Vec<String>> = listed.items.iter().map(row).collect();
        table(&["FROM (UTC)", "REQUESTS"], &rows, 0)
    })?;
    if listed.items.is_empty() {
        eprintln!("no requests: they are counted some seconds behind");
    }
    Ok(())
}

fn row(window: &Value) -> Vec<String> {
    let count = window["request_count"].as_i64().unwrap_or_default();
    vec![day(window, "window_start", "-"), count.to_string()]
}
