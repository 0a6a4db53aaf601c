//! `chancery config`.

use clap::Subcommand;

use super::{Context, output::text};
use crate::config::{example, masked, render};

/// The verbs of `config`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Print the merged configuration and where each value comes from; secrets are masked
    Print,
    /// Check it and say nothing if it is right
    Check,
    /// Print every key with its meaning and default
    #[command(hide = true)]
    Example,
}

/// Runs the verb.
pub fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    if matches!(command, Command::Example) {
        return Ok(text(&example())?);
    }
    let gathered = context.gather(Vec::new())?;
    if matches!(command, Command::Print) {
        context
            .output
            .one(&masked(&gathered.config), || render(&gathered))?;
    } else {
        let file = gathered.file.as_ref().map_or_else(
            || "no configuration file".to_owned(),
            |file| file.display().to_string(),
        );
        eprintln!("the configuration is right ({file})");
    }
    Ok(())
}
