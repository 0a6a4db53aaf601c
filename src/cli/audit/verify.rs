//! `chancery audit verify`: reads one file and nothing else.

use std::path::Path;

use journal::{
    bundle::{self, Verified, VerifyError},
    vkey::VerifierKey,
};
use serde_json::{Value, json};

use super::change_line;
use crate::cli::{Context, exit::Failure, input, show};

/// No proof file is longer: an entry, a hundred hashes and as many signatures.
const MOST_BYTES: usize = 4 << 20;

/// Runs the verb.
pub fn run(file: &Path, vkey: Option<&str>, context: &Context) -> anyhow::Result<()> {
    let vkey = vkey.map(str::trim);
    if let Some(vkey) = vkey {
        let key: Result<VerifierKey, _> = vkey.parse();
        key.map_err(|error| Failure::invalid(format!("--vkey: {error}")))?;
    }
    let bytes = input::read(file, MOST_BYTES)
        .map_err(|error| Failure::invalid(format!("cannot read {}: {error}", file.display())))?;
    let text =
        String::from_utf8(bytes).map_err(|_| not_verified(&"not a proof file: it is not UTF-8"))?;
    let verified = bundle::verify(&text, vkey).map_err(|error| explain(&error, vkey))?;
    Ok(context.output.one(&json(&verified), || human(&verified))?)
}

fn not_verified(why: &dyn std::fmt::Display) -> Failure {
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

fn json(verified: &Verified) -> Value {
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
    })
}

fn human(verified: &Verified) -> String {
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
    lines.push(if verified.trusted {
        "The entry is in the journal of the key that you gave.".to_owned()
    } else {
        "The entry is in the journal of this key, and that is the key you have to trust:\n\
         compare it with the one its operator publishes, and give it with --vkey."
            .to_owned()
    });
    lines.join("\n")
}
