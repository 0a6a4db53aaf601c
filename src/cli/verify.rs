//! `chancery verify BUNDLE`: reads one file, and asks a node only where told to.

use std::path::PathBuf;

use chain::{At, Limits, Rpc, RpcError};
use journal::vkey::VerifierKey;
use serde_json::json;
use url::Url;

use super::{Context, exit::Failure, input, show};
use crate::bundle::{self, MOST_BYTES, Report};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What `prove` wrote; - reads it from stdin
    #[arg(value_name = "BUNDLE")]
    file: PathBuf,
    /// The journal's key that you trust, as /audit/vkey shows it [default: the bundle's own,
    /// which is printed as what must be trusted]
    #[arg(long, value_name = "KEY")]
    vkey: Option<String>,
    /// A node that you trust, to ask whether the chain has the bundle's blocks; else nothing is asked
    #[arg(long, value_name = "URL")]
    rpc: Option<String>,
}

/// What a node said of the bundle's blocks.
struct Asked {
    place: String,
    /// The newest block that is final, where the node tells it.
    finalized: Option<u64>,
}

/// Runs the verb.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let vkey = args.vkey.as_deref().map(str::trim);
    if let Some(vkey) = vkey {
        let key: Result<VerifierKey, _> = vkey.parse();
        key.map_err(|error| Failure::invalid(format!("--vkey: {error}")))?;
    }
    let bytes = input::read(&args.file, MOST_BYTES).map_err(|error| {
        Failure::invalid(format!("cannot read {}: {error}", args.file.display()))
    })?;
    let report = bundle::check(&bytes, vkey)
        .map_err(|wrong| not_verified(&show::clean(&wrong.to_string())))?;
    let asked = match &args.rpc {
        Some(url) => Some(ask(url, &report).await?),
        None => None,
    };
    let mut value = json!({ "verified": true, "report": report });
    value["rpc"] = asked
        .as_ref()
        .map(|asked| json!({ "place": asked.place, "finalized": asked.finalized }))
        .into();
    Ok(context
        .output
        .one(&value, || human(&report, asked.as_ref()))?)
}

fn not_verified(why: &str) -> Failure {
    Failure::Unverified(format!("NOT verified: {why}"))
}

/// Whether a node's chain has the blocks.
async fn ask(url: &str, report: &Report) -> Result<Asked, Failure> {
    let url = Url::parse(url).map_err(|error| Failure::invalid(format!("--rpc: {error}")))?;
    if report.blocks.is_empty() {
        return Err(not_verified(
            "the bundle holds no header that a node could know",
        ));
    }
    let failed = |error: RpcError| Failure::Of(error.kind(), format!("--rpc: {error}"));
    let rpc = Rpc::connect(url, Limits::default()).await.map_err(failed)?;
    let place = rpc.place();
    for block in &report.blocks {
        if rpc.chain() != block.chain {
            let why = format!(
                "--rpc: {place} serves the chain {}, not {}",
                rpc.chain(),
                block.chain
            );
            return Err(Failure::invalid(why));
        }
        let known = rpc.block(At::Number(block.number)).await.map_err(failed)?;
        let (number, hash) = (block.number, block.hash);
        match known {
            Some(known) if known.hash == hash => {}
            Some(known) => {
                return Err(not_verified(&format!(
                    "the header of block {number}: {place} has {}, the bundle {hash}",
                    known.hash
                )));
            }
            None => {
                let why = format!("--rpc: {place} does not know block {number}");
                return Err(Failure::unavailable(why));
            }
        }
    }
    let finalized = rpc.block(At::Finalized).await.ok().flatten();
    Ok(Asked {
        place,
        finalized: finalized.map(|header| header.number),
    })
}

fn human(report: &Report, asked: Option<&Asked>) -> String {
    let agent = report.agent.to_string();
    let token = report.token.as_deref().map(show::clean);
    let mut lines = vec![
        format!("verified  {}", token.unwrap_or_else(|| agent.clone())),
        format!("agent     {agent}"),
        format!("size      {} bytes", report.size),
        "\nWhat was proven, step by step:".to_owned(),
    ];
    for step in &report.steps {
        lines.push(format!("  {:<9} {}", step.part, show::clean(&step.says)));
    }
    lines.push("\nThe record, and what each field rests on:".to_owned());
    lines.push(record(report));
    if !report.missing.is_empty() {
        lines.push("\nWhat is missing:".to_owned());
    }
    for missing in &report.missing {
        let (what, why) = (show::clean(&missing.what), show::clean(&missing.why));
        lines.push(format!("  {what}: {why}"));
    }
    lines.push("\nWhat must still be trusted:".to_owned());
    lines.extend(trust(report, asked));
    lines.join("\n")
}

fn record(report: &Report) -> String {
    let widest = report.fields.iter().map(|field| field.name.len()).max();
    let widest = widest.unwrap_or_default();
    let lines = report.fields.iter().map(|field| {
        let rests_on: Vec<&str> = field.rests_on.iter().map(|basis| basis.as_str()).collect();
        let rests_on = match rests_on.join(", ") {
            nothing if nothing.is_empty() => "claimed only".to_owned(),
            basis => basis,
        };
        let value = field.value.as_deref().unwrap_or("none");
        let name = show::clean(&field.name);
        format!(
            "  {name:<widest$}  {rests_on:<29}  {}",
            show::cut(value, 70)
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn trust(report: &Report, asked: Option<&Asked>) -> Vec<String> {
    let mut lines = Vec::new();
    for block in &report.blocks {
        let finalized = asked.and_then(|asked| asked.finalized);
        let checked = match asked {
            None => "check it with --rpc URL".to_owned(),
            Some(asked) if finalized.is_some_and(|height| height >= block.number) => {
                format!("{} has it, and it is final", asked.place)
            }
            Some(asked) => format!("{} has it, and it is not final yet", asked.place),
        };
        lines.push(format!(
            "  that block {} of chain {} has the hash {}: {checked}",
            block.number, block.chain, block.hash
        ));
    }
    if let Some(contract) = report.contract {
        lines.push(format!(
            "  that {contract} is the contract in which this agent's status is said"
        ));
    }
    if let Some(log) = &report.log {
        let whose = if log.trusted {
            "it is the one that you gave"
        } else {
            "compare it with the one that its operator publishes, and give it with --vkey"
        };
        lines.push(format!("  the key {}: {whose}", show::clean(&log.vkey)));
        for (what, named) in [("manifest", &log.manifest), ("anchor", &log.anchor)] {
            if let Some(named) = named {
                let named = show::clean(named);
                lines.push(format!(
                    "  the {what} {named}: named by the bundle, not checked here"
                ));
            }
        }
    }
    if report.fields.iter().any(|field| field.rests_on.is_empty()) {
        lines.push("  the instance, for the fields that are claimed only".to_owned());
    }
    lines
}
