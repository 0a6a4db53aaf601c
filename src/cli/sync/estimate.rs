//! `chancery sync estimate`: what reading a whole chain takes, asked of its node alone. How much of it watched
//! agents are, samples do not tell.

use chain::Sieve;
use indexer::{ChainConfig, Config, Estimate, Providers, discover};
use serde_json::json;

use crate::cli::{Context, show};

/// Arguments of `sync estimate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The node
    #[arg(long, value_name = "URL")]
    rpc: String,
    /// The chain that it must serve [default: what it says]
    #[arg(long, value_name = "NAME|ID")]
    chain: Option<String>,
    /// The first block to index [default: the preset's, else where the registry begins]
    #[arg(long, value_name = "N")]
    from_block: Option<u64>,
    /// The identity registry to index [default: the preset's, else a known address]
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    registry: Vec<String>,
}

/// Samples the chain and prints what it came to.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    // Installs the logger.
    context.gather(Vec::new())?;
    let config = ChainConfig {
        chain: args.chain.clone(),
        registries: args.registry.clone(),
        from_block: args.from_block,
        rpc: vec![args.rpc.clone()],
        ..ChainConfig::default()
    };
    let (name, place, estimate) = sampled(&config).await.map_err(crate::Error::from)?;
    let value = json!({ "chain": name, "provider": place, "estimate": estimate });
    Ok(context
        .output
        .one(&value, || human(&name, &place, &estimate))?)
}

async fn sampled(config: &ChainConfig) -> Result<(String, String, Estimate), indexer::Error> {
    let providers = Providers::connect(&Config::default(), config).await?;
    let found = discover(&providers, config, None).await?;
    let head = providers.head().await?.number;
    if found.start > head {
        return Err(indexer::Error::Invalid(format!(
            "the first block to index, {} (--from-block), is above the chain's head, block {head}",
            found.start
        )));
    }
    let rpc = providers.node()?;
    let sieve = Sieve::new(indexer::filter(&found.contracts));
    let estimate = indexer::estimate(&rpc, &sieve, found.start, head).await?;
    Ok((found.name, rpc.place(), estimate))
}

fn human(name: &str, place: &str, estimate: &Estimate) -> String {
    let cost = |cost: indexer::Cost| {
        let (calls, bytes) = (cost.calls, show::size(cost.bytes));
        format!("{calls} calls, {bytes}, {}", show::duration(cost.seconds))
    };
    let Estimate { from, to, logs, .. } = estimate;
    let (sampled, seen) = (estimate.sampled_blocks, estimate.sampled_logs);
    show::fields(&[
        ("chain", Some(show::clean(name))),
        ("provider", Some(show::clean(place))),
        ("blocks", Some(format!("{from}..{to}"))),
        ("scope", Some("all".to_owned())),
        (
            "logs",
            Some(format!("about {logs} ({seen} in {sampled} sampled blocks)")),
        ),
        ("read", Some(cost(estimate.read))),
        ("prove", Some(format!("{} more", cost(estimate.prove)))),
        ("disk", Some(show::size(estimate.disk_bytes))),
    ])
}
