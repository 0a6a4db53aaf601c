//! `chancery agent history`.

use serde::Deserialize;

use super::{Which, find, view::Change};
use crate::cli::{
    Context,
    client::Client,
    show::{listed_as, short_address, table, time, who},
};

/// Arguments of `agent history`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// At most so many changes
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Prints them.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    find(&client, &args.which).await?;
    let limit = (!args.all).then_some(args.limit as usize);
    let path = format!("{}/history", args.which.path());
    let listed = client.list(&path, &[], limit).await?;
    let changes = listed.items.iter().map(Change::deserialize);
    let changes: Vec<Change> = changes
        .collect::<Result<_, _>>()
        .map_err(|_| client.stranger())?;
    listed_as(context, &listed.items, || human(&changes))?;
    if listed.more {
        eprintln!("there are more: --limit N or --all shows them");
    }
    Ok(())
}

fn human(changes: &[Change]) -> String {
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| {
            vec![
                time(change.changed_at),
                change
                    .previous_status
                    .clone()
                    .unwrap_or_else(|| "-".to_owned()),
                change.new_status.clone(),
                short_address(&who(&change.who)),
                change.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(&["WHEN (UTC)", "FROM", "TO", "WHO", "WHY"], &rows, 4)
}
