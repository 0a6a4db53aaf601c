//! `chancery sync`.

mod digest;
mod estimate;
mod status;
mod verify;

use clap::Subcommand;

use super::Context;

/// The verbs of `sync`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show each chain's head, how far it is read, settled and proven, how fast, and what is wrong
    Status,
    /// Prove again what is stored of a chain, from another provider where there are several: what is not
    /// proven yet, else a sample, or the given blocks. Exit code 6 if something was wrong
    Verify(Verify),
    /// Estimate what reading a chain takes: calls, bytes, disk, time. Needs no running instance
    Estimate(estimate::Args),
}

/// Arguments of `sync verify`.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Verify {
    /// Blocks FROM..TO, both included, or one block
    #[arg(value_name = "RANGE")]
    blocks: Option<verify::Blocks>,
    /// Only this chain, by its EIP-155 id
    #[arg(long, value_name = "ID")]
    chain: Option<u64>,
    /// Instead, print digests of all rows and of the journal: equal on instances that saw the same facts
    #[arg(long, conflicts_with_all = ["blocks", "chain"])]
    digest: bool,
}

/// Runs the verb.
pub async fn run(command: &Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Status => status::run(context).await,
        Command::Verify(Verify { digest: true, .. }) => digest::run(context).await,
        Command::Verify(Verify { blocks, chain, .. }) => {
            verify::run(context, *chain, *blocks).await
        }
        Command::Estimate(args) => estimate::run(args, context).await,
    }
}
