//! `chancery serve`.

use super::Context;
use crate::{
    config::Flag,
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
    /// Where the API listens [default: 127.0.0.1:8004]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// Runs until a signal.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let flags = args.listen.map(|listen| Flag::new("http.listen", listen));
    let gathered = context.gather(flags.into_iter().collect())?;
    let output = context.output;
    serve::run(gathered.config, &context.environment, &args.roles, |url| {
        // Whoever started us may have closed stdout; we serve all the same.
        let _ = output.one(&serde_json::json!({ "url": url }), || {
            format!("Chancery answers at {url}")
        });
    })
    .await?;
    Ok(())
}
