//! The command line: noun, then verb; data on stdout, talk on stderr.
//!
//! A new command is one file `cli/x.rs` with its arguments and `run`, one variant and one arm here.

mod agent;
mod agent_key;
mod api_key;
mod audit;
mod changes;
mod client;
mod completions;
mod config;
mod did;
mod doctor;
mod exit;
mod input;
mod ipfs;
mod key;
mod migrate;
mod output;
mod prove;
mod psql;
mod serve;
mod show;
mod signer;
mod sync;
mod trusted;
mod up;
mod verify;
mod watch;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    config::{Environment, Flag, Gathered, gather},
    logging,
};
use output::{Format, Output};

/// The record office for on-chain agents.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, about, propagate_version = true, after_long_help = exit::HELP)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, clap::Args)]
struct Global {
    /// Where this instance keeps its files [default: $XDG_DATA_HOME/chancery]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    data_dir: Option<PathBuf>,
    /// Configuration file [default: chancery.toml here, then in the data directory]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    config: Option<PathBuf>,
    /// How data is printed
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        help_heading = "Everywhere"
    )]
    output: Format,
    /// The instance to ask [default: $CHANCERY_URL, then the one that runs on the data directory]
    #[arg(long, global = true, value_name = "URL", help_heading = "Everywhere")]
    url: Option<String>,
    /// Holds the token or API key that writes need [default: $CHANCERY_TOKEN, then the data directory's]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything here: private Postgres, dev chain, API, workers
    Up(up::Args),
    /// Run some roles on a configured database
    Serve(serve::Args),
    /// Bring the database's schema up or down
    #[command(subcommand)]
    Migrate(migrate::Command),
    /// Open psql on the database, as its owner
    Psql(psql::Args),
    /// Look at the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Check what this machine has and lacks
    Doctor,
    /// Register, look up and change agents
    #[command(subcommand)]
    Agent(agent::Command),
    /// Resolve DIDs
    #[command(subcommand)]
    Did(did::Command),
    /// Store, get and verify content
    #[command(subcommand)]
    Ipfs(ipfs::Command),
    /// Look into the journal, prove and verify its entries
    #[command(subcommand)]
    Audit(audit::Command),
    /// Write all that shows an agent's record into one file, for `verify`
    Prove(prove::Args),
    /// Verify what `prove` wrote; needs no instance, no database and no network
    Verify(verify::Args),
    /// See what changed, and follow it
    Changes(changes::Args),
    /// Make, list, rotate and revoke API keys, and see who asked
    #[command(subcommand)]
    Key(api_key::Command),
    /// Name the owners and agents whose changes you want to hear of
    #[command(subcommand)]
    Watch(watch::Command),
    /// See how far the chains are read
    #[command(subcommand)]
    Sync(sync::Command),
    /// Print a shell's completions
    Completions(completions::Args),
}

/// What a command is given: where it runs, how it prints.
struct Context {
    environment: Environment,
    global: Global,
    output: Output,
}

impl Context {
    /// The configuration under these flags, with the logger installed.
    fn gather(&self, mut flags: Vec<Flag>) -> Result<Gathered, crate::Error> {
        if let Some(dir) = &self.global.data_dir {
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            flags.push(Flag::new("data_dir", dir.to_string_lossy()));
        }
        let gathered = gather(&self.environment, self.global.config.as_deref(), &flags)?;
        logging::install(&gathered.config.log);
        Ok(gathered)
    }
}

/// Reads the command line, runs it, and says how it went.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context {
        environment: Environment::read(),
        output: Output::new(cli.global.output),
        global: cli.global,
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&anyhow::Error::new(error)),
    };
    match runtime.block_on(run(cli.command, &context)) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}

async fn run(command: Command, context: &Context) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::run(args, context).await?,
        Command::Serve(args) => serve::run(args, context).await?,
        Command::Migrate(command) => migrate::run(command, context).await?,
        Command::Psql(args) => return psql::run(args, context).await,
        Command::Config(command) => config::run(command, context)?,
        Command::Doctor => return doctor::run(context).await,
        Command::Agent(command) => agent::run(command, context).await?,
        Command::Did(command) => did::run(command, context).await?,
        Command::Ipfs(command) => ipfs::run(command, context).await?,
        Command::Audit(command) => audit::run(command, context).await?,
        Command::Prove(args) => prove::run(args, context).await?,
        Command::Verify(args) => verify::run(args, context).await?,
        Command::Changes(args) => changes::run(args, context).await?,
        Command::Key(command) => api_key::run(command, context).await?,
        Command::Watch(command) => watch::run(command, context).await?,
        Command::Sync(command) => sync::run(&command, context).await?,
        Command::Completions(args) => completions::run(&args, &mut Cli::command())?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_sound() {
        Cli::command().debug_assert();
    }
}
