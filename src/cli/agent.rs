//! `chancery agent`: what the instance knows of agents, and what owners, their agents and the operator say.

mod beat;
mod bounds;
mod describe;
mod gasless;
mod history;
mod hosted;
mod kept;
mod list;
mod operator;
mod owner;
mod register;
mod send;
mod signing;
mod status;
mod view;

use clap::{Subcommand, builder::NonEmptyStringValueParser};
use kernel::Kind;

use super::{
    Context,
    client::{Client, segment},
    exit::Failure,
};

/// The verbs of `agent`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register an agent: build its registration file, send the transaction, wait for the result
    Register(Box<register::Args>),
    /// Say something about an agent by a statement that its key or its owner signs, without gas
    #[command(subcommand)]
    Say(signing::Command),
    /// Say that an agent lives, by a heartbeat that its key signs; with --every again and again
    Beat(beat::Args),
    /// Show an agent
    Show(Which),
    /// List agents, newest first
    List(list::Args),
    /// Show an agent's status history, newest first
    History(history::Args),
    /// Show an agent's status, or set it
    Status(status::Args),
    /// Suspend an agent, with a reason, as this instance's operator
    Suspend(operator::Suspend),
    /// Lift a suspension, as this instance's operator
    Admit(operator::Admit),
    /// Set whether an agent takes work, as this instance's operator
    Load(operator::SetLoad),
    /// Name another registration file, on the agent's chain
    Edit(Box<owner::Edit>),
    /// Show the agent's wallet, set it with its consent, or take it away
    Wallet(owner::Wallet),
    /// Hand the agent over to another owner, on its chain
    Transfer(owner::Transfer),
    /// End an agent: its status becomes TERMINATED, on its chain
    Deregister(status::Deregister),
}

/// Which agent.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// <chain>:<agentId>, UUID, DID or eip155:<chain>:<registry>/<agentId>
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    id: String,
}

impl Which {
    /// Where the API has it.
    fn path(&self) -> String {
        format!("v1/agents/{}", segment(&self.id))
    }
}

/// Runs the verb.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Register(args) => register::run(*args, context).await,
        Command::Say(command) => signing::run(command, context).await,
        Command::Beat(args) => beat::run(args, context).await,
        Command::Show(which) => show(&which, context).await,
        Command::List(args) => list::run(args, context).await,
        Command::History(args) => history::run(&args, context).await,
        Command::Status(args) => status::run(args, context).await,
        Command::Suspend(args) => operator::suspend(&args, context).await,
        Command::Admit(args) => operator::admit(&args, context).await,
        Command::Load(args) => operator::load(&args, context).await,
        Command::Edit(args) => owner::edit(*args, context).await,
        Command::Wallet(args) => owner::wallet(args, context).await,
        Command::Transfer(args) => owner::transfer(args, context).await,
        Command::Deregister(args) => status::run(args.into(), context).await,
    }
}

async fn show(which: &Which, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let (value, agent) = find(&client, which).await?;
    Ok(context.output.one(&value, || agent.fields())?)
}

/// The agent, as it was given and as it is shown.
async fn find(
    client: &Client<'_>,
    which: &Which,
) -> Result<(serde_json::Value, view::Agent), Failure> {
    let value = client
        .get(&which.path())
        .await
        .map_err(|error| match error {
            Failure::Of(Kind::NotFound, _) => {
                Failure::not_found(format!("no agent {} is known here", which.id))
            }
            other => other,
        })?;
    let agent = view::Agent::read(client, &value)?;
    Ok((value, agent))
}

/// A chain's id from `--chain`: a number, a well-known name, or the instance's own name for it.
async fn chain_id(client: &Client<'_>, chain: &str) -> Result<u64, Failure> {
    if let Ok(id) = chain.parse() {
        return Ok(id);
    }
    if let Some(preset) = chain::preset::by_name(chain) {
        return Ok(preset.id);
    }
    let sync = client.get("v1/sync").await?;
    let chains = sync["chains"].as_array().map(Vec::as_slice);
    let named = chains.unwrap_or_default().iter().find(|known| {
        known["name"]
            .as_str()
            .is_some_and(|name| name.eq_ignore_ascii_case(chain))
    });
    named
        .and_then(|known| known["chain"].as_u64())
        .ok_or_else(|| Failure::invalid(format!("--chain {chain}: no chain of this name is known")))
}
