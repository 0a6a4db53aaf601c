//! `chancery agent list`.

use identity::fact::{LIVENESSES, LOADS, RuntimeStatus, SUSPENDED};
use kernel::Address;

use super::{chain_id, view::Agent};
use crate::cli::{
    Context,
    client::Client,
    show::{listed_as, short_address, table},
};

/// Arguments of `agent list`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Only those of this owner
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<Address>,
    /// Only those on this chain
    #[arg(long, value_name = "ID|NAME")]
    chain: Option<String>,
    /// Only those of this status: ACTIVE, SLEEP, TERMINATED
    #[arg(long, value_parser = status)]
    status: Option<RuntimeStatus>,
    /// Only those of this word of the operator's: ACTIVE, INACTIVE, SUSPENDED, or any; without it, and without --owner and
    /// --identifier, all but the suspended
    #[arg(long, value_name = "STATUS", ignore_case = true, value_parser = ["ACTIVE", "INACTIVE", "SUSPENDED", "any"])]
    admin_status: Option<String>,
    /// Only those that beat (active), beat no more (inactive) or never did (unknown)
    #[arg(long, ignore_case = true, value_parser = LIVENESSES)]
    liveness: Option<String>,
    /// Only those that take work, or take none: AVAILABLE, BUSY
    #[arg(long, ignore_case = true, value_parser = LOADS)]
    load: Option<String>,
    /// Only those with this text in their name or description
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,
    /// Only those with this capability, such as service:A2A or skill:translate
    #[arg(long, value_name = "NAME")]
    capability: Option<String>,
    /// Only those with this name, also where a file claims it (such as ada.eth) or an agent had it before
    #[arg(long, value_name = "NAME")]
    identifier: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// Reads a status; case does not matter.
pub fn status(word: &str) -> Result<RuntimeStatus, String> {
    RuntimeStatus::parse(word).ok_or_else(|| "expected ACTIVE, SLEEP or TERMINATED".to_owned())
}

/// Prints them.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let mut query = Vec::new();
    query.extend(args.owner.map(|owner| ("owner", owner.to_string())));
    if let Some(chain) = &args.chain {
        query.push(("chain", chain_id(&client, chain).await?.to_string()));
    }
    query.extend(
        args.status
            .map(|status| ("status", status.as_str().to_owned())),
    );
    query.extend(args.admin_status.map(|word| ("admin_status", word)));
    query.extend(args.liveness.map(|word| ("liveness", word)));
    query.extend(args.load.map(|word| ("load", word)));
    query.extend(args.query.map(|text| ("q", text)));
    query.extend(args.capability.map(|name| ("capability", name)));
    query.extend(args.identifier.map(|name| ("identifier", name)));
    let limit = (!args.all).then_some(args.limit as usize);
    let listed = client.list("v1/agents", &query, limit).await?;
    let agents = listed.items.iter().map(|item| Agent::read(&client, item));
    let agents: Vec<Agent> = agents.collect::<Result<_, _>>()?;
    listed_as(context, &listed.items, || human(&agents))?;
    if agents.is_empty() {
        eprintln!("no agents");
    } else if listed.more {
        eprintln!("there are more: --limit N or --all shows them");
    }
    Ok(())
}

fn human(agents: &[Agent]) -> String {
    let rows: Vec<Vec<String>> = agents
        .iter()
        .map(|agent| {
            vec![
                agent.short(),
                agent.name.clone(),
                status_of(agent),
                short_address(agent.owner_address.as_deref().unwrap_or("-")),
                agent.file(),
                proof(agent),
            ]
        })
        .collect();
    table(
        &["AGENT", "NAME", "STATUS", "OWNER", "FILE", "PROOF"],
        &rows,
        1,
    )
}

/// Its runtime status; that the operator suspended it matters as much.
fn status_of(agent: &Agent) -> String {
    if agent.admin_status == SUSPENDED {
        format!("{}, {SUSPENDED}", agent.runtime_status)
    } else {
        agent.runtime_status.clone()
    }
}

/// What the row rests on; that a registration was not seen matters more.
fn proof(agent: &Agent) -> String {
    if agent.complete {
        agent.level.clone().unwrap_or_default()
    } else {
        "incomplete".to_owned()
    }
}
