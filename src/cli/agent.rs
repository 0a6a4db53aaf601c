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
    show,
};

/// The verbs of `agent`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Register an agent: build its registration file, send the transaction, wait for the result
    Register(Box<register::Args>),
    /// Say something about an agent by a statement that its key or its owner signs, without gas
    #[command(subcommand)]
    Say(signing::Command),
    /// Say that an agent lives, by a heartbeat that its key or its wallet signs; with --every again and again
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
    let token = (
        agent.chain,
        agent.registry.as_deref().unwrap_or_default(),
        agent.agent_id.as_deref().unwrap_or_default(),
    );
    if !may_name(&which.id, token) {
        let why = format!(
            "the instance answered with {} where {} was asked for",
            agent.short(),
            show::clean(&which.id)
        );
        return Err(Failure::Unverified(why));
    }
    Ok((value, agent))
}

/// Whether a name is that of a token (chain, registry, agentId), as far as the name itself says of which one it is: who
/// signs something about `1:5` shall not sign it about `1:6`.
fn may_name(name: &str, (chain, registry, id): (Option<u64>, &str, &str)) -> bool {
    let name = name.to_lowercase();
    let parts = if let Some(rest) = name.strip_prefix("did:nft:eip155:") {
        rest.split_once("_erc721:")
    } else {
        let rest = name.strip_prefix("eip155:").unwrap_or(&name);
        rest.split_once(':')
    };
    let Some((named_chain, rest)) = parts else {
        return true;
    };
    let (named_registry, named_id) = match rest.rsplit_once(['_', '/']) {
        Some((registry, id)) => (Some(registry), id),
        None => (None, rest),
    };
    let is_number = !named_id.is_empty() && named_id.bytes().all(|byte| byte.is_ascii_digit());
    let Some(named_chain) = named_chain.parse::<u64>().ok().filter(|_| is_number) else {
        return true;
    };
    let plain = |digits: &str| digits.trim_start_matches('0').to_owned();
    chain == Some(named_chain)
        && plain(id) == plain(named_id)
        && named_registry.is_none_or(|named| registry.eq_ignore_ascii_case(named))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_token_names_no_other() {
        let registry = "0x8004A169FB4a3325136EB29fA0ceB6D2e539a432";
        let may = |name: &str| may_name(name, (Some(1), registry, "50"));
        for name in [
            "1:50",
            "1:050",
            "eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/50",
            "did:nft:eip155:1_erc721:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432_50",
            // What says nothing of a token.
            "b29284c6-ba90-5385-979c-867b535e883d",
            "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK",
            "did:web:example.com:8004",
            "did:pkh:eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432",
            "agdns:0123",
            "ada.eth",
        ] {
            assert!(may(name), "{name}");
        }
        for name in [
            "1:5",
            "1:500",
            "8453:50",
            "eip155:1:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432/51",
            "eip155:1:0x00000000000000000000000000000000000000aa/50",
            "did:nft:eip155:8453_erc721:0x8004a169fb4a3325136eb29fa0ceb6d2e539a432_50",
        ] {
            assert!(!may(name), "{name}");
        }
        assert!(!may_name("1:0", (None, "", "")), "it has no token");
    }
}
