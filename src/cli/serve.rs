//! `chancery serve`.

use std::path::PathBuf;

use super::Context;
use crate::{
    config::Flag,
    indexing::Feed,
    serve::{self, Role},
};

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What this process does: api, index, work
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "ROLE[,ROLE]",
        default_value = "api,index,work"
    )]
    roles: Vec<Role>,
    /// Index recorded logs, besides the configured chains
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// The identity registry to index in that file [default: those that it has events of]
    #[arg(long, value_name = "ADDR", value_delimiter = ',', requires = "replay")]
    registry: Vec<String>,
    /// Where the API listens [default: 127.0.0.1:8004]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// Runs until a signal.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let flags = args.listen.map(|listen| Flag::new("http.listen", listen));
    let gathered = context.gather(flags.into_iter().collect())?;
    if args.replay.is_some() && !args.roles.contains(&Role::Index) {
        let why = "--replay is for the role index, which --roles leaves out".to_owned();
        return Err(crate::Error::from(indexer::Error::Invalid(why)).into());
    }
    let registries = args.registry;
    let replay = args.replay.map(|file| Feed::Replay { file, registries });
    let (config, environment, output) = (gathered.config, &context.environment, context.output);
    serve::run(config, environment, &args.roles, replay, |url| {
        // Whoever started us may have closed stdout; we serve all the same.
        let _ = output.one(&serde_json::json!({ "url": url }), || {
            format!("Chancery answers at {url}")
        });
    })
    .await?;
    Ok(())
}
