//! `chancery audit verify`: a proof, or a log wherever it lies. Asks nobody but whom it was told to.

mod anchored;
mod authors;
mod blocks;
mod car;
pub mod log;
pub mod source;

use std::path::{Path, PathBuf};

use identity::statement::Spoken;
use journal::bundle::{self, Verified, VerifyError};
use kernel::Address;
use serde_json::{Value, json};

use super::change_line;
use crate::cli::{Context, client::Client, exit::Failure, input, show, trusted};

/// What may be verified besides a proof, for people.
const LOG: &str =
    "a log: its directory, its URL, a .car of its manifests, or the newest manifest's CID";

/// No proof file is longer: an entry, a hundred hashes and as many signatures.
const MOST_BYTES: usize = 4 << 20;

/// Arguments of `audit verify`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// What `audit prove` printed (- reads it from stdin); or a log: its directory, its URL
    /// (https://host/audit), a .car of its manifests, or the newest manifest's CID
    #[arg(value_name = "WHAT")]
    what: PathBuf,
    /// The log's key that you trust, as /audit/vkey shows it [default: the one that stands beside the
    /// proof or the log, which is printed as what must be trusted]
    #[arg(long, value_name = "KEY")]
    vkey: Option<String>,
    /// Of a log, only the entries from this leaf on
    #[arg(long, value_name = "LEAF")]
    from: Option<u64>,
    /// Of a log, only the entries up to this leaf
    #[arg(long, value_name = "LEAF")]
    to: Option<u64>,
    /// Take a log's entries as bytes: do not look whether they are a journal's
    #[arg(long)]
    opaque: bool,
    /// Where the blocks are got of a log that is given by a CID [default: the instance]
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// Of a log, verify through this node that it begins with what the contract holds
    #[arg(long, value_name = "URL", requires_all = ["contract", "keeper"])]
    rpc: Option<String>,
    /// The contract that you trust
    #[arg(long, value_name = "ADDR", requires = "rpc")]
    contract: Option<Address>,
    /// The account whose heads you trust
    #[arg(long, value_name = "ADDR", requires = "rpc")]
    keeper: Option<Address>,
}

/// Runs the verb.
pub async fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let vkey = args.vkey.as_deref().map(str::trim);
    vkey.map(trusted::key).transpose()?;
    let gateway = || -> anyhow::Result<String> {
        Ok(match &args.gateway {
            Some(url) => url.clone(),
            None => Client::of(context)?.url().to_owned(),
        })
    };
    let is_cid = source::cid(&args.what).is_some();
    if args.gateway.is_some() && !is_cid {
        let why = "--gateway is where the blocks of a CID are got, and WHAT is none";
        return Err(Failure::invalid(why).into());
    }
    if let Some(source) = source::find(&args.what, gateway).await? {
        return log::run(&source, args, context).await;
    }
    if args.from.or(args.to).is_some() || args.opaque || args.rpc.is_some() {
        let why = format!("--from, --to, --opaque and --rpc are about {LOG}");
        return Err(Failure::invalid(why).into());
    }
    proof(&args.what, vkey, context)
}

fn proof(file: &Path, vkey: Option<&str>, context: &Context) -> anyhow::Result<()> {
    let bytes = input::read(file, MOST_BYTES).map_err(|error| {
        let what = file.display();
        Failure::invalid(format!(
            "cannot read {what}: {error}. WHAT is a proof file, or {LOG}"
        ))
    })?;
    let text = String::from_utf8(bytes).map_err(|_| {
        not_verified(&format!(
            "not a proof file: it is not UTF-8. One file of a log is not verified alone: give {LOG}"
        ))
    })?;
    let verified = bundle::verify(&text, vkey).map_err(|error| explain(&error, vkey))?;
    let spoken = authors::of(&verified.entry, &verified.origin);
    let spoken = spoken.map_err(|why| not_verified(&why))?;
    let shown = || human(&verified, &spoken);
    Ok(context.output.one(&json(&verified, &spoken), shown)?)
}

pub fn not_verified(why: &dyn std::fmt::Display) -> Failure {
    Failure::Unverified(format!("NOT verified: {}", show::clean(&why.to_string())))
}

fn explain(error: &VerifyError, vkey: Option<&str>) -> Failure {
    match (error, vkey) {
        (VerifyError::Note(journal::note::NoteError::Unsigned), Some(vkey)) => not_verified(
            &format!("{error}: the key that you trust, {vkey}, did not sign it"),
        ),
        _ => not_verified(error),
    }
}

fn json(verified: &Verified, spoken: &[Spoken]) -> Value {
    let entry = &verified.entry;
    let changes: Vec<Value> = entry
        .changes
        .iter()
        .map(|change| {
            json!({
                "column": change.column, "value": change.value, "cause": change.cause,
                "time": change.time,
            })
        })
        .collect();
    json!({
        "verified": true,
        "cid": verified.cid,
        "index": verified.index,
        "size": verified.size,
        "root": hex::encode(verified.root),
        "origin": verified.origin,
        "vkey": verified.vkey,
        "trusted": verified.trusted,
        "entry": {
            "kind": entry.kind,
            "agent": entry.agent.map(|agent| agent.to_string()),
            "time": entry.time,
            "changes": changes,
            "said": entry.said,
            "prev": entry.prev,
        },
        "statements": spoken,
    })
}

fn human(verified: &Verified, spoken: &[Spoken]) -> String {
    let entry = &verified.entry;
    let mut lines = vec![show::fields(&[
        ("verified", Some(verified.cid.clone())),
        ("says", Some(entry.kind.as_str().to_owned())),
        ("agent", entry.agent.map(|agent| agent.to_string())),
        ("time", Some(format!("{} UTC", show::time(entry.time)))),
        (
            "leaf",
            Some(format!(
                "{} of {} in {}",
                verified.index, verified.size, verified.origin
            )),
        ),
        ("root", Some(hex::encode(verified.root))),
        ("key", Some(verified.vkey.clone())),
    ])];
    lines.extend(
        entry
            .changes
            .iter()
            .map(|change| change_line(&change.column, &change.value)),
    );
    lines.extend(authors::lines(spoken));
    lines.push(if verified.trusted {
        "The entry is in the journal of the key that you gave.".to_owned()
    } else {
        "The entry is in the journal of this key, and that is the key you have to trust:\n\
         compare it with the one its operator publishes, and give it with --vkey."
            .to_owned()
    });
    lines.join("\n")
}
