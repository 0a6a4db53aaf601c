//! `chancery up`.

use std::path::PathBuf;

use indexer::ChainConfig;

use super::Context;
use crate::{config::Flag, indexing::Feed, up};

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Index recorded logs instead of a chain
    #[arg(long, value_name = "FILE", conflicts_with = "rpc")]
    replay: Option<PathBuf>,
    /// Index a chain through its nodes: the best one is asked, the others where it fails and for second
    /// opinions. Without --rpc, --replay and configured chains, a dev chain is started
    #[arg(long, value_name = "URL[,URL]", value_delimiter = ',')]
    rpc: Vec<String>,
    /// The chain that the nodes must serve [default: what they say]
    #[arg(long, value_name = "NAME|ID", requires = "rpc")]
    chain: Option<String>,
    /// The first block to index [default: the preset's, else where the registry begins]
    #[arg(long, value_name = "N", requires = "rpc")]
    from_block: Option<u64>,
    /// The identity registry to index [default: the preset's, else a known address]
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    registry: Vec<String>,
    /// Register real agents on the dev chain, once, to look around
    #[arg(long, conflicts_with_all = ["rpc", "replay"])]
    demo: bool,
    /// Where the API listens [default: 127.0.0.1:8004]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Args {
    /// The chains that these flags name.
    fn feeds(self) -> anyhow::Result<Vec<Feed>> {
        if let Some(file) = self.replay {
            return Ok(vec![Feed::Replay {
                file,
                registries: self.registry,
            }]);
        }
        if self.rpc.is_empty() {
            if !self.registry.is_empty() {
                let why =
                    "--registry needs --rpc or --replay: the dev chain has its own".to_owned();
                return Err(crate::Error::from(indexer::Error::Invalid(why)).into());
            }
            return Ok(Vec::new());
        }
        Ok(vec![Feed::Node(ChainConfig {
            chain: self.chain,
            rpc: self.rpc,
            registries: self.registry,
            from_block: self.from_block,
            ..ChainConfig::default()
        })])
    }
}

/// Runs until a signal.
pub async fn run(mut args: Args, context: &Context) -> anyhow::Result<()> {
    let flags = args
        .listen
        .take()
        .map(|listen| Flag::new("http.listen", listen));
    let gathered = context.gather(flags.into_iter().collect())?;
    let options = up::Options {
        demo: args.demo,
        feeds: args.feeds()?,
    };
    let output = context.output;
    up::run(gathered.config, &context.environment, options, |ready| {
        // Whoever started us may have closed stdout; we serve all the same.
        let _ = output.one(ready, || human(ready, &context.environment.program()));
    })
    .await?;
    Ok(())
}

fn human(ready: &up::Ready, program: &str) -> String {
    let url = &ready.url;
    let mut lines = vec![
        format!("Chancery answers at {url}"),
        format!("  docs   {url}/docs"),
        format!("  data   {}", ready.data_dir.display()),
    ];
    lines.extend(ready.rpc.as_ref().map(|rpc| format!("  chain  {rpc}")));
    if ready.demo {
        lines.push(format!(
            "\nTry, in another terminal:\n  \
             curl {url}/v1/agents/31337:2\n  \
             curl '{url}/v1/agents?status=SLEEP'\n  \
             curl {url}/audit/checkpoint\n  \
             {program} --url {url} agent show 31337:2\n  \
             {program} --url {url} agent history 31337:2\n  \
             {program} --url {url} audit prove 31337:2 > agent.proof && {program} audit verify agent.proof"
        ));
    }
    lines.join("\n")
}
