//! `chancery audit`: the journal, and proofs from it that anybody can check without us.

mod anchor;
mod archive;
mod deploy;
mod export;
mod verify;

use clap::{Subcommand, builder::NonEmptyStringValueParser};
use journal::{audit, bundle, checkpoint::Checkpoint, vkey::VerifierKey};
use kernel::Kind;
use serde_json::{Value, json};

use super::{
    Context,
    client::{Client, segment},
    exit::Failure,
    show,
};

/// The verbs of `audit`.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Show the journal's newest signed checkpoint, and check its signature
    Head,
    /// Show one entry and how far it is published
    Entry {
        /// The entry
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        cid: String,
    },
    /// Print the proof that an entry is in the journal: a file for `audit verify`
    Prove {
        /// The entry, or an agent: then its newest sealed entry
        #[arg(value_name = "CID|AGENT", value_parser = NonEmptyStringValueParser::new())]
        what: String,
    },
    /// Show how the anchoring of checkpoints on chain stands, or verify it through any node
    Anchor(anchor::Args),
    /// Deploy the contract in which journals are anchored; one serves everybody on its chain
    Deploy(deploy::Args),
    /// Verify a proof or a log; needs no instance, no database, and for files no network
    Verify(verify::Args),
    /// Copy the journal into a directory, as c2sp.org/tlog-tiles lays it out; again: what is new
    Export(export::Args),
    /// Move bodies of published entries out of the database, after looking whether they are where they will be read
    Archive(archive::Args),
}

/// Runs the verb.
pub async fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Head => head(context).await,
        Command::Entry { cid } => entry(&cid, context).await,
        Command::Prove { what } => prove(&what, context).await,
        Command::Anchor(args) => anchor::run(&args, context).await,
        Command::Deploy(args) => deploy::run(&args, context).await,
        Command::Verify(args) => verify::run(&args, context).await,
        Command::Export(args) => export::run(&args, context).await,
        Command::Archive(args) => archive::run(&args, context).await,
    }
}

async fn head(context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| client.stranger());
    let note = match client.raw("audit/checkpoint", &[]).await {
        Err(Failure::Of(Kind::NotFound, _)) => {
            return Err(Failure::not_found("the journal is empty: nothing is sealed yet").into());
        }
        reply => text(reply?.bytes)?,
    };
    let vkey = text(client.raw("audit/vkey", &[]).await?.bytes)?;
    let vkey = vkey.trim();
    let head = check(&note, vkey).map_err(|why| {
        Failure::Unverified(format!("the checkpoint of {vkey} does not verify: {why}"))
    })?;
    let root = hex::encode(head.root);
    let value = json!({
        "origin": head.origin, "size": head.size, "root": root, "vkey": vkey, "checkpoint": note,
    });
    Ok(context.output.one(&value, || {
        show::fields(&[
            ("journal", Some(head.origin.clone())),
            ("size", Some(format!("{} entries", head.size))),
            ("root", Some(root.clone())),
            ("signed", Some(format!("by {vkey}"))),
        ])
    })?)
}

fn check(note: &str, vkey: &str) -> Result<Checkpoint, String> {
    let key: VerifierKey = vkey.parse().map_err(|error| format!("{error}"))?;
    audit::head(note, &key).map_err(|error| show::clean(&error.to_string()))
}

async fn entry(cid: &str, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let record = client.get(&format!("v1/entries/{}", segment(cid))).await?;
    Ok(context.output.one(&record, || human(&record))?)
}

fn human(record: &Value) -> String {
    let text = |value: &Value| value.as_str().map(show::clean);
    let entry = &record["entry"];
    let leaf = record["leaf_index"].as_u64().map(|leaf| leaf.to_string());
    let mut shown = show::fields(&[
        ("entry", text(&record["cid"])),
        ("kind", text(&record["kind"]).or(text(&entry["kind"]))),
        ("agent", text(&entry["agent"])),
        (
            "time",
            text(&entry["time"]).or(text(&record["appended_at"])),
        ),
        ("state", text(&record["state"])),
        ("leaf", leaf),
        ("after", text(&entry["prev"])),
    ]);
    let changes = entry["changes"].as_array().map(Vec::as_slice);
    for change in changes.unwrap_or_default() {
        // [column, value, cause, time], or the same as an object.
        let part = |at: usize, name: &str| change.get(at).or(change.get(name)).cloned();
        let column = part(0, "column").unwrap_or_default();
        let value = part(1, "value").unwrap_or_default();
        shown.push('\n');
        shown.push_str(&change_line(column.as_str().unwrap_or_default(), &value));
    }
    shown
}

/// A change in one line.
fn change_line(column: &str, value: &Value) -> String {
    let value = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    format!("  {} = {}", show::clean(column), show::cut(&value, 60))
}

async fn prove(what: &str, context: &Context) -> anyhow::Result<()> {
    let client = Client::of(context)?;
    let cid = if content::parse_cid(what).is_ok() {
        what.to_owned()
    } else {
        newest_sealed(&client, what).await?
    };
    let path = format!("v1/entries/{}/proof", segment(&cid));
    let proof =
        String::from_utf8(client.raw(&path, &[]).await?.bytes).map_err(|_| client.stranger())?;
    let wrong = |why: String| Failure::Unverified(format!("the instance's proof is wrong: {why}"));
    let verified = bundle::verify(&proof, None).map_err(|error| wrong(error.to_string()))?;
    if verified.cid != cid {
        return Err(wrong(format!("it is that of {}", verified.cid)).into());
    }
    eprintln!(
        "proves {cid}: leaf {} of {} in {}",
        verified.index, verified.size, verified.origin
    );
    let value = json!({ "cid": cid, "proof": proof });
    Ok(context.output.one(&value, || proof.clone())?)
}

/// The newest entry of an agent that can be proven.
async fn newest_sealed(client: &Client<'_>, agent: &str) -> anyhow::Result<String> {
    let path = format!("v1/agents/{}/entries", segment(agent));
    let entries = client.list(&path, &[], None).await?.items;
    let sealed = entries
        .iter()
        .position(|entry| entry["leaf_index"].is_u64());
    if let Some((newer, cid)) = sealed.and_then(|at| Some((at, entries[at]["cid"].as_str()?))) {
        if newer > 0 {
            eprintln!("{newer} newer: not sealed yet");
        }
        return Ok(cid.to_owned());
    }
    Err(if entries.is_empty() {
        Failure::not_found(format!("the journal says nothing of {agent} yet"))
    } else {
        let why =
            format!("what the journal says of {agent} is not sealed yet: try again in a moment");
        Failure::Of(Kind::Conflict, why)
    }
    .into())
}
