//! `chancery verify BUNDLE`: reads one file, and asks a node only where told to.

use std::{collections::BTreeSet, path::PathBuf};

use chain::{At, Rpc, anchor::Taken};
use identity::statement::{AskedAt, Spoken};
use serde_json::json;

use super::{
    Context,
    exit::Failure,
    input, show,
    trusted::{self, node_failed},
};
use crate::bundle::{self, Anchored, Block, MOST_BYTES, Report};

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
    /// A node that you trust, to ask whether its chain has the bundle's blocks and anchor; may be given
    /// once for each chain. Else nothing is asked
    #[arg(long, value_name = "URL")]
    rpc: Vec<String>,
}

/// A node, whose chain has all that the bundle says of it.
struct Asked {
    place: String,
    chain: u64,
    /// The newest block that is final, where the node tells it.
    finalized: Option<u64>,
    /// The block in which the anchor was mined, if the anchor is on this chain.
    anchored_in: Option<u64>,
}

/// Runs the verb.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let vkey = args.vkey.as_deref().map(str::trim);
    vkey.map(trusted::key).transpose()?;
    let bytes = input::read(&args.file, MOST_BYTES).map_err(|error| {
        Failure::invalid(format!("cannot read {}: {error}", args.file.display()))
    })?;
    let report = bundle::check(&bytes, vkey)
        .map_err(|wrong| not_verified(&show::clean(&wrong.to_string())))?;
    let mut asked = Vec::new();
    for url in &args.rpc {
        asked.push(ask(url, &report).await?);
    }
    let nodes = asked.iter().map(|node| {
        json!({
            "place": node.place, "chain": node.chain, "finalized": node.finalized,
            "anchored_in": node.anchored_in,
        })
    });
    let value = json!({
        "verified": true, "report": report, "rpc": nodes.collect::<Vec<_>>(),
    });
    Ok(context.output.one(&value, || human(&report, &asked))?)
}

fn not_verified(why: &str) -> Failure {
    Failure::Unverified(format!("NOT verified: {why}"))
}

/// Whether a node's chain has what the bundle says of it.
async fn ask(url: &str, report: &Report) -> Result<Asked, Failure> {
    let blocks = report.blocks.iter().map(|block| block.chain);
    let anchor = report.anchor.iter().map(|anchor| anchor.chain);
    let chains: BTreeSet<u64> = blocks.chain(anchor).collect();
    if chains.is_empty() {
        return Err(not_verified(
            "the bundle holds neither header nor anchor that a node could know",
        ));
    }
    let rpc = trusted::node(url).await?;
    if !chains.contains(&rpc.chain()) {
        let named: Vec<String> = chains.iter().map(u64::to_string).collect();
        return Err(Failure::invalid(format!(
            "--rpc: {} serves the chain {}, and the bundle speaks of {}",
            rpc.place(),
            rpc.chain(),
            named.join(" and ")
        )));
    }
    let of_chain = |block: &&Block| block.chain == rpc.chain();
    for block in report.blocks.iter().filter(of_chain) {
        has(&rpc, block).await?;
    }
    let anchor = report.anchor.filter(|anchor| anchor.chain == rpc.chain());
    let anchored_in = match &anchor {
        Some(anchor) => Some(took(&rpc, anchor).await?),
        None => None,
    };
    let finalized = rpc.block(At::Finalized).await.ok().flatten();
    Ok(Asked {
        place: rpc.place(),
        chain: rpc.chain(),
        finalized: finalized.map(|header| header.number),
        anchored_in,
    })
}

/// Whether the node's chain has the block.
async fn has(rpc: &Rpc, block: &Block) -> Result<(), Failure> {
    let (number, hash, place) = (block.number, block.hash, rpc.place());
    match rpc
        .block(At::Number(number))
        .await
        .map_err(|error| node_failed(&error))?
    {
        Some(known) if known.hash == hash => Ok(()),
        Some(known) => Err(not_verified(&format!(
            "the header of block {number}: {place} has {}, the bundle {hash}",
            known.hash
        ))),
        None => {
            let why = format!("--rpc: {place} does not know block {number}");
            Err(Failure::unavailable(why))
        }
    }
}

/// The block in which the contract took the head.
async fn took(rpc: &Rpc, anchor: &Anchored) -> Result<u64, Failure> {
    let (tx, place) = (anchor.tx, rpc.place());
    let Some(receipt) = rpc.receipt(tx).await.map_err(|error| node_failed(&error))? else {
        let why = format!("--rpc: {place} does not know the anchor's transaction {tx}");
        return Err(Failure::unavailable(why));
    };
    let taken = chain::anchor::taken(&receipt, anchor.contract);
    let meant = Taken {
        keeper: anchor.keeper,
        journal: anchor.journal,
        size: anchor.size,
        root: anchor.root,
    };
    if receipt.tx == tx && taken.contains(&meant) {
        return Ok(receipt.block_number);
    }
    Err(not_verified(&format!(
        "the part `anchor`: by {place}, transaction {tx} did not make {} take the head that the bundle names",
        anchor.contract
    )))
}

fn human(report: &Report, asked: &[Asked]) -> String {
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
        let basis = field.rests_on.iter().map(|basis| basis.as_str());
        let rests_on: Vec<&str> = basis.chain(field.signed.then_some("signed")).collect();
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

fn trust(report: &Report, asked: &[Asked]) -> Vec<String> {
    let mut lines = Vec::new();
    for block in &report.blocks {
        let node = asked.iter().find(|node| node.chain == block.chain);
        lines.push(format!(
            "  that block {} of chain {} has the hash {}: {}",
            block.number,
            block.chain,
            block.hash,
            checked(node, block.number)
        ));
    }
    if let Some(contract) = report.contract {
        lines.push(format!(
            "  that {contract} is the contract in which this agent's status is said"
        ));
    }
    lines.extend(report.statements.iter().flat_map(speakers));
    if let Some(log) = &report.log {
        let whose = if log.trusted {
            "it is the one that you gave"
        } else {
            "compare it with the one that its operator publishes, and give it with --vkey"
        };
        lines.push(format!("  the key {}: {whose}", show::clean(&log.vkey)));
        if let Some(manifest) = &log.manifest {
            let manifest = show::clean(manifest);
            lines.push(format!(
                "  the manifest {manifest}: named by the bundle, not checked here"
            ));
        }
    }
    if let Some(anchor) = &report.anchor {
        let node = asked.iter().find(|node| node.chain == anchor.chain);
        let block = node.and_then(|node| node.anchored_in).unwrap_or_default();
        lines.push(format!(
            "  that transaction {} on chain {} anchored {} entries, and that {} holds the heads of {}: {}",
            anchor.tx,
            anchor.chain,
            anchor.size,
            anchor.contract,
            anchor.keeper,
            checked(node, block)
        ));
    }
    lines.push(since(report));
    if report.fields.iter().any(|field| field.rests_on.is_empty()) {
        lines.push("  the instance, for the fields that are claimed only".to_owned());
    }
    lines
}

/// What of a statement's signers the file does not show.
fn speakers(spoken: &Spoken) -> impl Iterator<Item = String> {
    let cause = show::clean(&spoken.cause);
    spoken.by.iter().filter_map(move |one| {
        let by = show::clean(&one.by);
        match (one.contract, one.right) {
            (Some(AskedAt { block, hash }), _) => Some(format!(
                "  that the contract wallet {by} signed {cause}: only its chain can tell, and is said to have done so \
                 at block {block}, {hash}"
            )),
            (None, None) => Some(format!(
                "  that {by}, who signed {cause}, may speak for the agent: no entry here shows it"
            )),
            (None, Some(_)) => None,
        }
    })
}

/// Nothing in a file shows that nothing came after it.
fn since(report: &Report) -> String {
    let block = report.blocks.iter().max_by_key(|block| block.number);
    let block = block.map(|block| format!("block {} of chain {}", block.number, block.chain));
    let leaf = report
        .log
        .as_ref()
        .map(|log| format!("leaf {}", log.newest));
    let places: Vec<String> = block.into_iter().chain(leaf).collect();
    format!(
        "  that nothing more was said of the agent after {}",
        places.join(" and ")
    )
}

/// What a node had to say of something in this block.
fn checked(node: Option<&Asked>, block: u64) -> String {
    match node {
        None => "check it with --rpc URL".to_owned(),
        Some(node) if node.finalized.is_some_and(|height| height >= block) => {
            format!("{} has it, and it is final", node.place)
        }
        Some(node) => format!("{} has it, and it is not final yet", node.place),
    }
}
