//! `chancery migrate`.

use clap::Subcommand;
use store::migrate::{self, Status};

use super::Context;
use crate::{Error, database::Session, postgres};

/// The verbs of `migrate`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Apply what is missing, and make the application's role
    Up,
    /// Take back every migration above a number
    Down {
        /// The migration that stays the newest; 0 takes back all
        #[arg(long, default_value_t = 0, value_name = "N")]
        to: i64,
        /// Really drop the journal, which nothing can bring back
        #[arg(long)]
        drop_journal: bool,
    },
    /// Show which migrations are applied
    Status,
}

/// Runs the verb.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    let config = context.gather(Vec::new())?.config;
    let session = Session::open(&config, &context.environment).await?;
    let app_role = if config.database.owner_url().is_some() {
        &config.database.app_role
    } else {
        postgres::APP
    };
    let outcome = match command {
        Command::Up => migrate::up(&session.url, app_role).await,
        Command::Down { to, drop_journal } => migrate::down(&session.url, to, drop_journal).await,
        Command::Status => migrate::status(&session.url).await,
    };
    session.close().await;
    let status = outcome.map_err(Error::from)?;
    Ok(context.output.many(&status, line)?)
}

fn line(status: &Status) -> String {
    let state = if status.applied { "applied" } else { "missing" };
    format!("{:>4}  {state}  {}", status.version, status.description)
}
