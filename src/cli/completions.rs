//! `chancery completions SHELL`.

use std::io::{self, Write};

use clap_complete::{Shell, generate};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args, command: &mut clap::Command) -> io::Result<()> {
    let mut script = Vec::new();
    generate(args.shell, command, "chancery", &mut script);
    io::stdout().lock().write_all(&script)
}
