//! `chancery up`.

use super::Context;
use crate::{config::Flag, up};

/// Arguments of `up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the API listens [default: 127.0.0.1:8004]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// Runs until a signal.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let flags = args.listen.map(|listen| Flag::new("http.listen", listen));
    let gathered = context.gather(flags.into_iter().collect())?;
    let output = context.output;
    up::run(gathered.config, &context.environment, |ready| {
        // Whoever started us may have closed stdout; we serve all the same.
        let _ = output.one(ready, || human(ready));
    })
    .await?;
    Ok(())
}

fn human(ready: &up::Ready) -> String {
    let mut text = format!(
        "Chancery answers at {}\n  data   {}\n",
        ready.url,
        ready.data_dir.display()
    );
    if let Some(rpc) = &ready.rpc {
        text.push_str("  chain  ");
        text.push_str(rpc);
        text.push('\n');
    }
    text.push_str("  docs   ");
    text.push_str(&ready.url);
    text.push_str("/docs");
    text
}
