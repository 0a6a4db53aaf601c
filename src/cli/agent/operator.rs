//! What the operator says of an agent: whether it is suspended, and whether it takes work.

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::json;

use super::{
    Which, find,
    view::{Agent, Entry},
};
use crate::cli::{
    Context,
    client::Client,
    show::{clean, fields},
};

/// Arguments of `agent suspend`.
#[derive(Debug, Clone, clap::Args)]
pub struct Suspend {
    #[command(flatten)]
    which: Which,
    /// Why: it is told to everybody, and stands in the journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Arguments of `agent admit`.
#[derive(Debug, Clone, clap::Args)]
pub struct Admit {
    #[command(flatten)]
    which: Which,
    /// As what
    #[arg(long = "as", value_name = "STATUS", value_enum, ignore_case = true, default_value_t = Standing::Active)]
    standing: Standing,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Arguments of `agent load`.
#[derive(Debug, Clone, clap::Args)]
pub struct SetLoad {
    #[command(flatten)]
    which: Which,
    /// Whether it takes work
    #[arg(value_enum, ignore_case = true)]
    load: Load,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// What an agent is that is not suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Standing {
    Active,
    Inactive,
}

/// Whether an agent takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Load {
    Available,
    Busy,
}

/// Suspends it.
pub async fn suspend(args: &Suspend, context: &Context) -> anyhow::Result<()> {
    let to = ("admin_status", "SUSPENDED", Some(args.reason.as_str()));
    set(&args.which, to, context).await
}

/// Takes a suspension back.
pub async fn admit(args: &Admit, context: &Context) -> anyhow::Result<()> {
    let standing = match args.standing {
        Standing::Active => "ACTIVE",
        Standing::Inactive => "INACTIVE",
    };
    let to = ("admin_status", standing, args.reason.as_deref());
    set(&args.which, to, context).await
}

/// Sets whether it takes work.
pub async fn load(args: &SetLoad, context: &Context) -> anyhow::Result<()> {
    let load = match args.load {
        Load::Available => "AVAILABLE",
        Load::Busy => "BUSY",
    };
    let to = ("load", load, args.reason.as_deref());
    set(&args.which, to, context).await
}

/// Sets one of an agent's columns, whose path has its name.
async fn set(
    which: &Which,
    (column, value, reason): (&str, &str, Option<&str>),
    context: &Context,
) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    find(&client, which).await?;
    let path = format!("{}/{column}", which.path());
    let body = json!({ column: value, "reason": reason });
    let answer = client.put(&path, &body).await?;
    let entry = Entry::deserialize(&answer["entry"]).ok();
    let agent = Agent::read(&client, &answer)?;
    Ok(context
        .output
        .one(&answer, || changed(&agent, entry.as_ref()))?)
}

fn changed(agent: &Agent, entry: Option<&Entry>) -> String {
    fields(&[
        ("agent", Some(agent.short())),
        ("admin", Some(clean(&agent.admin_status))),
        ("load", Some(clean(&agent.load))),
        ("entry", entry.map(|entry| clean(&entry.cid))),
        ("", entry.map(|entry| clean(&entry.state))),
    ])
}
