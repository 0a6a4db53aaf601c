//! `chancery sync`.

mod digest;
mod status;

use clap::Subcommand;

use super::Context;

/// The verbs of `sync`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show each chain's head, how far it is read, settled and proven, how fast, and what is wrong
    Status,
    /// Compare what is stored with what others have
    Verify(Verify),
}

/// Arguments of `sync verify`.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Print digests of all rows and of the journal: equal on instances that saw the same facts
    #[arg(long, required = true)]
    digest: bool,
}

/// Runs the verb.
pub async fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Status => status::run(context).await,
        Command::Verify(Verify { digest: _ }) => digest::run(context).await,
    }
}
