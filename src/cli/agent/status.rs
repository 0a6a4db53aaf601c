//! `chancery agent status`.

use std::path::PathBuf;

use chain::registry;
use identity::fact::RuntimeStatus;
use kernel::{Address, U256};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Which,
    bounds::{Bounds, Callee},
    find, list,
    send::{self, Action, Waiting},
    view::{Agent, Change, Entry},
};
use crate::cli::{
    Context,
    client::Client,
    exit::Failure,
    key,
    show::{clean, fields, time, who},
};

/// Arguments of `agent status`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Set it to this: ACTIVE, SLEEP, TERMINATED
    #[arg(value_parser = list::status)]
    status: Option<RuntimeStatus>,
    /// Why
    #[arg(long, value_name = "TEXT", requires = "status")]
    reason: Option<String>,
    /// Say it in the chain's AgentStatus contract, as the agent's owner, instead of in this
    /// instance's record
    #[arg(long, requires = "status")]
    on_chain: bool,
    /// The key of the owner, operator or agent wallet
    #[arg(long, value_name = "FILE", requires = "on_chain")]
    key: Option<PathBuf>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    bounds: Bounds,
}

/// Arguments of `agent deregister`.
#[derive(Debug, Clone, clap::Args)]
pub struct Deregister {
    #[command(flatten)]
    which: Which,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// The key of the owner, operator or agent wallet
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    bounds: Bounds,
}

impl From<Deregister> for Args {
    fn from(args: Deregister) -> Self {
        Self {
            which: args.which,
            status: Some(RuntimeStatus::Terminated),
            reason: args.reason,
            on_chain: true,
            key: args.key,
            waiting: args.waiting,
            bounds: args.bounds,
        }
    }
}

/// Reads it or sets it.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let (_, agent) = find(&client, &args.which).await?;
    match args.status {
        None => read(&args.which, &agent, &client, context).await,
        Some(status) if args.on_chain => on_chain(&args, &agent, status, &client, context).await,
        Some(status) => {
            let body = json!({ "status": status.as_str(), "reason": args.reason });
            let path = format!("{}/status", args.which.path());
            let answer = client.put(&path, &body).await?;
            let entry = Entry::deserialize(&answer["entry"]).ok();
            let agent = Agent::read(&client, &answer)?;
            Ok(context
                .output
                .one(&answer, || changed(&agent, entry.as_ref(), None))?)
        }
    }
}

async fn read(
    which: &Which,
    agent: &Agent,
    client: &Client<'_>,
    context: &Context,
) -> anyhow::Result<()> {
    let path = format!("{}/history", which.path());
    let newest = client.list(&path, &[], Some(1)).await?.items;
    let change = newest
        .first()
        .and_then(|item| Change::deserialize(item).ok());
    let value = json!({
        "agent": agent.short(),
        "id": agent.id,
        "runtime_status": agent.runtime_status,
        "liveness": agent.liveness,
        "admin_status": agent.admin_status,
        "load": agent.load,
        "last_change": newest.first(),
    });
    Ok(context.output.one(&value, || {
        let since = change
            .as_ref()
            .map(|change| format!("{} UTC", time(change.changed_at)));
        fields(&[
            ("agent", Some(agent.short())),
            ("status", Some(clean(&agent.runtime_status))),
            ("since", since),
            ("who", change.as_ref().map(|change| who(&change.who))),
            (
                "why",
                change
                    .and_then(|change| change.reason)
                    .as_deref()
                    .map(clean),
            ),
            ("alive", Some(clean(&agent.liveness))),
            ("admin", Some(clean(&agent.admin_status))),
            ("load", Some(clean(&agent.load))),
        ])
    })?)
}

/// Says it in the contract, and waits.
async fn on_chain(
    args: &Args,
    agent: &Agent,
    status: RuntimeStatus,
    client: &Client<'_>,
    context: &Context,
) -> anyhow::Result<()> {
    let (chain, registry, id) = token(agent)?;
    let Some(file) = &args.key else {
        return Err(key::missing(client, Some(chain), "saying it on the chain")
            .await
            .into());
    };
    let signer = key::read(file)?;
    let reason = args.reason.as_deref().unwrap_or_default();
    let action = Action {
        json: json!({
            "kind": "set_status", "agent": args.which.id, "status": status.as_str(),
            "reason": reason,
        }),
        data: registry::set_status(registry, id, code(status), reason),
        chain: Some(chain),
        callee: Callee::Status,
    };
    let ready = send::prepare(client, &signer, &action, &args.bounds).await?;
    eprintln!("{}", ready.preview());
    let sent = ready.send(client, &signer).await?;
    let progress = sent.wait(client, args.waiting).await?;
    let (value, agent) = find(client, &args.which).await?;
    if progress.indexed && agent.runtime_status != status.as_str() {
        // A block's time has no fractions: an act of the same second may stand after it.
        eprintln!(
            "the chain says {}, but a fact that stands later holds: see `chancery agent history {}`",
            status.as_str(),
            agent.short()
        );
    }
    let entry = progress.entries.first();
    let value = with(value, &[("tx", json!(sent.tx)), ("entry", json!(entry))]);
    Ok(context
        .output
        .one(&value, || changed(&agent, entry, Some(&sent.tx)))?)
}

fn changed(agent: &Agent, entry: Option<&Entry>, tx: Option<&str>) -> String {
    fields(&[
        ("agent", Some(agent.short())),
        ("status", Some(clean(&agent.runtime_status))),
        ("tx", tx.map(str::to_owned)),
        ("entry", entry.map(|entry| clean(&entry.cid))),
        ("", entry.map(|entry| clean(&entry.state))),
    ])
}

pub fn with(mut value: Value, more: &[(&str, Value)]) -> Value {
    for (name, part) in more {
        value[*name] = part.clone();
    }
    value
}

/// Where the contract finds the agent.
pub fn token(agent: &Agent) -> Result<(u64, Address, U256), Failure> {
    let parts = (|| {
        let registry = agent.registry.as_deref()?.parse().ok()?;
        let id = U256::from_str_radix(agent.agent_id.as_deref()?, 10).ok()?;
        Some((agent.chain?, registry, id))
    })();
    parts.ok_or_else(|| {
        let why = format!(
            "{} has no token: nothing can be said of it on a chain",
            agent.short()
        );
        Failure::invalid(why)
    })
}

/// The contract's word for it (`AgentStatus.sol`).
fn code(status: RuntimeStatus) -> u8 {
    match status {
        RuntimeStatus::Active => 0,
        RuntimeStatus::Sleep => 1,
        RuntimeStatus::Terminated => 2,
    }
}
