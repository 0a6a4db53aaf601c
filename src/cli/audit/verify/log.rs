//! A whole log or a range of it, wherever it lies, file after file.

use std::pin::pin;

use futures::{StreamExt, stream};
use journal::{
    audit::{self, Audit, Reading, Sum, Wrong},
    checkpoint::Checkpoint,
    tree::Hash,
    vkey::VerifierKey,
};
use serde_json::{Value, json};

use super::{
    Args,
    anchored::{self, Anchored},
    authors, not_verified,
    source::Source,
};
use crate::cli::{Context, exit::Failure, show};

/// Verifies and tells.
pub async fn run(source: &Source, args: &Args, context: &Context) -> anyhow::Result<()> {
    let note = source.checkpoint().await?;
    let key = key(source, args.vkey.as_deref()).await?;
    let head = audit::head(&note, &key).map_err(|error| not_verified(&error))?;
    let sum = verify(source, args, &head).await?;
    let verified = Verified {
        anchored: anchored::verify(source, args, &head, &key).await?,
        head,
        sum,
        key,
        trusted: args.vkey.is_some(),
        from: args.from.unwrap_or(0),
    };
    Ok(context.output.one(&verified.json(), || verified.human())?)
}

/// The key that was given, else the one beside the log.
pub async fn key(source: &Source, given: Option<&str>) -> Result<VerifierKey, Failure> {
    let found = match given {
        Some(_) => None,
        None => source.vkey().await?,
    };
    let Some(text) = given.or(found.as_deref()) else {
        let why = format!("{} names no key: give the log's with --vkey", source.name());
        return Err(Failure::invalid(why));
    };
    text.trim()
        .parse()
        .map_err(|error| not_verified(&format!("vkey: {error}")))
}

async fn verify(source: &Source, args: &Args, head: &Checkpoint) -> Result<Sum, Failure> {
    let end = args.to.map_or(head.size, |last| last.saturating_add(1));
    let reading = if args.opaque {
        Reading::Opaque
    } else {
        Reading::AsTheyAre
    };
    let range = args.from.unwrap_or(0)..end;
    let audit = Audit::new(head.clone(), range, reading);
    let audit = audit.map_err(|wrong| match wrong {
        Wrong::Range { .. } => Failure::invalid(format!("--from, --to: {wrong}")),
        wrong => not_verified(&wrong),
    })?;
    let mut audit = audit.with(authors::count);
    read(source, head, &mut audit).await?;
    Ok(audit.sum())
}

/// The root of the log's first `size` entries, of which there is at least one, from files that lead to the signed head.
pub async fn root_of(source: &Source, head: &Checkpoint, size: u64) -> Result<Hash, Failure> {
    let audit = Audit::new(head.clone(), size - 1..size, Reading::Opaque);
    let mut audit = audit.map_err(|wrong| not_verified(&wrong))?;
    read(source, head, &mut audit).await?;
    Ok(audit.root_of(size).unwrap_or_default())
}

/// Reads and verifies what the audit asks for.
pub async fn read(source: &Source, head: &Checkpoint, audit: &mut Audit) -> Result<(), Failure> {
    let files = stream::iter(audit.plan())
        .map(|path| async move { (path, source.file(path).await) })
        .buffered(source.ahead());
    let mut files = pin!(files);
    while let Some((path, file)) = files.next().await {
        let taken = match file? {
            Some(bytes) => audit.take(path, &bytes),
            None => Err(Wrong::Missing { path }),
        };
        if let Err(wrong) = taken {
            let mut files = audit::Files::new();
            for path in audit::suspects(head, &wrong) {
                let file = source.file(path).await.ok().flatten();
                files.extend(file.map(|file| (path, file)));
            }
            return Err(not_verified(&audit::locate(head, wrong, &files)));
        }
    }
    Ok(())
}

struct Verified {
    head: Checkpoint,
    sum: Sum,
    key: VerifierKey,
    trusted: bool,
    from: u64,
    anchored: Option<Anchored>,
}

impl Verified {
    fn json(&self) -> Value {
        json!({
            "verified": true,
            "origin": self.head.origin,
            "size": self.head.size,
            "root": hex::encode(self.head.root),
            "vkey": self.key.to_string(),
            "trusted": self.trusted,
            "from": self.from,
            "entries": self.sum.entries,
            "tiles": self.sum.tiles,
            "bytes": self.sum.bytes,
            "chains": self.sum.chains,
            "signatures": {
                "verified": self.sum.signatures.verified, "told": self.sum.signatures.told,
            },
            "anchored": self.anchored.as_ref().map(Anchored::json),
        })
    }

    fn human(&self) -> String {
        let Self { head, sum, .. } = self;
        let entries = match sum.entries {
            0 => format!("none of {}", head.size),
            all if all == head.size => format!("all {all}"),
            some => format!(
                "leaves {} to {} of {}",
                self.from,
                self.from + some - 1,
                head.size
            ),
        };
        let says = match sum.chains {
            Some(chains) => format!("a journal's, each in its place in one of {chains} chains"),
            None => "not looked at: bytes, not a journal's".to_owned(),
        };
        let fields = show::fields(&[
            ("verified", Some(show::clean(&head.origin))),
            ("entries", Some(entries)),
            ("they are", Some(says)),
            ("signed", authors::counted(sum.signatures)),
            ("tiles", Some(sum.tiles.to_string())),
            ("root", Some(hex::encode(head.root))),
            ("key", Some(show::clean(&self.key.to_string()))),
            ("anchored", self.anchored.as_ref().map(Anchored::human)),
        ]);
        let trust = if self.trusted {
            "The log is that of the key that you gave."
        } else {
            "The log is that of this key, and that is the key you have to trust:\n\
             compare it with the one its operator publishes, and give it with --vkey."
        };
        format!("{fields}\n{trust}")
    }
}
