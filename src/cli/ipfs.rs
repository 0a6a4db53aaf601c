//! `chancery ipfs`: content by its hash.

mod fetch;
mod verify;

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use clap::{Subcommand, builder::NonEmptyStringValueParser};
use content::{Layout, build};

use super::{Context, client::Client, exit::Failure};
use fetch::{Fetched, Place};

/// The verbs of `ipfs`.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Store a file and print its CID
    Add {
        /// The file; - reads it from stdin
        file: PathBuf,
    },
    /// Print a file's bytes, verified here
    Get {
        /// The CID, with a path if need be; ipfs:// may stand before it
        #[arg(value_name = "CID[/PATH]", value_parser = NonEmptyStringValueParser::new())]
        cid: String,
        /// Write them into this file instead
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Check that bytes are those that their CID, or an agent's URI, promises
    Verify {
        /// The CID, with a path if need be; or an agent: then its registration file
        #[arg(value_name = "CID|AGENT", value_parser = NonEmptyStringValueParser::new())]
        what: String,
    },
}

/// Runs the verb.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Add { file } => add(&file, context).await,
        Command::Get { cid, to } => get(&cid, to.as_deref(), context).await,
        Command::Verify { what } => verify::run(&what, context).await,
    }
}

async fn add(file: &Path, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::invalid(format!("cannot read {}: {error}", file.display())))?;
    let size = bytes.len();
    let (answer, cid) = store(&client, bytes).await?;
    eprintln!("stored {size} bytes");
    Ok(context.output.one(&answer, || cid)?)
}

/// Hands bytes to the instance; its answer, and the CID, which is the one that we compute here.
pub async fn store(
    client: &Client<'_>,
    bytes: Vec<u8>,
) -> anyhow::Result<(serde_json::Value, String)> {
    let ours = build(&bytes, Layout::OURS).root.to_string();
    let answer = client.upload("v1/ipfs", bytes).await?;
    match answer["cid"].as_str() {
        Some(cid) if cid == ours => Ok((answer, ours)),
        Some(other) => {
            let other = super::show::clean(other);
            let why = format!("the instance calls it {other}, but the bytes are those of {ours}");
            Err(Failure::Unverified(why).into())
        }
        None => Err(client.stranger().into()),
    }
}

async fn get(cid: &str, to: Option<&Path>, context: &Context) -> anyhow::Result<()> {
    let Some(place) = Place::parse(cid) else {
        return Err(Failure::invalid(format!("{cid} is no CID")).into());
    };
    let client = Client::of(context)?;
    let Fetched { bytes, .. } = fetch::fetch(&client, &place).await?;
    let Some(file) = to else {
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        return Ok(out.flush()?);
    };
    std::fs::write(file, &bytes)
        .map_err(|error| Failure::invalid(format!("cannot write {}: {error}", file.display())))?;
    eprintln!("{} bytes, verified, in {}", bytes.len(), file.display());
    Ok(())
}
