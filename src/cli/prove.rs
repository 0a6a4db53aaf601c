//! `chancery prove AGENT`: a bundle that shows an agent's record to anybody.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

use super::{
    Context,
    client::{Client, segment},
    exit::Failure,
    output::Format,
    show,
};
use crate::bundle::{self, Report, TARGET_BYTES};

/// Arguments of `prove`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// <chain>:<agentId>, UUID, DID or eip155:<chain>:<registry>/<agentId>
    #[arg(value_name = "AGENT", value_parser = NonEmptyStringValueParser::new())]
    agent: String,
    /// Write the bundle into this file instead of stdout
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

/// Gets the bundle, checks it here, and writes it.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<()> {
    let human = context.global.output == Format::Human;
    if human && args.to.is_none() && io::stdout().is_terminal() {
        let why = "a bundle is not text: write it with `> FILE` or --to FILE";
        return Err(Failure::invalid(why).into());
    }
    let client = Client::of(context)?;
    let path = format!("v1/agents/{}/proof", segment(&args.agent));
    let bytes = client.raw_of_owner(&path).await?.bytes;
    let report = bundle::check(&bytes, None).map_err(|wrong| {
        Failure::Unverified(format!("the instance's bundle proves nothing: {wrong}"))
    })?;
    talk(&report, &bytes);
    if let Some(file) = &args.to {
        fs::write(file, &bytes).map_err(|error| {
            Failure::invalid(format!("cannot write {}: {error}", file.display()))
        })?;
    }
    if human {
        if args.to.is_none() {
            let mut out = io::stdout().lock();
            out.write_all(&bytes)?;
            out.flush()?;
        }
        return Ok(());
    }
    let value = json!({ "report": report, "bundle": STANDARD.encode(&bytes) });
    Ok(context.output.one(&value, String::new)?)
}

/// What the file holds and lacks, for who made it.
fn talk(report: &Report, bytes: &[u8]) {
    let agent = report.token.as_deref().map(show::clean);
    let agent = agent.unwrap_or_else(|| report.agent.to_string());
    let steps = report.steps.len();
    eprintln!("{agent}: {} bytes that show {steps} things", report.size);
    for missing in &report.missing {
        eprintln!(
            "  without {}: {}",
            show::clean(&missing.what),
            show::clean(&missing.why)
        );
    }
    if report.size > TARGET_BYTES
        && let Ok(file) = bundle::File::parse(bytes)
    {
        let parts = file.parts().iter();
        let parts: Vec<String> = parts
            .map(|(name, data)| format!("{name} {}", data.len()))
            .collect();
        eprintln!(
            "  more than {TARGET_BYTES} bytes, because of: {}",
            parts.join(", ")
        );
    }
}
